"""Exact top-k over large catalogues in one pass, without a (users × items) matrix in memory.

The log probability of a new item is ``log[(1 - ω) softmax(U·V + b) + ω softmax(b)]``, with popularity as the background
b; see `mixture_log_probs`. The order of the items depends on the two normalisers, which are known only after all items
have been scored. But the mixture grows with both ``U·V + b`` and ``b``: among items with the same b, the k best are
those with the k largest products, whatever the normalisers are. Popularity is a count, so nearly all items of a large
catalogue share a few values of b. They are scored block by block, and each block leaves k candidates. The few items
with a rare b, and the items of the history, are all candidates. The mixture is computed for the candidates alone.

The lists equal those of the dense scores. Rounding can make dense scores equal if the background outweighs U·V by more
than the digits of a float; such items are ordered by U·V here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.data.batching.repeats import SeenItems
from prerec_pyro.models.likelihoods.repeat_mixture import (
    REPEAT_MATCH_WEIGHT,
    repeat_log_odds,
    repeat_log_probs,
    unseen_logsumexp,
)
from prerec_pyro.ranking.mixture import new_item_log_probs
from prerec_pyro.ranking.pairs import Pairs, PlacedPairs
from prerec_pyro.ranking.top_k import top_k, top_k_unordered

BLOCK_ITEMS = 8192
BLOCK_QUERIES = 256
COMMON = 1024
"""Number of items that must share a background to get blocks of their own."""
MAX_KEPT = 1 << 25
"""Bound on candidates × queries in memory."""


@dataclass(frozen=True, eq=False)
class ScoreFactors:
    """The factors of R at one moment, apart from the users.

    Attributes
    ----------
    items
        V, ``(num_items, B)``.
    popularity
        Background b: Z·W_z with the effect scale of the domain, ``(num_items,)``; None is zero.
    repeat
        Effect of the domain on the repeat rate, the second argument of `repeat_log_odds`; None is a repeat rate of 0.
    background_odds
        Log odds of the background rate ω; None is ω = 0. Without both the scores are the logits U·V + b.
    """

    items: Tensor
    popularity: Tensor | None = None
    repeat: float | None = None
    background_odds: float | None = None

    @property
    def background(self) -> Tensor:
        """b, ``(num_items,)``; zeros if there is no popularity."""
        return self.items.new_zeros(len(self.items)) if self.popularity is None else self.popularity

    def repeat_odds(self, seen: SeenItems | None) -> Tensor | None:
        """Return the log odds of the repeat rate of each user, ``(num_queries,)``; None for a repeat rate of 0."""
        if seen is None or self.repeat is None:
            return None
        return repeat_log_odds(torch.from_numpy(seen.counts).to(self.items), self.repeat)[:, 0]


@runtime_checkable
class FactoredScorer(Protocol):
    """A scorer with matches that are products of user and item vectors."""

    def score_factors(self, batch: Batch) -> ScoreFactors:
        """Return the factors of R in the one time slot of a batch."""
        ...

    def user_vectors(self, batch: Batch) -> Tensor:
        """Return U with the effect scale of the domain, ``(num_queries, B)``."""
        ...


class TopK(Protocol):
    """The best items of users given their vectors, exact or approximate."""

    def block_queries(self, k: int) -> int:
        """Return how many users one call should have at most."""
        ...

    def __call__(
        self, users: Tensor, k: int, *, seen: SeenItems | None = None, hidden: Pairs | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return ``(num_queries, k)`` scores and item indices, best first; see `StreamingTopK`."""
        ...


class StreamingTopK:
    """The k best items of each user, equal to those of the dense scores, computed block by block.

    Parameters
    ----------
    factors
        The factors of R.
    block_items
        Number of columns of the largest product in memory.
    common
        Number of items that must share a background to form blocks that leave k candidates each.

    Examples
    --------
    >>> factors = ScoreFactors(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    >>> best, index = StreamingTopK(factors)(torch.tensor([[2.0, 1.0]]), k=2)
    >>> best, index
    (tensor([[3., 2.]]), tensor([[2, 0]]))
    """

    def __init__(self, factors: ScoreFactors, *, block_items: int = BLOCK_ITEMS, common: int = COMMON) -> None:
        self.factors = factors
        background = factors.background
        self.num_items, self.block_items = len(background), block_items
        _, group, size = torch.unique(background, return_inverse=True, return_counts=True)
        is_rare = size[group] < common
        self.num_rare = int(is_rare.sum())
        key = torch.where(is_rare, -1, group)  # rare backgrounds first, then group by group, each by item index
        self.index = key.argsort(stable=True)  # (num_items,) item index of each place
        self._place = torch.empty_like(self.index)
        self._place[self.index] = torch.arange(self.num_items, device=self.index.device)
        self.items = factors.items[self.index]  # (num_items, B)
        self.background = background[self.index]  # (num_items,)
        self._background_lse = self.background.double().logsumexp(0)
        ends = torch.cat([size.new_tensor([self.num_rare]), size[size >= common]]).cumsum(0).tolist()
        self._blocks = [
            (begin, min(begin + block_items, end))
            for start, end in zip([0, *ends[:-1]], ends, strict=True)
            for begin in range(start, end, block_items)
        ]

    def block_queries(self, k: int) -> int:
        """Return the number of users per call; their candidates fit `MAX_KEPT`."""
        kept = self.num_rare + k * len(self._blocks)
        return max(1, min(BLOCK_QUERIES, MAX_KEPT // max(kept, 1)))

    @torch.no_grad()
    def __call__(
        self, users: Tensor, k: int, *, seen: SeenItems | None = None, hidden: Pairs | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return ``(num_queries, k)`` scores and item indices, best first; equal scores in order of the item index.

        Parameters
        ----------
        users
            U, ``(num_queries, B)``.
        k
            At most ``num_items``.
        seen
            Items of the history of each user, at least one; needed with a repeat rate, and not read otherwise.
        hidden
            (row, item) pairs that the lists leave out. They stay in the softmax. None leaves nothing out.
        """
        odds = self.factors.repeat_odds(seen)
        known = PlacedPairs.of(None if seen is None or odds is None else (seen.rows, seen.items), self._place)
        left_out = PlacedPairs.of(hidden, self._place)
        scores, places, normalizer = self._candidates(users, k, known, left_out)
        background = self.background[places]  # (num_queries, num_candidates)
        index = self.index[places]
        if self.factors.background_odds is not None or odds is not None:
            of_background = unseen_logsumexp(
                self._background_lse, self.background[known.places], known.rows, len(users)
            )
            scores = new_item_log_probs(
                scores, background, normalizer, of_background, repeat=odds, background_odds=self.factors.background_odds
            )
        if odds is not None:
            repeated, repeated_index = self._repeat_candidates(users, known, left_out, odds)
            scores, index = torch.cat([scores, repeated], dim=1), torch.cat([index, repeated_index], dim=1)
        by_index = index.argsort(dim=1)  # `top_k` prefers the first of equal scores
        best, at = top_k(scores.gather(1, by_index), k)
        return best, index.gather(1, by_index).gather(1, at)

    def _candidates(
        self, users: Tensor, k: int, known: PlacedPairs, left_out: PlacedPairs
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return U·V + b of the new candidates, their places, and the normaliser of U·V + b over all new items."""
        kept, places, parts = [], [], []
        for begin, end in self._blocks:
            scores = users @ self.items[begin:end].mT
            is_rare = begin < self.num_rare
            # A block with one background adds it to the k candidates and not to the whole block.
            background = self.background[begin:end] if is_rare else self.background[begin]
            if is_rare:
                scores += background
            scores[known.within(begin, end)] = -torch.inf
            if self.factors.background_odds is not None or self.factors.repeat is not None:
                part = _logsumexp(scores)
                parts.append((part if is_rare else part + background).double())
            scores[left_out.within(begin, end)] = -torch.inf
            if is_rare:
                place = torch.arange(begin, end, device=scores.device).expand_as(scores)
            else:
                scores, place = top_k_unordered(scores, min(k, end - begin))
                scores, place = scores + background, place + begin
            kept.append(scores)
            places.append(place)
        normalizer = torch.stack(parts).logsumexp(0) if parts else users.new_zeros(len(users)).double()
        return torch.cat(kept, dim=1), torch.cat(places, dim=1), normalizer

    def _repeat_candidates(
        self, users: Tensor, known: PlacedPairs, left_out: PlacedPairs, odds: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return scores and indices of the seen items, ``(num_queries, most of a query)``; -inf where hidden."""
        num_queries = len(users)
        order = known.rows.argsort(stable=True)
        rows, places = known.rows[order], known.places[order]
        count = torch.bincount(rows, minlength=num_queries)
        width = int(count.max())
        logits = REPEAT_MATCH_WEIGHT * (users[rows] * self.items[places]).sum(1) + self.background[places]
        log_probs = repeat_log_probs(logits, rows, odds)  # (num_pairs,)
        hidden = torch.isin(rows * self.num_items + places, left_out.rows * self.num_items + left_out.places)
        column = torch.arange(len(rows), device=users.device) - (count.cumsum(0) - count)[rows]
        scores = users.new_full((num_queries, width), -torch.inf)
        index = torch.zeros((num_queries, width), dtype=torch.int64, device=users.device)
        scores[rows, column] = log_probs.masked_fill(hidden, -torch.inf)
        index[rows, column] = self.index[places]
        return scores, index


def _logsumexp(scores: Tensor) -> Tensor:
    """Return ``scores.logsumexp(1)``, ``(num_rows,)``."""
    # log_softmax is one pass over the block, logsumexp is four
    found = scores[:, 0] - scores.log_softmax(1)[:, 0]
    undefined = found.isnan()  # the first item is a seen one, at -inf
    if undefined.any():
        found[undefined] = scores[undefined].logsumexp(1)
    return found
