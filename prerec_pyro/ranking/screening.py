"""Probabilities of all items that are cheap and right to within a known error, and exact scores for close calls.

Ranks and lists need comparisons, and most comparisons are clear. The mixture in units of probability is a sum, where
its logarithm takes several passes over queries × items. Its values differ from the exponentials of the scores by
rounding alone; where items are nearer than that, the scores themselves decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.likelihoods.repeat_mixture import (
    REPEAT_MATCH_WEIGHT,
    MixtureLogOdds,
    repeat_log_probs,
)

BLOCK = 1 << 18
"""Probabilities in memory at a time: they stay in the CPU cache."""
ROUNDING = 3e-6
"""Error of the difference of two log probabilities for each nat of them, twice what was measured."""
SMALLEST = 1e-30
"""Probability from which relative errors are those of rounding."""
_NEVER = -1e4


@dataclass(frozen=True, eq=False)
class Screening:
    """The mixture of the queries of a batch, see `RepeatMixture`, in units of probability.

    Attributes
    ----------
    match
        ``(num_queries, num_items)``.
    background
        Z·W_z with its factor, ``(num_slots, num_items)``.
    slot
        ``(num_queries,)`` row of `background` of each query.
    odds
        Log odds of ρ and ω, each ``(1 or num_queries, 1)``.
    repeats
        ``(2, num_repeats)`` (query, item) pairs in which the item is in the query's history, by query.
    exact
        Function from queries, ``(num_rows,)``, to their scores, ``(num_rows, num_items)``.
    """

    match: Tensor
    background: Tensor
    slot: Tensor
    odds: MixtureLogOdds
    repeats: Tensor
    exact: Callable[[Tensor], Tensor]

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield rows, and the probabilities of all items, ``(num_rows, num_items)``."""
        num_queries, num_items = self.match.shape
        query, item = self.repeats
        slot = self.slot[query]
        repeat = self.odds.repeat.expand(num_queries, 1)
        logits = REPEAT_MATCH_WEIGHT * self.match[query, item] + self.background[slot, item]
        again = repeat_log_probs(logits, query, repeat[:, 0]).exp()  # (num_repeats,)
        share = (self.background - self.background.amax(1, keepdim=True)).exp_()  # (num_slots, num_items)
        of_new = share.double().sum(1)[self.slot].index_add_(0, query, share[slot, item].double(), alpha=-1.0)
        of_match = torch.sigmoid(-repeat) * torch.sigmoid(-self.odds.background)
        of_popular = torch.sigmoid(-repeat) * torch.sigmoid(self.odds.background)  # (num_queries, 1)
        of_popular = (of_popular / of_new[:, None].clamp_min(torch.finfo(of_new.dtype).tiny)).to(share)
        size = max(1, BLOCK // max(num_items, 1))
        ends = torch.searchsorted(query, torch.arange(0, num_queries + size, size, device=query.device)).tolist()
        for number, begin in enumerate(range(0, num_queries, size)):
            rows, pairs = slice(begin, begin + size), slice(ends[number], ends[number + 1])
            place = query[pairs] - begin, item[pairs]
            popularity = share[self.slot[rows]]
            scores = self.background[self.slot[rows]].add_(self.match[rows])
            scores[place] = _NEVER
            found = scores.softmax(1).mul_(of_match[rows]).add_(popularity.mul_(of_popular[rows]))
            found[place] = again[pairs]
            yield rows, found


@runtime_checkable
class ScreenedScorer(Protocol):
    """A scorer that gives cheap probabilities besides its scores."""

    def screening(self, batch: Batch) -> Screening | None:
        """Return the cheap probabilities of a batch; None where the scores are as cheap."""
        ...


def tolerance(probability: Tensor) -> Tensor:
    """Return the relative error of ratios of probabilities, theirs and that of scores together, of the same shape."""
    return ROUNDING * (8.0 - probability.clamp_min(SMALLEST).log())
