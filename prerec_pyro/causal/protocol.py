"""What a model must answer to be asked causal questions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.popularity import Normalizer
from prerec_pyro.errors import InputError
from prerec_pyro.inference.interventions.intervention import Semantics, Value
from prerec_pyro.inference.interventions.scorer import InterventionalScorer
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.paper import PreRecGraph


class CausalModel(Protocol):
    """A trained model with the nodes of Fig. 1: `PreRec` and `CalibratedPreRec`."""

    encoder_name: str | None
    encoder_revision: str | None
    window: int
    normalizer: Normalizer
    device: torch.device

    @property
    def name(self) -> str:
        """What to call it."""
        ...

    @property
    def trained_graph(self) -> PreRecGraph:
        """The graph; `InputError` where nothing was trained."""
        ...

    @property
    def sources(self) -> TrainedDomains:
        """The domains that it was trained on."""
        ...

    def encoded(self, domain: Domain | EncodedDomain) -> EncodedDomain:
        """Return the domain encoded."""
        ...

    def scorer(
        self, encoded: EncodedDomain, do: Mapping[str, Value] | None = None, semantics: Semantics = "interventional"
    ) -> InterventionalScorer:
        """Return P(R | do(…)) on a domain as a function of batches."""
        ...


def require_confounders(model: CausalModel, what: str) -> PreRecGraph:
    """Return the graph of a model that has confounders.

    Raises
    ------
    InputError
        If it has none.
    """
    graph = model.trained_graph
    if not graph.config.confounders:
        raise InputError(f"{what}: this model is PreRec_n, it has no D and no Z to ask about; give a model of prerec")
    return graph
