"""Interventions by ``do``: nodes, the values they may be set to, and two semantics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from prerec_pyro.errors import InputError
from prerec_pyro.inference.guides.free_nodes import NODES
from prerec_pyro.models.graphs.registry import Graph

Semantics = Literal["interventional", "counterfactual"]


@dataclass(frozen=True)
class Scaled:
    """A multiple of what a node is without the intervention: ``"observed"`` is once, ``"x0.5"`` half of it."""

    factor: float


Value = Tensor | float | int | str | Scaled
_RELATIVE = ("D", "Z", "S")  # roots of the graph: what they are depends on no other node that may be set
_WITH_ROWS = ("Z", "V")


@dataclass(frozen=True)
class Intervention:
    """A checked ``do``: nodes and the values they are set to.

    Both semantics set the node, recompute its descendants and keep the estimates of all other nodes. They differ in
    the noise of the descendants, the part of a node that its parents do not explain: the offset of each item in V.

    *Interventional*, the default: P(R | do(…)), Pearl's second rung. Descendants take the means that their new parents
    give them. Their inferred noise is dropped, because it was inferred without the intervention. The question: "What
    would be shown if we did this to items like these?"

    *Counterfactual*, the third rung: abduction, action, prediction. Descendants take the means that their new parents
    give them, plus the noise that was inferred for them. The question: "What would have been shown, with exactly these
    items, had this been different?" A node that is set to its own value changes nothing.

    Both agree where no descendant has noise of its own: zero-shot; where only the amortised nodes U and Z descend; in
    do(Z) without the edge Z → V and do(D) without D → V; and where V itself is set. D, Z and S are roots, so setting
    one never moves another.

    Attributes
    ----------
    values
        Node → tensor, ``"mean"`` or `Scaled`.
    semantics
        Whether the noise of descendants is dropped or kept.
    """

    values: Mapping[str, Value]
    semantics: Semantics = "interventional"

    @classmethod
    def check(
        cls,
        do: Mapping[str, Value] | None,
        graph: Graph,
        semantics: Semantics = "interventional",
    ) -> Intervention:
        """Return the intervention that ``do`` describes.

        Parameters
        ----------
        do
            Node → value. A number sets every coordinate; ``(latent_dim,)``, for S ``(4,)``, is a vector for every
            row; ``Z`` and ``V`` also take ``(num_items, latent_dim)``; ``Z`` also ``"mean"``, its mean over the
            domain's items at the query's time, so that all are equally popular. ``D``, ``Z`` and ``S`` also take
            ``"observed"``, what they are, and multiples of it, ``"x0.5"`` or ``Scaled(0.5)``.
        graph
            The graph: its nodes, and how long each is.
        semantics
            See the class.

        Raises
        ------
        InputError
            If the graph has no such node, or a value has the wrong shape or is not finite.
        """
        if semantics not in ("interventional", "counterfactual"):
            raise InputError(f"semantics {semantics!r}: expected 'interventional' or 'counterfactual'")
        checked: dict[str, Value] = {}
        for node, value in (do or {}).items():
            if node not in NODES:
                raise InputError(f"do({node}): there is no such node; expected one of {', '.join(NODES)}")
            if node not in graph.edges:
                has = ", ".join(name for name in NODES if name in graph.edges)
                raise InputError(f"do({node}): the graph of this model has no node {node}; it has {has}")
            checked[node] = _checked_value(node, value, graph.domain_widths.get(node, graph.config.latent_dim))
        return cls(checked, semantics)

    def recomputed(self, parents: Mapping[str, frozenset[str]]) -> frozenset[str]:
        """Return the nodes, other than R, that descend from a node that was set and were not set themselves."""
        moved: set[str] = set()
        for _ in NODES:  # no path is longer
            moved |= {node for node in NODES if parents.get(node, frozenset()) & (moved | set(self.values))} - set(
                self.values
            )
        return frozenset(moved)


def _checked_value(node: str, value: Value, width: int) -> Value:
    if isinstance(value, str | Scaled):
        return _checked_word(node, value)
    try:
        tensor = torch.as_tensor(value, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"do({node}): expected a number or a tensor, got {type(value).__name__}") from None
    if not torch.isfinite(tensor).all():
        raise InputError(f"do({node}): the value holds NaN or infinity")
    rows = node in _WITH_ROWS and tensor.ndim == 2 and tensor.shape[1] == width
    if not (tensor.ndim == 0 or tensor.shape == (width,) or rows):
        allowed = f"a number, ({width},)" + (f" or (num_items, {width})" if node in _WITH_ROWS else "")
        raise InputError(f"do({node}): the value has shape {tuple(tensor.shape)}, expected {allowed}")
    return tensor


def _checked_word(node: str, value: str | Scaled) -> Value:
    if node == "Z" and value == "mean":
        return value
    factor = value.factor if isinstance(value, Scaled) else _factor(value)
    if node in _RELATIVE and factor is not None and math.isfinite(factor):
        return Scaled(float(factor))
    words = {"Z": ", a tensor, 'mean', 'observed' or a multiple such as 'x0.5'"}
    others = ", a tensor, 'observed' or a multiple such as 'x0.5'" if node in _RELATIVE else " or a tensor"
    raise InputError(f"do({node}={value!r}): expected a number{words.get(node, others)}")


def _factor(word: str) -> float | None:
    """Return the multiple that a word such as ``"x0.5"`` means, or None."""
    if word == "observed":
        return 1.0
    try:
        return float(word[1:]) if word.startswith("x") else None
    except ValueError:
        return None
