"""Exact top-k over large catalogues, in memory that holds neither (users × items) nor a second pass.

Against a whole catalogue the log probability of a new item is ``log[(1 - ω) softmax(U·V + b) + ω softmax(b)]`` with
the background b, popularity; see `mixture_log_probs`. Which items are best depends on the two normalisers, and these
are known only after all items have been scored. But the mixture grows with both ``U·V + b`` and ``b``: of items that
share one b, the k best are those with the k largest products, whatever the normalisers are. Popularity is a count, so
nearly all items of a large catalogue share a few values of b. They are scored block by block, and each block leaves k
candidates; the few items with a rare b, and the items of the history, are all candidates. At the end only candidates
are mixed.

The lists equal those of the dense scores. Where rounding makes dense scores equal, because the background outweighs
U·V by more than the digits of a float, items are ordered by U·V here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.data.batching.repeats import SeenItems
from prerec_pyro.models.likelihoods.repeat_mixture import (
    REPEAT_MATCH_WEIGHT,
    repeat_log_odds,
    repeat_log_probs,
    unseen_logsumexp,
)
from prerec_pyro.ranking.top_k import top_k

BLOCK_ITEMS = 8192
BLOCK_QUERIES = 256
COMMON = 1024  # items that must share a background for a block of their own
MAX_KEPT = 1 << 25  # candidates × queries
_LANES = 64


@dataclass(frozen=True, eq=False)
class ScoreFactors:
    """What R is made of at one moment, apart from the users.

    Attributes
    ----------
    items
        V, ``(num_items, B)``.
    popularity
        Z·W_z as it counts in the domain, ``(num_items,)``; None where there is none.
    again
        What the domain is in `repeat_log_odds`, for items met before; None where these are items like others.
    wander
        Log odds of ω; None where there is no such kind of choice. Without both the scores are the logits U·V + b.
    """

    items: Tensor
    popularity: Tensor | None = None
    again: float | None = None
    wander: float | None = None


@runtime_checkable
class FactoredScorer(Protocol):
    """A scorer whose matches are products of user and item vectors."""

    def score_factors(self, batch: Batch) -> ScoreFactors:
        """Return what R is made of in the one time slot of a batch."""
        ...

    def user_vectors(self, batch: Batch) -> Tensor:
        """Return U as it counts in the domain, ``(num_queries, B)``."""
        ...


class StreamingTopK:
    """The k best items of each user, those of the dense scores, block by block.

    Parameters
    ----------
    effects
        What R is made of.
    block_items
        Columns of the largest product that is held at once.
    common
        How many items must share a background to be scored as blocks that leave k candidates each.
    """

    def __init__(self, effects: ScoreFactors, *, block_items: int = BLOCK_ITEMS, common: int = COMMON) -> None:
        background = effects.popularity
        if background is None:
            background = effects.items.new_zeros(len(effects.items))
        self.again, self.wander = effects.again, effects.wander
        self.num_items, self.block_items = len(background), block_items
        _, group, size = torch.unique(background, return_inverse=True, return_counts=True)
        rare = size[group] < common
        self.num_rare = int(rare.sum())
        key = torch.where(rare, -1, group)  # the rare ones first, then group by group, each by item index
        self.index = key.argsort(stable=True)  # (num_items,) where each row of `items` stands in the catalogue
        self._place = torch.empty_like(self.index)
        self._place[self.index] = torch.arange(self.num_items, device=self.index.device)
        self.items = effects.items[self.index]  # (num_items, B)
        self.background = background[self.index]  # (num_items,)
        self._lse_background = self.background.double().logsumexp(0)
        ends = torch.cat([size.new_tensor([self.num_rare]), size[size >= common]]).cumsum(0).tolist()
        self._blocks = [
            (begin, min(begin + block_items, end))
            for start, end in zip([0, *ends[:-1]], ends, strict=True)
            for begin in range(start, end, block_items)
        ]

    def block_queries(self, k: int) -> int:
        """Return how many users fit the bound on what is kept."""
        kept = self.num_rare + k * len(self._blocks)
        return max(1, min(BLOCK_QUERIES, MAX_KEPT // max(kept, 1)))

    @torch.no_grad()
    def __call__(
        self,
        users: Tensor,
        k: int,
        *,
        met: SeenItems | None = None,
        hidden: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return ``(num_queries, k)`` scores and item indices, best first; equal scores go by item index.

        Parameters
        ----------
        users
            U, ``(num_queries, B)``.
        k
            At most ``num_items``.
        met
            What each met before, at least one item; needed where this is a kind of choice, and else not read.
        hidden
            (row, item) pairs that are left out of the lists; they stay in the softmax. None is none.
        """
        met = None if self.again is None else met
        known, left_out = self._pairs(None if met is None else met[:2]), self._pairs(hidden)
        scores, places, normaliser = self._candidates(users, k, known, left_out)
        background = self.background[places]  # (num_queries, num_candidates)
        index = self.index[places]
        if self.wander is not None or met is not None:
            odds = None if met is None else self._odds(met)
            of_background = unseen_logsumexp(
                self._lse_background, self.background[known.places], known.rows, len(users)
            )
            scores = self._new(scores, background, normaliser, of_background, odds)
            if odds is not None:
                extra, extra_index = self._met_candidates(users, known, left_out, odds)
                scores, index = torch.cat([scores, extra], dim=1), torch.cat([index, extra_index], dim=1)
        by_index = index.argsort(dim=1)  # `top_k` lets the first of equals win
        best, at = top_k(scores.gather(1, by_index), k)
        return best, index.gather(1, by_index).gather(1, at)

    def _candidates(self, users: Tensor, k: int, known: _Pairs, left_out: _Pairs) -> tuple[Tensor, Tensor, Tensor]:
        """Return U·V + b of new candidates, their places, and the log of its sum of exponentials over all new items."""
        kept, places, parts = [], [], []
        for begin, end in self._blocks:
            scores = users @ self.items[begin:end].mT
            is_rare = begin < self.num_rare
            # A block of one background adds it to what is left of the block, and not to all of it.
            background = self.background[begin:end] if is_rare else self.background[begin]
            if is_rare:
                scores += background
            scores[known.within(begin, end)] = -torch.inf
            if self.wander is not None or self.again is not None:
                part = _lse(scores)
                parts.append((part if is_rare else part + background).double())
            scores[left_out.within(begin, end)] = -torch.inf
            if is_rare:
                place = torch.arange(begin, end, device=scores.device).expand_as(scores)
            else:
                scores, place = _top_k(scores, min(k, end - begin))
                scores, place = scores + background, place + begin
            kept.append(scores)
            places.append(place)
        normaliser = torch.stack(parts).logsumexp(0) if parts else users.new_zeros(len(users)).double()
        return torch.cat(kept, dim=1), torch.cat(places, dim=1), normaliser

    def _met_candidates(self, users: Tensor, known: _Pairs, left_out: _Pairs, odds: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores and indices of items met before, ``(num_queries, most of a query)``, -inf where hidden."""
        num_queries = len(users)
        order = known.rows.argsort(stable=True)
        rows, places = known.rows[order], known.places[order]
        count = torch.bincount(rows, minlength=num_queries)
        width = int(count.max())
        value = repeat_log_probs(
            REPEAT_MATCH_WEIGHT * (users[rows] * self.items[places]).sum(1) + self.background[places], rows, odds
        )
        hidden = torch.isin(rows * self.num_items + places, left_out.rows * self.num_items + left_out.places)
        column = torch.arange(len(rows), device=users.device) - (count.cumsum(0) - count)[rows]
        scores = users.new_full((num_queries, width), -torch.inf)
        index = torch.zeros((num_queries, width), dtype=torch.int64, device=users.device)
        scores[rows, column] = value.masked_fill(hidden, -torch.inf)
        index[rows, column] = self.index[places]
        return scores, index

    def _odds(self, met: SeenItems) -> Tensor:
        """Return the log odds of an item met before, ``(num_queries,)``."""
        counts = torch.from_numpy(met.counts).to(self.background)
        return repeat_log_odds(counts, self.again)[:, 0]

    def _new(
        self, followed: Tensor, background: Tensor, of_followed: Tensor, of_background: Tensor, again: Tensor | None
    ) -> Tensor:
        """Return the log probability of new items, given U·V + b and b and their normalisers."""
        share = torch.zeros_like(of_followed) if again is None else logsigmoid(-again.double())
        of_followed = of_followed.nan_to_num(neginf=0.0)  # of those who met all items: no candidate is new
        if self.wander is None:
            return followed - (of_followed - share)[:, None].to(followed.dtype)
        wander = torch.tensor(self.wander, dtype=torch.float64)
        # Whole vector registers only: the rest of a row would be rounded by other instructions, and ties be none.
        num_candidates = followed.shape[1]
        followed = pad(followed, (0, -num_candidates % _LANES), value=-torch.inf)
        background = pad(background, (0, -num_candidates % _LANES))
        of_followed = of_followed - (logsigmoid(-wander).to(of_followed) + share)
        of_background = of_background - (logsigmoid(wander).to(of_background) + share)
        followed = followed - of_followed[:, None].to(followed.dtype)
        background = background - of_background[:, None].to(background.dtype)
        mixed = torch.logaddexp(followed, background).masked_fill(followed == -torch.inf, -torch.inf)
        return mixed[:, :num_candidates]

    def _pairs(self, pairs: tuple[np.ndarray, np.ndarray] | None) -> _Pairs:
        device = self.index.device
        rows, items = (np.empty(0, np.int64),) * 2 if pairs is None else pairs
        places = self._place[torch.from_numpy(items.astype(np.int64)).to(device)]
        order = places.argsort()
        return _Pairs(torch.from_numpy(rows.astype(np.int64)).to(device)[order], places[order])


def _lse(scores: Tensor) -> Tensor:
    """Return ``scores.logsumexp(1)``."""
    # log_softmax is one pass over the block, logsumexp is four
    found = scores[:, 0] - scores.log_softmax(1)[:, 0]
    lost = found.isnan()  # the first is an item met before, at -inf
    if lost.any():
        found[lost] = scores[lost].logsumexp(1)
    return found


def _top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return what `top_k` returns, in any order; it looks for ties with one more item and not all over the row."""
    if k == scores.shape[1]:
        return scores, torch.arange(k, device=scores.device).expand_as(scores)
    best, index = scores.topk(k + 1, dim=1)
    tied = best[:, k] == best[:, k - 1]
    best, index = best[:, :k], index[:, :k]
    if tied.any():
        best[tied], index[tied] = top_k(scores[tied], k)
    return best, index


@dataclass(frozen=True, eq=False)
class _Pairs:
    """(row, place) pairs, by place."""

    rows: Tensor
    places: Tensor

    def within(self, begin: int, end: int) -> tuple[Tensor, Tensor]:
        """Return those of some places, counted from `begin`."""
        first, last = torch.searchsorted(self.places, self.places.new_tensor([begin, end])).tolist()
        return self.rows[first:last], self.places[first:last] - begin
