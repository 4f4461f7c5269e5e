"""Prior predictive checks, posteriors, and what is estimated for a store, as methods of `PreRec`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain, check_texts
from prerec_pyro.data.newcomers import NewcomerPopularity
from prerec_pyro.inference.calibration.fit import calibrate
from prerec_pyro.inference.calibration.stores import predicted_scales, prior_of_store
from prerec_pyro.inference.interventions.effect_scales import Calibration
from prerec_pyro.inference.interventions.scorer import InterventionalScorer
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.graphs.registry import Graph
from prerec_pyro.training.recipes import TrainConfig

if TYPE_CHECKING:  # heavy modules that recommendations do not need
    from prerec_pyro.inference.posterior.predictive_checks import PredictiveChecks
    from prerec_pyro.inference.posterior.result import Method, Posterior
    from prerec_pyro.inference.prior.predictive import PriorPredictive


class _Model(Protocol):
    """The parts of `PreRec` that the methods use."""

    training: TrainConfig
    whitening: float
    sources: TrainedDomains
    facts: dict[str, Any]

    @property
    def graph(self) -> Graph: ...

    def encoded(self, domain: Domain | EncodedDomain) -> EncodedDomain: ...

    def scorer(self, encoded: EncodedDomain) -> InterventionalScorer: ...

    def graph_or_start(self, encoded: EncodedDomain) -> Graph: ...


class PosteriorMixin:
    """Methods of a model with priors; all but `prior_predictive` need a trained model."""

    def calibrate(
        self: _Model,
        encoded: EncodedDomain,
        users: np.ndarray,
        lengths: np.ndarray | None = None,
        *,
        only_last: bool = False,
    ) -> Calibration | None:
        """Return S of a new domain, estimated from the log of some users with all else frozen; see `calibrate`.

        It is None if there is nothing to estimate: the graph has no S, the domain has no log, or the model was trained
        on it.

        Parameters
        ----------
        encoded
            The domain.
        users
            ``(num_users,)`` rows of the users.
        lengths
            ``(num_users,)`` number of first events of each user that count; None counts all.
        only_last
            Whether S is estimated after the last event alone, for lists that are made there: a third of the work.
        """
        known = self.sources.row(encoded.domain) is not None
        if "S" not in self.graph.eval().edges or known or not encoded.domain.num_interactions:
            return None
        predicted, seed = predicted_scales(self.graph, self.sources, encoded), self.training.seed
        given: Any = {"lengths": lengths, "seed": seed, "predicted": predicted, "only_last": only_last}
        return calibrate(self.scorer(encoded), encoded, users, **given)

    def predicted(self: _Model, encoded: EncodedDomain) -> Calibration | None:
        """Return S of a new store as its features predict it at each time; None where nothing is to be predicted.

        Parameters
        ----------
        encoded
            The domain.
        """
        found = predicted_scales(self.graph, self.sources, encoded)
        if found is None or not isinstance(self.graph, ExtendedGraph):
            return None
        return found.served(self.graph.likelihood.spread.cpu())

    def newcomers_in(self: _Model, domain: Domain) -> NewcomerPopularity | None:
        """Return what new items have in the sources; None for a source itself, which is served as it was trained."""
        is_source = "fine_tuned_from" not in self.facts and self.sources.row(domain) is not None
        return None if is_source else self.sources.newcomers

    def prior_predictive(
        self: _Model, domain: Domain | EncodedDomain, *, draws: int = 100, queries: int = 500, seed: int = 0
    ) -> PriorPredictive:
        """Return choices drawn from the priors next to those of the domain's log; see `prior_predictive`.

        The networks are those after training or, for an untrained model, those at its start.
        """
        from prerec_pyro.inference.prior.predictive import prior_predictive

        encoded = self.encoded(domain).whitened(self.whitening)
        graph = self.graph_or_start(encoded)
        check_texts(encoded, graph.f_e.linear.in_features)
        return prior_predictive(graph, encoded, draws=draws, queries=queries, seed=seed)

    def posterior(
        self: _Model, domain: Domain | EncodedDomain, method: Method = "laplace", **settings: Any
    ) -> Posterior:
        """Return the posterior of a domain's D, S and lifted weights given its log; see `posterior_of`.

        The prior of S of a new store is its prediction from the store's features, as in `calibrate`.
        """
        from prerec_pyro.recommenders.posterior import posterior_of

        encoded, settings = self.encoded(domain), {"split_seed": self.facts.get("split_seed", 0)} | settings
        prior_S = prior_of_store(self.graph, self.sources, encoded)
        encoded = encoded.whitened(self.whitening)
        return posterior_of(self.graph, self.sources, encoded, method, prior_S=prior_S, **settings)

    def check_posterior(
        self: _Model, domain: Domain | EncodedDomain, posterior: Posterior, **settings: Any
    ) -> PredictiveChecks:
        """Return how well a posterior predicts users whose log it was not given; see `checks_on_others`."""
        from prerec_pyro.recommenders.posterior import checks_on_others

        encoded = self.encoded(domain)
        prior_S = prior_of_store(self.graph, self.sources, encoded)
        encoded = encoded.whitened(self.whitening)
        return checks_on_others(self.graph, self.sources, encoded, posterior, prior_S=prior_S, **settings)
