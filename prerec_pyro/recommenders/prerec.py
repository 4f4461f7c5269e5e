"""`PreRec`, the pre-trained causal recommender: training, fine-tuning, scores and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from prerec_pyro.causal.mixin import CausalMixin
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain, check_texts
from prerec_pyro.data.popularity import Normalizer
from prerec_pyro.data.splits import split_users
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.protocol import validation_score
from prerec_pyro.inference.calibration.stores import remember_stores, start_at_prediction, stores_from
from prerec_pyro.inference.guides.free_nodes import check_free, check_offsets, check_priors
from prerec_pyro.inference.interventions.effect_scales import Calibration
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer, Semantics, Value
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.config import GraphConfig
from prerec_pyro.models.graphs.registry import Graph, GraphClass, choose_graph, graph_name
from prerec_pyro.models.priors import Priors
from prerec_pyro.recommenders.base import BaseRecommender
from prerec_pyro.recommenders.posterior_mixin import PosteriorMixin
from prerec_pyro.recommenders.pretrained.export import PretrainedMixin
from prerec_pyro.recommenders.serialization import SavedModel, Settings, method
from prerec_pyro.training.device import choose_device
from prerec_pyro.training.map_fit import MapFit, fit_map
from prerec_pyro.training.recipes import PRE_TRAINING, TrainConfig, fine_tuning_recipe
from prerec_pyro.training.run import TrainingRun, ValidationUsers


class PreRec(CausalMixin, PosteriorMixin, PretrainedMixin, BaseRecommender):
    """The pre-trained causal recommender.

    In a domain that it was not trained on, it recommends zero-shot, with S as the features of the domain predict it, or
    at its prior mean with fewer than two sources. Wrap it in `CalibratedPreRec` to estimate S from the domain's log
    first, as the command line does by default.

    Parameters
    ----------
    graph
        ``"extended"`` (the default), ``"paper"`` or ``"unconfounded"``; the configuration of one of them, such as
        ``PaperConfig(latent_dim=64)``; or a graph class of one's own; see `choose_graph`.
    training
        Settings of training; None is `PRE_TRAINING`.
    priors
        Priors of D, Z, V, U and S, and of the weights W_d and W_z, which are then random variables; see `Priors`.
    free
        Nodes with a MAP of their own, from D, V and S. None is D and V, if the graph has them. The other nodes are
        amortised: each is at the mean that its network predicts. Weights with a prior are always free.
    encoder
        Text encoder, by name or folder; None is the packaged one.
    window, normalizer
        Days of the popularity factors, and the mean that they are relative to; see `encode_domain`.
    whitening
        Whitening of the texts of each domain, from 0 (none) to 1; see `whiten`. None is the value that the graph was
        chosen with: 0.25 for ``"extended"``, 0 for the graphs of the paper.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"``: CUDA if there is one.

    Attributes
    ----------
    sources
        The trained domains, and the MAP of the free nodes.
    history
        One row of metrics for each epoch.
    facts
        Facts about the training run, for the manifest of a saved model.

    Raises
    ------
    InputError
        If the graph, a node, a prior or a number is not one of those allowed.

    >>> PreRec("paper", device="cpu").name
    'prerec_paper'
    """

    def __init__(
        self,
        graph: str | GraphConfig | GraphClass | None = None,
        *,
        training: TrainConfig | None = None,
        priors: Priors | None = None,
        free: Iterable[str] | None = None,
        encoder: str | None = None,
        window: int = 15,
        normalizer: Normalizer = "catalogue",
        whitening: float | None = None,
        device: str = "auto",
    ) -> None:
        super().__init__(encoder=encoder, window=window, normalizer=normalizer, device=device)
        self.graph_class, self.config = choose_graph(graph)
        self.whitening = float(self.graph_class.whitening if whitening is None else whitening)
        if not 0 <= self.whitening <= 1:
            raise InputError(f"whitening is {whitening}, expected a number from 0 (none) to 1")
        self.training, self.priors = training or PRE_TRAINING, priors or Priors()
        check_priors(self.priors, self.graph_class)
        self.free = check_free(free, self.graph_class, self.priors.lifted)
        check_offsets(self.free, self.priors)
        self._graph: Graph | None = None
        self.sources = TrainedDomains()
        self.history: list[dict[str, float]] = []
        self.facts: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """Name of the method, from the graph: ``"prerec"``, ``"prerec_paper"`` or ``"prerec_n"``."""
        return method(self.graph_class)

    def __repr__(self) -> str:
        names = list(self.sources.item_ids) or [one["name"] for one in self.facts.get("domains", [])]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        trained = f"trained on {', '.join(names[:5])}{more}" if self._graph is not None else "not trained"
        if "validation_r_ndcg" in self.facts:
            trained += f"; epoch {self.facts['best_epoch']}, validation r-NDCG {self.facts['validation_r_ndcg']:.4f}"
        edges = ", ".join(f"{' '.join(above)} → {node}" for node, above in self.graph_class.edges.items() if above)
        return "\n".join(
            [
                f"PreRec ({self.name}), {trained}",
                f"  graph {graph_name(self.graph_class)}: {edges}; B = {self.config.latent_dim}",
                f"  free nodes {', '.join(sorted(self.free)) or 'none'}; whitening {self.whitening:g}",
                f"  priors {' '.join(repr(self.priors).split())}",
                f"  encoder {self.encoder_name or 'packaged'}; window {self.window} days; device {self.device}",
            ]
        )

    @property
    def graph(self) -> Graph:
        """The trained graph; raises `InputError` before training."""
        if self._graph is None:
            raise InputError("this model is not trained; call fit(domains) or PreRec.load(folder) first")
        return self._graph

    def fit(
        self,
        domains: Sequence[Domain | EncodedDomain],
        *,
        split_seed: int = 0,
        num_samples: int | None = None,
        progress_folder: Path | None = None,
        resume: bool = False,
    ) -> PreRec:
        """Pre-train on the training users of the domains; return self.

        Training stops early on the mean r-NDCG@K% of the validation users (appendix C.3) and keeps the best epoch.

        Parameters
        ----------
        domains
            Source domains; their names must differ.
        split_seed
            Seed of the 4:3:3 split of users.
        num_samples
            Number of queries of each domain to train on; see `first_samples`. None takes all.
        progress_folder
            Folder for the state after each epoch; None saves no state.
        resume
            Continue from the state in `progress_folder`.

        Raises
        ------
        InputError
            If there is no domain, two share a name, text embeddings differ in length, or none has training queries.
        """
        stores = [one.with_newcomers(None) for one in self.encoded_once(domains)]
        encoded = [one.whitened(self.whitening) for one in stores]
        graph = self._build(encoded)
        encoded = [one.in_windows(graph.num_windows) for one in encoded]
        run = TrainingRun(encoded, split_seed, num_samples, progress_folder, resume, self.training.seed)
        # Nothing is known of popularity yet, so the rule for its rate does not apply.
        recipe = self.training.recipe.model_copy(update={"full_popularity_rate_queries": None})
        update = self._train(run, self.training.model_copy(update={"recipe": recipe})).update
        if update is not None and "S" not in self.free:
            update.after_pre_training()
        remember_stores(self.graph, self.sources, stores, None if update is None else update.as_new_stores)
        return self

    def fine_tune(
        self,
        domain: Domain | EncodedDomain,
        *,
        split_seed: int = 0,
        num_samples: int | None = None,
        training: TrainConfig | None = None,
        progress_folder: Path | None = None,
        resume: bool = False,
    ) -> PreRec:
        """Return a new model, trained further on the training users of one domain (eq. 4); this model does not change.

        All parameters move. D_k and item offsets start at their prior means, S where the features of the store predict
        it, lifted weights at their MAP, and f_e rotated to the texts of this domain (`TextEncoder.rotate_to`). S is
        estimated from the log at the end (`EffectScaleUpdate`). Training stops early on validation users, and the start
        is epoch 0: with too little to learn from, the result is the zero-shot model, calibrated if that helps.

        Parameters
        ----------
        domain
            The target domain.
        split_seed, num_samples, progress_folder, resume
            As in `fit`.
        training
            Settings of training. None is `FINE_TUNING`, or `FEW_SHOT` for fewer than 100,000 training queries, with the
            seed of this model; see `fine_tuning_recipe`.

        Raises
        ------
        InputError
            If this model is not trained, or the domain has no training query.
        """
        old, (store,) = self.graph, self.encoded_once([domain])
        encoded = store.whitened(self.whitening).in_windows(old.num_windows)
        check_texts(encoded, old.f_e.linear.in_features)
        seed = (training or self.training).seed
        run = TrainingRun([encoded], split_seed, num_samples, progress_folder, resume, seed)
        training = training or fine_tuning_recipe(run.num_queries).model_copy(update={"seed": seed})
        new = PreRec._of(replace(Settings.of(self), training=training), str(self.device))
        new.encoder_revision = self.encoder_revision
        new._build([encoded])
        new.graph.load_state_dict(old.state_dict())
        new.graph.f_e.rotate_to(encoded.texts)
        new.sources.nodes = self.sources.carried(old)
        log = split_users(store.domain, split_seed).train
        moved = start_at_prediction(new.graph, new.sources, self.sources, store, log)
        if (update := new._train(run, training).update) is not None:
            moved = moved + update.after_fine_tuning()
        new.sources.nodes |= self.sources.of_any_store() | stores_from(self.sources, moved)
        new.facts["fine_tuned_from"] = {name: self.facts[name] for name in ("domains", "seed") if name in self.facts}
        return new

    def _validation(self, run: TrainingRun) -> Callable[[ValidationUsers, int], float]:
        """Return the score of validation users for the current model, from at least so many queries."""
        an_epoch = run.num_validation_queries(self.training.recipe.validation_queries)
        return lambda parts, at_least: validation_score(self, parts, self.training.k_percent, max(at_least, an_epoch))

    def _build(self, encoded: list[EncodedDomain]) -> Graph:
        """Return a new graph, at the start of training."""
        self.sources = TrainedDomains.of(encoded)
        torch.manual_seed(self.training.seed)
        sizes = {"num_domains": len(encoded), "text_dim": encoded[0].texts.shape[1]}
        graph = self.graph_class(self.config, **sizes, priors=self.priors).to(self.device)
        graph.f_e.start_from([e.texts for e in encoded])
        self._graph = graph
        return graph

    def _train(self, run: TrainingRun, training: TrainConfig) -> MapFit:
        """Fit the parameters and the MAP of the free nodes; see `fit_map`."""
        fit = fit_map(
            self.graph,
            self.sources,
            self.free,
            run,
            training,
            self.device,
            config=lambda: self._contents().config(),
            scorer=self.scorer,
            validation=self._validation(run),
        )
        self.history, self.facts = fit.history, fit.facts
        return fit

    def scorer(
        self,
        encoded: EncodedDomain,
        do: Mapping[str, Value] | None = None,
        semantics: Semantics = "interventional",
        calibration: Calibration | None = None,
    ) -> InterventionalScorer:
        """Return P(R | do(…)) on a domain, as a function of batches.

        A trained domain is recognised by its name and items, and gets the MAP of its own D, S and item offsets (eq. 6).
        Any other domain is scored zero-shot (eq. 5).

        Parameters
        ----------
        encoded
            The domain.
        do, semantics
            See `Intervention`.
        calibration
            S of a new domain, from `calibrate`. None is S as the features of the store predict it.
        """
        graph = self.graph
        check_texts(encoded, graph.f_e.linear.in_features)
        calibration = calibration or self.predicted(encoded)
        encoded = encoded.whitened(self.whitening)
        intervention = Intervention.check(do, graph, semantics)
        row = self.sources.row(encoded.domain)
        trained = None if row is None else self.sources.nodes_of(encoded.domain, row)
        graph.eval()
        weights = self.sources.weights(graph)
        return InterventionalScorer(
            graph, encoded, intervention, trained=trained, domain=row or 0, weights=weights, calibration=calibration
        )

    def with_priors(self, priors: Priors) -> PreRec:
        """Return an untrained model with other priors and otherwise the same settings."""
        free = self.free - set(self.priors.lifted)
        new = PreRec._of(replace(Settings.of(self), priors=priors, free=free), str(self.device))
        new.encoder_revision = self.encoder_revision
        return new

    def graph_or_start(self, encoded: EncodedDomain) -> Graph:
        """Return the trained graph or, of an untrained model, the graph at the start of training on a domain."""
        return self._graph or self.with_priors(self.priors)._build([encoded])

    def save(self, folder: str | Path) -> None:
        """Write ``weights.safetensors``, ``config.json``, ``manifest.json`` and a model card; see `export`."""
        self._contents().write(Path(folder))

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto", *, graph: GraphClass | None = None) -> PreRec:
        """Return a saved model.

        Parameters
        ----------
        folder
            The model folder.
        device
            Device of the model.
        graph
            Class of the graph, if the model was trained with a graph of one's own. A file only names it.

        Raises
        ------
        InputError
            If a file of the folder is missing, damaged or in another format.
        """
        saved = SavedModel.read(Path(folder), choose_device(device), graph)
        model = cls._of(saved.settings, device)
        model.encoder_revision, model.history, model.facts = saved.encoder_revision, saved.history, saved.facts
        model._graph, model.sources = saved.graph, saved.sources
        return model

    @classmethod
    def _of(cls, settings: Settings, device: str) -> PreRec:
        """Return an untrained model with these settings; several graphs may have the same class as their Config."""
        given = {name: value for name, value in vars(settings).items() if name not in ("graph_class", "config")}
        model = cls(settings.graph_class, **given, device=device)
        model.config = settings.config
        return model

    def _contents(self) -> SavedModel:
        return SavedModel(Settings.of(self), self.encoder_revision, self.graph, self.sources, self.history, self.facts)
