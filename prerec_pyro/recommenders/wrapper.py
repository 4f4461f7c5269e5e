"""A trained model served otherwise: what a wrapper takes over from the model within."""

from __future__ import annotations

from prerec_pyro.causal.mixin import CausalMixin
from prerec_pyro.causal.protocol import CausalModel
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.registry import Graph
from prerec_pyro.recommenders.base import BaseRecommender


class RecommenderWrapper(CausalMixin, BaseRecommender):
    """Base of what answers like a trained model, from another scorer: texts and popularity are read as the model does.

    Parameters
    ----------
    model
        The model within.
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
        """That of the model."""
        return self.model.graph

    @property
    def sources(self) -> TrainedDomains:
        """Those of the model."""
        return self.model.sources
