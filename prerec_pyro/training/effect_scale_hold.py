"""What was learnt of repeats and of how long U is, out of the way while networks are trained on few choices."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from prerec_pyro.models.graphs.paper import PreRecGraph
from prerec_pyro.training.batch_schedule import Source
from prerec_pyro.training.trainer import TrainConfig


class EffectScaleHold:
    """Holds w_h at 0 and U at its first length during training, and puts the length back wherever users are ranked.

    Items met before are the hardest rivals of a choice: they look most like what the history asks for, and are seldom
    taken. Where w_h alone rules them out, U·V learns nothing from them. Without w_h it has to tell them apart, and of
    few choices that is the most there is to learn. The length of U that was read together with ω is short for a
    training without ω. What it is in the domain is read off its log afterwards, with S.

    Nothing stands aside in a model of which nothing was read: its w_h is 0 and its length the first. Nor in one without
    S, which has no way to read it afterwards; nor with many choices, see ``TrainConfig.strengths_at``.

    Parameters
    ----------
    graph
        Changed, until `put_back`.
    sources
        What it is trained on.
    config
        How.
    """

    def __init__(self, graph: PreRecGraph, sources: Sequence[Source], config: TrainConfig) -> None:
        few = config.strengths_at is not None and max(s.num_queries for s in sources) < config.strengths_at
        known = graph.config.repeats and graph.has_effect_scales and bool(graph.w_r != 0)
        self.graph = graph if few and known else None
        if self.graph is not None:
            self.w_h = graph.w_h.detach().clone()
            self.shift = math.log(graph.config.sharpness) - graph.f_seq.log_length.detach()
            graph.w_h.requires_grad_(False).zero_()
            self._shift(self.shift)

    def __bool__(self) -> bool:
        """Whether anything stands aside."""
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
            self.graph.w_h.copy_(self.w_h).requires_grad_(True)
            self._shift(-self.shift)

    @torch.no_grad()
    def _shift(self, by: torch.Tensor) -> None:
        self.graph.f_seq.log_length += by
