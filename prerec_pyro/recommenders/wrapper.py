"""Base of recommenders that wrap a trained model and score with another scorer."""

from __future__ import annotations

from prerec_pyro.causal.mixin import CausalMixin
from prerec_pyro.causal.protocol import CausalModel
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.newcomers import NewcomerPopularity
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.registry import Graph
from prerec_pyro.recommenders.base import BaseRecommender


class RecommenderWrapper(CausalMixin, BaseRecommender):
    """Recommender around a trained model: it reads texts and popularity as the model does, and scores in its own way.

    Parameters
    ----------
    model
        The wrapped model.
    """

    def __init__(self, model: CausalModel) -> None:
        super().__init__(
            encoder=model.encoder_name,
            window=model.window,
            normalizer=model.normalizer,
            device=str(model.device),
        )
        self.encoder_revision = model.encoder_revision
        self.model = model

    @property
    def graph(self) -> Graph:
        """Graph of the wrapped model."""
        return self.model.graph

    @property
    def sources(self) -> TrainedDomains:
        """Trained domains of the wrapped model."""
        return self.model.sources

    def newcomers_in(self, domain: Domain) -> NewcomerPopularity | None:
        """Return what new items of a domain count as in the wrapped model."""
        return self.model.newcomers_in(domain)
