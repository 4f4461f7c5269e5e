"""The parents of each node: those that a graph declares, and those that its program has."""

from __future__ import annotations

from typing import Any

import torch
from pyro.infer.inspect import get_dependencies

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.errors import InputError
from prerec_pyro.models.graphs.registry import GRAPHS, Graph, latent_parents


def program_parents(program: Graph, batch: Batch) -> dict[str, frozenset[str]]:
    """Return the latent parents of each node, found by Pyro from the log densities that depend on them.

    The random state is left as it was.
    """
    with torch.random.fork_rng():
        found: dict[str, Any] = get_dependencies(program, model_args=(batch,))  # typed as objects by Pyro
    return {node: frozenset(parents) - {node} for node, parents in found["prior_dependencies"].items()}


def check_edges(graph: Graph, batch: Batch) -> None:
    """Refuse a graph of one's own whose ``forward`` does not have the edges that the class declares.

    Interventions read `edges`: a graph that trained on one set and answered from another would rank by a model that
    nobody fitted. The graphs of this package are not run; tests compare theirs.

    Raises
    ------
    InputError
        If a node has other parents in the program; the message names the node and both sets.
    """
    if type(graph) in GRAPHS.values():
        return
    declared, found = latent_parents(graph), program_parents(graph, batch)
    for node in sorted(declared | found):
        if declared.get(node) != found.get(node):
            raise InputError(
                f"graph {type(graph).__name__}: edges gives {node} {_parents(declared.get(node))}, but its forward "
                f"gives it {_parents(found.get(node))}; change one of them so that they agree"
            )


def _parents(parents: frozenset[str] | None) -> str:
    if parents is None:
        return "no node"
    return f"the parents {', '.join(sorted(parents))}" if parents else "no parents"
