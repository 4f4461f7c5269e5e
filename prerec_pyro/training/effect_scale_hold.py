"""Effect scales held back while networks are trained on few choices: the effect of repeats, and the length of U."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.graphs.registry import Graph
from prerec_pyro.training.batch_schedule import Source
from prerec_pyro.training.trainer import TrainConfig


class EffectScaleHold:
    """Holds w_h at 0 and U at its first length during training, and restores the length whenever users are ranked.

    Items of the history are the hardest rivals of a choice: they resemble what the history matches, and are seldom
    chosen. Where w_h alone rules them out, U·V learns nothing from them. Without w_h it has to tell them apart, and
    with few choices that is most of what there is to learn. The length of U that was estimated together with ω is
    short for a training without ω. Its value in the domain is estimated from the log afterwards, with S.

    Nothing is held in a graph without S, in a model whose S was never estimated, or with many choices; see
    ``TrainConfig.strengths_at``.

    Parameters
    ----------
    graph
        Changed, until `put_back`.
    sources
        Domains to train on.
    config
        Says from how many queries on nothing is held.
    """

    def __init__(self, graph: Graph, sources: Sequence[Source], config: TrainConfig) -> None:
        few = config.strengths_at is not None and max(s.num_queries for s in sources) < config.strengths_at
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
        """Put the length back for as long as the context lasts."""
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
        """Let w_h be what it was, and the length what it was and what training changed in it."""
        if self.graph is not None:
            with torch.no_grad():
                self.graph.likelihood.w_h.copy_(self.w_h)
            self.graph.likelihood.w_h.requires_grad_(True)
            self._shift(-self.shift)

    @torch.no_grad()
    def _shift(self, by: torch.Tensor) -> None:
        if self.graph is not None:
            self.graph.f_seq.log_length += by
