"""Effect scales that are held while networks are trained on few queries: the effect of repeats and the length of U."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.graphs.registry import Graph
from prerec_pyro.training.batch_schedule import Source
from prerec_pyro.training.recipes import TrainConfig


class EffectScaleHold:
    """Holds w_h at 0 and U at its first length in training, and gives the length back whenever users are ranked.

    Items of the history are the hardest rivals of a choice: they resemble what the history matches, and are seldom
    chosen. If w_h alone rules them out, U·V learns nothing from them. Without w_h it has to tell them apart, and with
    few queries that is most of what there is to learn. The length of U was estimated together with ω and is too short
    for a training without ω. Its value in the domain is estimated from the log afterwards, with S.

    Nothing is held in a graph without S, in a model whose S was never estimated, or with many queries; see
    ``Recipe.hold_effect_scales_below``.

    Parameters
    ----------
    graph
        The graph; it changes, until `put_back`.
    sources
        Domains to train on.
    config
        Settings of training, with the number of queries below which scales are held.
    """

    def __init__(self, graph: Graph, sources: Sequence[Source], config: TrainConfig) -> None:
        limit = config.recipe.hold_effect_scales_below
        few = limit is not None and max(source.num_queries for source in sources) < limit
        extended = graph if isinstance(graph, ExtendedGraph) and few else None
        self.graph = extended if extended is not None and bool(extended.likelihood.w_r != 0) else None
        if self.graph is not None:
            w_h = self.graph.likelihood.w_h
            self.w_h = w_h.detach().clone()
            self.shift = math.log(graph.config.sharpness) - graph.f_seq.log_length.detach()
            w_h.requires_grad_(False).zero_()
            self._shift(self.shift)

    def __bool__(self) -> bool:
        """Whether anything is held."""
        return self.graph is not None

    @contextmanager
    def returned(self) -> Iterator[None]:
        """Give U its length back within the context."""
        if self.graph is None:
            yield
            return
        in_training = self.graph.f_seq.log_length.detach().clone()
        self._shift(-self.shift)
        try:
            yield
        finally:
            with torch.no_grad():
                self.graph.f_seq.log_length.copy_(in_training)

    def put_back(self) -> None:
        """End the hold: restore w_h, and the length together with what training changed in it."""
        if self.graph is not None:
            with torch.no_grad():
                self.graph.likelihood.w_h.copy_(self.w_h)
            self.graph.likelihood.w_h.requires_grad_(True)
            self._shift(-self.shift)

    @torch.no_grad()
    def _shift(self, change: torch.Tensor) -> None:
        if self.graph is not None:
            self.graph.f_seq.log_length.add_(change)
