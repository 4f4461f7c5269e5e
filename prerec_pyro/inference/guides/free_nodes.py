"""Free nodes: which have a MAP of their own, and what their priors must be; the others are amortised."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import torch

from prerec_pyro.errors import InputError
from prerec_pyro.models.graphs.registry import GraphClass, graph_name
from prerec_pyro.models.priors import WEIGHTS, Priors

NODES = ("D", "Z", "V", "U", "S")
"""Nodes of the graphs, of which each graph has some."""

FREE_BY_DEFAULT = frozenset({"D", "V"})
_CAN_BE_FREE = frozenset({"D", "V", "S"})


def check_free(free: Iterable[str] | None, graph: GraphClass, lifted: Iterable[str] = ()) -> frozenset[str]:
    """Return the free nodes as a set; weights that are `lifted` to random variables always are.

    Parameters
    ----------
    free
        Node names; None is `FREE_BY_DEFAULT`, of those that the graph has.
    graph
        The graph.
    lifted
        Weights with a prior.

    Raises
    ------
    InputError
        If a node is unknown, the graph does not have it, or it has no finite set of values to be free in.
    """
    lifted = frozenset(lifted)
    if free is None:
        return FREE_BY_DEFAULT & set(graph.edges) | lifted
    free = frozenset(free)
    if plain := free & set(WEIGHTS) - lifted:
        name = min(plain)
        raise InputError(
            f"free nodes: {name} is a parameter, and moves as one; give it a prior, as in Priors({name}=Normal(1.0)), "
            "and it is a random variable with a MAP"
        )
    free -= lifted
    if unknown := free - set(NODES):
        raise InputError(f"free nodes: unknown {', '.join(sorted(unknown))}; expected some of {', '.join(NODES)}")
    if refused := free - _CAN_BE_FREE:
        raise InputError(
            f"free nodes: {', '.join(sorted(refused))} cannot be free under a point estimate: U has a value for each "
            "query and Z for each item and day, so a new query or day would have none; they are amortised at f_seq "
            f"and f_pop. Free any of {', '.join(sorted(_CAN_BE_FREE))}"
        )
    if missing := free - set(graph.edges):
        has = ", ".join(sorted(_CAN_BE_FREE & set(graph.edges)))
        raise InputError(
            f"free nodes: the graph {graph_name(graph)} has no node {', '.join(sorted(missing))}; free any of {has}"
        )
    return free | lifted


def check_priors(priors: Priors, graph: GraphClass) -> None:
    """Raise `InputError` if a prior is given to a node that the graph does not have."""
    usual = Priors()
    for field in dataclasses.fields(priors):
        node, given = field.name, getattr(priors, field.name)
        known = ("D" in graph.edges and "Z" in graph.edges) if node in WEIGHTS else node in graph.edges
        if not known and given != getattr(usual, node):
            raise InputError(f"prior of {node}: the graph {graph_name(graph)} has no {node}; leave the prior out")


def check_offsets(free: Iterable[str], priors: Priors) -> None:
    """Raise `InputError` if V is free and its prior cannot be split into a mean and an offset times a scale."""
    fn = priors.V(torch.zeros(1, 2))
    base = fn.base_dist if hasattr(fn, "base_dist") else fn
    if "V" in free and not (hasattr(base, "loc") and hasattr(base, "scale")):
        raise InputError(
            f"prior of V: {type(base).__name__} has no location and scale, so V cannot be split into the mean of its "
            "encoder and an item's own offset; give Normal, StudentT or Laplace, or leave V out of the free nodes"
        )
