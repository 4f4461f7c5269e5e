"""`PreRec`: the one façade over data, graph, inference and ranking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from prerec_pyro.inference.guides.map_guide import FREE_BY_DEFAULT, check_free, check_offsets, trained_nodes
from prerec_pyro.inference.interventions.effect_scales import Calibration
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer, Semantics, Value
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.paper import GraphConfig, PreRecGraph
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
        Shapes and switches of Fig. 1; ``GraphConfig(confounders=False)`` is PreRec_n.
    training
        How to train.
    priors
        Of D, Z, V, U, S, and of the weights W_d and W_z where these are to be random variables; see `Priors`.
    free
        Nodes with a MAP of their own, of D, V and S; the others stand at the mean that their network predicts.
        Weights with a prior are free always.
    encoder
        Text encoder, by name or folder; None is the packaged one.
    window, normalizer
        Of the popularity factors.
    whitening
        Of the texts of each domain, from 0 (none) to 1; see `whiten`.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"``: CUDA where there is one.

    Raises
    ------
    InputError
        If an argument means nothing.
    """

    def __init__(
        self,
        graph: GraphConfig | None = None,
        *,
        training: TrainConfig | None = None,
        priors: Priors | None = None,
        free: Iterable[str] = FREE_BY_DEFAULT,
        encoder: str | None = None,
        window: int = 15,
        normalizer: Normalizer = "catalogue",
        whitening: float = 0.25,
        device: str = "auto",
    ) -> None:
        super().__init__(encoder=encoder, window=window, normalizer=normalizer, device=device)
        if not 0 <= whitening <= 1:
            raise InputError(f"whitening is {whitening}, expected a number from 0 (none) to 1")
        self.whitening = float(whitening)
        self.config = graph or GraphConfig()
        if self.config.latent_dim % self.config.num_heads:
            raise InputError(f"latent_dim {self.config.latent_dim} is no multiple of num_heads {self.config.num_heads}")
        self.training = training or TrainConfig()
        self.priors = priors or Priors()
        self.free = check_free(free, self.priors.lifted)
        check_offsets(self.free, self.priors)
        self.graph: PreRecGraph | None = None
        self.sources = TrainedDomains()
        self.history: list[dict[str, float]] = []
        self.facts: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """``"prerec"``, or ``"prerec_n"`` without confounders."""
        return method(self.config)

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
        if self.graph.has_effect_scales and "S" not in self.free:
            self._reading(run).after_pre_training()
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
        f_e turned to what this domain's texts differ in (`TextEncoder.turn_to`); S is estimated from the log in the end
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
        old, encoded = self._fitted(), self.encoded_once([domain])[0].whitened(self.whitening)
        check_texts(encoded, old.f_e.linear.in_features)
        training = training or FINE_TUNING.model_copy(update={"seed": self.training.seed})
        new = PreRec(**vars(self._settings()) | {"training": training}, device=str(self.device))
        new.encoder_revision = self.encoder_revision
        new._build([encoded])
        new.graph.load_state_dict(old.state_dict())
        new.graph.f_e.turn_to(encoded.texts)
        new.sources.nodes = self.sources.carried(old)
        run = TrainingRun([encoded], split_seed, num_samples, progress_folder, resume, training.seed)
        new._train(run, training)
        if self.graph.has_effect_scales:
            new._reading(run).after_fine_tuning()
        new.facts["fine_tuned_from"] = {name: self.facts[name] for name in ("domains", "seed") if name in self.facts}
        return new

    def _reading(self, run: TrainingRun) -> EffectScaleUpdate:
        an_epoch = run.num_validation_queries(self.training.validation_queries)

        def validation(parts: ValidationUsers, at_least: int) -> float:
            return validation_score(self, parts, self.training.k_percent, max(at_least, an_epoch))

        return EffectScaleUpdate(self.graph, self.sources, run, self.scorer, validation, self.training.seed)

    def _build(self, encoded: list[EncodedDomain]) -> PreRecGraph:
        """Make the graph, at the start of training."""
        self.sources = TrainedDomains.of(encoded)
        torch.manual_seed(self.training.seed)
        text_dim = encoded[0].texts.shape[1]
        self.graph = PreRecGraph(self.config, num_domains=len(encoded), text_dim=text_dim, priors=self.priors)
        self.graph.to(self.device)
        self.graph.f_e.start_from([e.texts for e in encoded])
        return self.graph

    def _train(self, run: TrainingRun, training: TrainConfig) -> None:
        """Fit the parameters and the MAP of the free nodes."""
        first = self.sources.first_rows
        program = map_guide.NonCenteredModel(self.graph, self.free)
        guide = map_guide.map_guide(program, int(first[-1]), self.free, start=self.sources.nodes)
        sources = run.sources(first)
        aside = EffectScaleHold(self.graph, sources, training)
        # Of a run on some samples S is read in the end: an epoch is as good as it is then.
        is_read = self.graph.has_effect_scales and len(sources) == 1 and (bool(aside) or run.num_samples is not None)
        trainer = map_trainer(program, guide, sources, training, self.device)

        def score(parts: ValidationUsers) -> float:
            self.sources.nodes = trained_nodes(guide)
            reading = self._reading(run)
            with aside.returned():
                return reading.score_when_read() if is_read else reading.validation(parts, 0)

        progress, self.facts = run.fit(trainer, lambda: self._contents().config(), score)
        aside.put_back()
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
        graph = self._fitted()
        check_texts(encoded, graph.f_e.linear.in_features)
        encoded = encoded.whitened(self.whitening)
        intervention = Intervention.check(do, latent_dim=self.config.latent_dim, semantics=semantics)
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
        graph = self._fitted().eval()
        if not graph.has_effect_scales or self.sources.row(encoded.domain) is not None:
            return None
        return calibrate(self.scorer(encoded), encoded, users, lengths=lengths, seed=self.training.seed)

    def with_priors(self, priors: Priors) -> PreRec:
        """Return a model that is not trained, of the same settings but for the priors."""
        free = self.free - set(self.priors.lifted)
        new = PreRec(**vars(self._settings()) | {"priors": priors, "free": free}, device=str(self.device))
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
        graph = self.graph
        if graph is None:
            graph = self.with_priors(self.priors)._build([encoded])
        check_texts(encoded, graph.f_e.linear.in_features)
        return prior_predictive(graph, encoded, draws=draws, queries=queries, seed=seed)

    def posterior(self, domain: Domain | EncodedDomain, method: Method = "laplace", **settings: Any) -> Posterior:
        """Return the posterior of a domain's D, S and lifted weights given its log; see `posterior_of`."""
        from prerec_pyro.recommenders.posterior import posterior_of

        encoded, seed = self.encoded(domain).whitened(self.whitening), self.facts.get("split_seed", 0)
        return posterior_of(self._fitted(), self.sources, encoded, method, **{"split_seed": seed} | settings)

    def check_posterior(
        self, domain: Domain | EncodedDomain, posterior: Posterior, **settings: Any
    ) -> PredictiveChecks:
        """Return how a posterior predicts users whose log it was not given; see `checks_on_others`."""
        from prerec_pyro.recommenders.posterior import checks_on_others

        encoded = self.encoded(domain).whitened(self.whitening)
        return checks_on_others(self._fitted(), self.sources, encoded, posterior, **settings)

    def save(self, folder: str | Path) -> None:
        """Write ``weights.safetensors``, ``config.json`` and ``manifest.json``; see `checkpoint.save_model`."""
        self._fitted()
        self._contents().write(Path(folder))

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> PreRec:
        """Return a saved model.

        Raises
        ------
        InputError
            If a file of the folder is missing, damaged or of another format.
        """
        saved = SavedModel.read(Path(folder), choose_device(device))
        model = cls(**vars(saved.settings), device=device)
        model.encoder_revision, model.history, model.facts = saved.encoder_revision, saved.history, saved.facts
        model.graph, model.sources = saved.graph, saved.sources
        return model

    def _settings(self) -> Settings:
        return Settings(
            graph=self.config,
            training=self.training,
            priors=self.priors,
            free=self.free,
            encoder=self.encoder_name,
            window=self.window,
            normalizer=self.normalizer,
            whitening=self.whitening,
        )

    def _contents(self) -> SavedModel:
        return SavedModel(
            self._settings(), self.encoder_revision, self._fitted(), self.sources, self.history, self.facts
        )

    def _fitted(self) -> PreRecGraph:
        return self.trained_graph
