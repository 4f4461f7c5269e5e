"""Protocol of the models that causal reports accept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.newcomers import NewcomerPopularity
from prerec_pyro.data.popularity import Normalizer
from prerec_pyro.errors import InputError
from prerec_pyro.inference.interventions.intervention import Semantics, Value
from prerec_pyro.inference.interventions.scorer import InterventionalScorer
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.registry import Graph, graph_name


class CausalModel(Protocol):
    """A trained model with the nodes of Fig. 1: `PreRec` and `CalibratedPreRec`."""

    encoder_name: str | None
    encoder_revision: str | None
    window: int
    normalizer: Normalizer
    device: torch.device

    @property
    def name(self) -> str:
        """Name of the model, as reports print it."""
        ...

    @property
    def graph(self) -> Graph:
        """The trained graph; raises `InputError` if the model is not trained."""
        ...

    @property
    def sources(self) -> TrainedDomains:
        """The domains on which the model was trained."""
        ...

    def newcomers_in(self, domain: Domain) -> NewcomerPopularity | None:
        """Return what new items of a domain count as; None: as in the log."""
        ...

    def encoded(self, domain: Domain | EncodedDomain) -> EncodedDomain:
        """Return the domain encoded; an encoded one as it is."""
        ...

    def scorer(
        self, encoded: EncodedDomain, do: Mapping[str, Value] | None = None, semantics: Semantics = "interventional"
    ) -> InterventionalScorer:
        """Return the scorer of P(R | do(…)) on a domain."""
        ...


def require_nodes(model: CausalModel, nodes: str, what: str) -> Graph:
    """Return the graph of a model, which has all of some nodes.

    Parameters
    ----------
    model
        A trained model.
    nodes
        Names of the nodes, ``"DZ"`` for D and Z.
    what
        Name of the report, the start of the error message.

    Raises
    ------
    InputError
        If the model is not trained, or its graph lacks a node.
    """
    graph = model.graph
    if missing := [node for node in nodes if node not in graph.edges]:
        raise InputError(
            f"{what}: the graph of this model, {graph_name(type(graph))}, has no node {' and no node '.join(missing)}; "
            f"give a model of a graph that has {' and '.join(nodes)}, such as extended"
        )
    return graph
