"""`PreRec`: the one façade over data, graph, inference and ranking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from prerec_pyro.causal.mixin import CausalMixin
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain, check_texts
from prerec_pyro.data.popularity import Normalizer
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.protocol import validation_score
from prerec_pyro.inference.calibration.fit import calibrate
from prerec_pyro.inference.guides import map_guide
from prerec_pyro.inference.guides.free_nodes import check_free, check_offsets, check_priors
from prerec_pyro.inference.guides.map_guide import trained_nodes
from prerec_pyro.inference.interventions.effect_scales import Calibration
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer, Semantics, Value
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.config import GraphConfig
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.graphs.registry import Graph, GraphClass, choose_graph
from prerec_pyro.models.priors import Priors
from prerec_pyro.recommenders.base import BaseRecommender
from prerec_pyro.recommenders.serialization import SavedModel, Settings, method
from prerec_pyro.training.device import choose_device
from prerec_pyro.training.effect_scale_hold import EffectScaleHold
from prerec_pyro.training.effect_scale_update import EffectScaleUpdate
from prerec_pyro.training.objective import map_trainer
from prerec_pyro.training.run import TrainingRun, ValidationUsers
from prerec_pyro.training.trainer import FINE_TUNING, TrainConfig

if TYPE_CHECKING:  # asked for by a few, and not to be waited for by those who want a list
    from prerec_pyro.inference.posterior.predictive_checks import PredictiveChecks
    from prerec_pyro.inference.posterior.result import Method, Posterior
    from prerec_pyro.inference.prior.predictive import PriorPredictive


class PreRec(CausalMixin, BaseRecommender):
    """The pre-trained causal recommender.

    Parameters
    ----------
    graph
        ``"extended"`` (the default), ``"paper"`` or ``"unconfounded"``; the configuration of one of them, such as
        ``PaperConfig(latent_dim=64)``; or a graph class of one's own; see `choose_graph`.
    training
        How to train.
    priors
        Of D, Z, V, U, S, and of the weights W_d and W_z where these are to be random variables; see `Priors`.
    free
        Nodes with a MAP of their own, of D, V and S; by default D and V, of those that the graph has. The others are
        amortised, at the mean that their network predicts. Weights with a prior are always free.
    encoder
        Text encoder, by name or folder; None is the packaged one.
    window, normalizer
        Of the popularity factors.
    whitening
        Whitening of the texts of each domain, from 0 (none) to 1; see `whiten`. None is what the graph was chosen with:
        0.25 for ``"extended"``, 0 for the graphs of the paper.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"``: CUDA where there is one.

    Raises
    ------
    InputError
        If an argument means nothing.
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
        self.training = training or TrainConfig()
        self.priors = priors or Priors()
        check_priors(self.priors, self.graph_class)
        self.free = check_free(free, self.graph_class, self.priors.lifted)
        check_offsets(self.free, self.priors)
        self._graph: Graph | None = None
        self.sources = TrainedDomains()
        self.history: list[dict[str, float]] = []
        self.facts: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """Name of the method: ``"prerec"``, ``"prerec_paper"`` or ``"prerec_n"``, by its graph."""
        return method(self.graph_class)

    @property
    def graph(self) -> Graph:
        """The trained graph; `InputError` before training."""
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
        """Pre-train on the training users of some domains; return self.

        Stops on the mean r-NDCG@K% over their validation users (appendix C.3), and keeps the best epoch.

        Parameters
        ----------
        domains
            Source domains; their names must differ.
        split_seed
            Of the 4:3:3 split of users.
        num_samples
            Train on that many queries of each domain only; see `first_samples`. None is all.
        progress_folder
            Where to keep the state after each epoch; None keeps none.
        resume
            Go on from the state in `progress_folder`.

        Raises
        ------
        InputError
            If there is no domain, two share a name, text embeddings differ in length, or none has training queries.
        """
        encoded = [one.whitened(self.whitening) for one in self.encoded_once(domains)]
        self._build(encoded)
        run = TrainingRun(encoded, split_seed, num_samples, progress_folder, resume, self.training.seed)
        self._train(run, self.training.model_copy(update={"popularity_at": None}))
        if (update := self._effect_scale_update(run)) is not None and "S" not in self.free:
            update.after_pre_training()
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
        """Return a new model, trained further on the training users of one domain (eq. 4); this one stays as it is.

        All parameters move. D_k, S and the item offsets start at their prior means, lifted weights at their MAP, and
        f_e rotated to the texts of this domain (`TextEncoder.rotate_to`); S is estimated from the log in the end
        (`EffectScaleUpdate`). Stops on validation users; the start is epoch 0: with too little to learn from, the
        result is zero-shot, calibrated where that helps.

        Parameters
        ----------
        domain
            The target.
        split_seed, num_samples, progress_folder, resume
            As in `fit`.
        training
            How to train; None is `FINE_TUNING` with the seed of this model.

        Raises
        ------
        InputError
            If this model is not trained, or the domain has no training query.
        """
        old, encoded = self.graph, self.encoded_once([domain])[0].whitened(self.whitening)
        check_texts(encoded, old.f_e.linear.in_features)
        training = training or FINE_TUNING.model_copy(update={"seed": self.training.seed})
        new = PreRec._of(replace(self._settings(), training=training), str(self.device))
        new.encoder_revision = self.encoder_revision
        new._build([encoded])
        new.graph.load_state_dict(old.state_dict())
        new.graph.f_e.rotate_to(encoded.texts)
        new.sources.nodes = self.sources.carried(old)
        run = TrainingRun([encoded], split_seed, num_samples, progress_folder, resume, training.seed)
        new._train(run, training)
        if (update := new._effect_scale_update(run)) is not None:
            update.after_fine_tuning()
        new.facts["fine_tuned_from"] = {name: self.facts[name] for name in ("domains", "seed") if name in self.facts}
        return new

    def _validation(self, run: TrainingRun) -> Callable[[ValidationUsers, int], float]:
        """Return the score of validation users, by the model as it stands, from at least so many queries."""
        an_epoch = run.num_validation_queries(self.training.validation_queries)
        return lambda parts, at_least: validation_score(self, parts, self.training.k_percent, max(at_least, an_epoch))

    def _effect_scale_update(self, run: TrainingRun) -> EffectScaleUpdate | None:
        """Return what estimates S after a run, of a graph that has S."""
        if not isinstance(self.graph, ExtendedGraph):
            return None
        return EffectScaleUpdate(self.graph, self.sources, run, self.scorer, self._validation(run), self.training.seed)

    def _build(self, encoded: list[EncodedDomain]) -> Graph:
        """Make the graph, at the start of training."""
        self.sources = TrainedDomains.of(encoded)
        torch.manual_seed(self.training.seed)
        sizes = {"num_domains": len(encoded), "text_dim": encoded[0].texts.shape[1]}
        graph = self.graph_class(self.config, **sizes, priors=self.priors).to(self.device)
        graph.f_e.start_from([e.texts for e in encoded])
        self._graph = graph
        return graph

    def _train(self, run: TrainingRun, training: TrainConfig) -> None:
        """Fit the parameters and the MAP of the free nodes."""
        first = self.sources.first_rows
        program = map_guide.NonCenteredModel(self.graph, self.free)
        guide = map_guide.map_guide(program, int(first[-1]), self.free, start=self.sources.nodes)
        sources = run.sources(first)
        held, update = EffectScaleHold(self.graph, sources, training), self._effect_scale_update(run)
        # After a run on some samples S is estimated: an epoch is validated as it will then be.
        updated = update is not None and len(sources) == 1 and (bool(held) or run.num_samples is not None)
        trainer = map_trainer(program, guide, sources, training, self.device)

        def score(parts: ValidationUsers) -> float:
            self.sources.nodes = trained_nodes(guide)
            with held.returned():
                return update.score_after() if updated and update is not None else self._validation(run)(parts, 0)

        progress, self.facts = run.fit(trainer, lambda: self._contents().config(), score)
        held.put_back()
        self.sources.nodes = {name: value.clone() for name, value in trained_nodes(guide).items()}
        self.history = progress.history

    def scorer(
        self,
        encoded: EncodedDomain,
        do: Mapping[str, Value] | None = None,
        semantics: Semantics = "interventional",
        calibration: Calibration | None = None,
    ) -> InterventionalScorer:
        """Return P(R | do(…)) on a domain as a function of batches.

        A domain that the model was trained on is recognised by its name and items, and gets the MAP of its own D, S
        and item offsets (eq. 6); any other is served zero-shot (eq. 5).

        Parameters
        ----------
        encoded
            The domain.
        do, semantics
            See `Intervention`.
        calibration
            S of a new domain, from `calibrate`. None leaves it at its prior mean.
        """
        graph = self.graph
        check_texts(encoded, graph.f_e.linear.in_features)
        encoded = encoded.whitened(self.whitening)
        intervention = Intervention.check(do, graph, semantics)
        row = self.sources.row(encoded.domain)
        trained = None if row is None else self.sources.nodes_of(encoded.domain, row)
        graph.eval()
        weights = self.sources.weights(graph)
        return InterventionalScorer(
            graph, encoded, intervention, trained=trained, domain=row or 0, weights=weights, calibration=calibration
        )

    def calibrate(
        self, encoded: EncodedDomain, users: np.ndarray, lengths: np.ndarray | None = None
    ) -> Calibration | None:
        """Return S of a new domain re-estimated from the log of some users, all else frozen; see `calibrate`.

        None where there is nothing to estimate: the model has no S, or was trained on the domain and knows it.
        """
        if "S" not in self.graph.eval().edges or self.sources.row(encoded.domain) is not None:
            return None
        return calibrate(self.scorer(encoded), encoded, users, lengths=lengths, seed=self.training.seed)

    def with_priors(self, priors: Priors) -> PreRec:
        """Return a model that is not trained, of the same settings but for the priors."""
        free = self.free - set(self.priors.lifted)
        new = PreRec._of(replace(self._settings(), priors=priors, free=free), str(self.device))
        new.encoder_revision = self.encoder_revision
        return new

    def prior_predictive(
        self, domain: Domain | EncodedDomain, *, draws: int = 100, queries: int = 500, seed: int = 0
    ) -> PriorPredictive:
        """Return choices drawn from the priors beside those of the domain's log; see `prior_predictive`.

        The networks stand where training left them or, of a model that is not trained, where it would start.
        """
        from prerec_pyro.inference.prior.predictive import prior_predictive

        encoded = self.encoded(domain).whitened(self.whitening)
        graph = self._graph or self.with_priors(self.priors)._build([encoded])
        check_texts(encoded, graph.f_e.linear.in_features)
        return prior_predictive(graph, encoded, draws=draws, queries=queries, seed=seed)

    def posterior(self, domain: Domain | EncodedDomain, method: Method = "laplace", **settings: Any) -> Posterior:
        """Return the posterior of a domain's D, S and lifted weights given its log; see `posterior_of`."""
        from prerec_pyro.recommenders.posterior import posterior_of

        encoded, seed = self.encoded(domain).whitened(self.whitening), self.facts.get("split_seed", 0)
        return posterior_of(self.graph, self.sources, encoded, method, **{"split_seed": seed} | settings)

    def check_posterior(
        self, domain: Domain | EncodedDomain, posterior: Posterior, **settings: Any
    ) -> PredictiveChecks:
        """Return how a posterior predicts users whose log it was not given; see `checks_on_others`."""
        from prerec_pyro.recommenders.posterior import checks_on_others

        encoded = self.encoded(domain).whitened(self.whitening)
        return checks_on_others(self.graph, self.sources, encoded, posterior, **settings)

    def save(self, folder: str | Path) -> None:
        """Write ``weights.safetensors``, ``config.json`` and ``manifest.json``; see `checkpoint.save_model`."""
        self._contents().write(Path(folder))

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto", *, graph: GraphClass | None = None) -> PreRec:
        """Return a saved model.

        Parameters
        ----------
        folder
            The model folder.
        device
            Where to put it.
        graph
            The class of a graph of one's own that the model was trained with; a file names it, and is never executed.

        Raises
        ------
        InputError
            If a file of the folder is missing, damaged or of another format.
        """
        saved = SavedModel.read(Path(folder), choose_device(device), graph)
        model = cls._of(saved.settings, device)
        model.encoder_revision, model.history, model.facts = saved.encoder_revision, saved.history, saved.facts
        model._graph, model.sources = saved.graph, saved.sources
        return model

    @classmethod
    def _of(cls, settings: Settings, device: str) -> PreRec:
        """Return an untrained model of some settings; their graph may be a class whose Config another has too."""
        given = {name: value for name, value in vars(settings).items() if name not in ("graph_class", "config")}
        model = cls(settings.graph_class, **given, device=device)
        model.config = settings.config
        return model

    def _settings(self) -> Settings:
        return Settings(
            graph_class=self.graph_class,
            config=self.config,
            training=self.training,
            priors=self.priors,
            free=self.free,
            encoder=self.encoder_name,
            window=self.window,
            normalizer=self.normalizer,
            whitening=self.whitening,
        )

    def _contents(self) -> SavedModel:
        return SavedModel(self._settings(), self.encoder_revision, self.graph, self.sources, self.history, self.facts)
