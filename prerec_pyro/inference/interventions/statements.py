"""Statements of a graph run under ``do``: what is known conditioned, the rest at its prior mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import pyro
from torch import Tensor

from prerec_pyro.errors import InputError
from prerec_pyro.inference.guides.map_guide import fixed_hyperpriors, noncentered
from prerec_pyro.models.graphs.registry import Graph


@contextmanager
def run_under_do(graph: Graph, known: Mapping[str, Tensor], do: Mapping[str, Tensor]) -> Iterator[None]:
    """Run statements of the graph under ``do`` (inside) with what is known conditioned on (outside).

    Nodes that are neither take their prior mean. `do` must be the innermost handler: the fresh site that it leaves
    behind is then an ordinary node to all others.
    """
    free = {"V"} if "V_decentered" in known else set()
    config = noncentered(free | ({"D", "S"} & set(known))) | fixed_hyperpriors(graph)
    with ExitStack() as stack:
        stack.enter_context(pyro.validation_enabled(False))  # a pass over each mean, for distributions not drawn from
        stack.enter_context(pyro.poutine.block())
        stack.enter_context(pyro.poutine.condition(data=dict(known)))
        stack.enter_context(pyro.poutine.reparam(config=config))
        if do:
            stack.enter_context(pyro.poutine.do(data=dict(do)))
        yield


def mean_in_slot(Z: Tensor, candidate_level: Tensor) -> Tensor:
    """Return, for each level, the mean of Z over all items in its time slot, ``(num_levels, B)``.

    Slot by slot, so that a query's answer does not depend on those that share its batch.
    """
    num_slots, num_items = candidate_level.shape
    one = Z.new_full((), 1.0 / num_items).expand(candidate_level.shape)
    share = Z.new_zeros(num_slots, len(Z)).scatter_add(1, candidate_level, one)
    return (share @ Z)[share.argmax(dim=0)]  # a level occurs in one slot only


def rows_of(values: Mapping[str, Tensor], rows: slice) -> dict[str, Tensor]:
    """Return some rows of each value, ``(..., num_rows, B)``."""
    return {node: value[..., rows, :] for node, value in values.items()}


def only(known: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the one entry of that name, or none."""
    return {name: known[name]} if name in known else {}


def check_draw(graph: Graph, num_items: int, name: str, value: Tensor) -> Tensor:
    """Return a draw of a free node in float32 and at its full shape.

    Raises
    ------
    InputError
        If the graph has no such free node, or the draw has another shape.
    """
    dim = graph.config.latent_dim
    shapes: dict[str, tuple[int, ...]] = {"V_decentered": (num_items, dim)}
    shapes |= {node: (graph.num_domains, width) for node, width in graph.domain_widths.items()}
    shapes |= {lifted: (dim,) for lifted in graph.lifted}
    if name not in shapes:
        raise InputError(f"draws of {name}: this model has no such free node")
    if name in graph.domain_widths and value.shape == shapes[name][1:]:
        value = value.expand(shapes[name])
    if value.shape != shapes[name]:
        raise InputError(f"draws of {name}: a draw has shape {tuple(value.shape)}, expected {shapes[name]}")
    return value.float()
