"""Exact top-k over large catalogues: the scores of a few users at a time, with the catalogue prepared once.

The log probability of a new item is ``log[(1 - ω) softmax(match + b) + ω softmax(b)]``, with popularity as the
background b; see `mixture_log_probs`. What does not depend on the user, b and its normaliser, is computed once for all.
Users × items in memory are bounded, so memory grows with the items alone.
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
from prerec_pyro.ranking.pairs import Pairs, as_tensors
from prerec_pyro.ranking.top_k import top_k
from prerec_pyro.ranking.users import Users

BLOCK_QUERIES = 256
BLOCK_SCORES = 1 << 18
"""Scores that are mixed at a time: they stay in the CPU cache."""
MAX_SCORES = 1 << 25
"""Bound on users × items in memory."""


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
        Log odds of the background rate ω; None is ω = 0. Without both the scores are the logits match + b.
    """

    items: Tensor
    popularity: Tensor | None = None
    repeat: float | None = None
    background_odds: float | None = None

    @property
    def background(self) -> Tensor:
        """b, ``(num_items,)``; zeros if there is no popularity."""
        return self.items.new_zeros(len(self.items)) if self.popularity is None else self.popularity

    @property
    def is_mixture(self) -> bool:
        """Whether the scores are log probabilities of a mixture, and not logits."""
        return self.background_odds is not None or self.repeat is not None

    def repeat_odds(self, seen: SeenItems | None) -> Tensor | None:
        """Return the log odds of the repeat rate of each user, ``(num_queries,)``; None for a repeat rate of 0."""
        if seen is None or self.repeat is None:
            return None
        return repeat_log_odds(torch.from_numpy(seen.counts).to(self.items), self.repeat)[:, 0]


@runtime_checkable
class FactoredScorer(Protocol):
    """A scorer with matches that are computed from users and item vectors."""

    def score_factors(self, batch: Batch) -> ScoreFactors:
        """Return the factors of R in the one time slot of a batch."""
        ...

    def users(self, batch: Batch) -> Users:
        """Return the users of a batch as they count under the effect scales of the domain."""
        ...


class TopK(Protocol):
    """The best items of users, exact or approximate."""

    def block_queries(self, k: int) -> int:
        """Return how many users one call should have at most."""
        ...

    def __call__(
        self, users: Users, k: int, *, seen: SeenItems | None = None, hidden: Pairs | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return ``(num_queries, k)`` scores and item indices, best first; see `StreamingTopK`."""
        ...


class StreamingTopK:
    """The k best items of each user, equal to those of the dense scores.

    Parameters
    ----------
    factors
        The factors of R.

    Examples
    --------
    >>> factors = ScoreFactors(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    >>> best, index = StreamingTopK(factors)(Users(torch.tensor([[2.0, 1.0]])), k=2)
    >>> best, index
    (tensor([[3., 2.]]), tensor([[2, 0]]))
    """

    def __init__(self, factors: ScoreFactors) -> None:
        self.factors = factors
        self.background = factors.background  # (num_items,)
        self._background_lse = self.background.double().logsumexp(0)
        self._scores: Tensor | None = None  # kept from call to call: to get as much memory anew takes time

    def block_queries(self, k: int) -> int:
        """Return the number of users per call; their scores fit `MAX_SCORES`."""
        return max(1, min(BLOCK_QUERIES, MAX_SCORES // max(len(self.background), 1)))

    @torch.no_grad()
    def __call__(
        self, users: Users, k: int, *, seen: SeenItems | None = None, hidden: Pairs | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return ``(num_queries, k)`` scores and item indices, best first; equal scores in order of the item index.

        Parameters
        ----------
        users
            The users.
        k
            At most ``num_items``.
        seen
            Items of the history of each user, at least one; needed with a repeat rate, and not read otherwise.
        hidden
            (row, item) pairs that the lists leave out. They stay in the softmax. None leaves nothing out.
        """
        if self._scores is None or len(self._scores) < len(users):
            self._scores = self.background.new_empty(len(users), len(self.background))
        scores = users.match(self.factors.items, out=self._scores[: len(users)])
        if self.factors.is_mixture:
            self._mix(scores, seen)
        else:
            scores += self.background
        scores[as_tensors(hidden, scores.device)] = -torch.inf
        return top_k(scores, k)

    def _mix(self, scores: Tensor, seen: SeenItems | None) -> None:
        """Turn the match, ``(num_queries, num_items)``, into log probabilities, in place."""
        odds = self.factors.repeat_odds(seen)
        known = as_tensors(None if seen is None or odds is None else (seen.rows, seen.items), scores.device)
        row, item = known
        logits = REPEAT_MATCH_WEIGHT * scores[known] + self.background[item]  # (num_pairs,)
        scores += self.background
        scores[known] = -torch.inf
        size = max(1, BLOCK_SCORES // max(len(scores), 1))
        blocks = list(zip(scores.split(size, 1), self.background.split(size), strict=True))
        normalizer = torch.stack([_logsumexp(block).double() for block, _ in blocks]).logsumexp(0)
        of_background = unseen_logsumexp(self._background_lse, self.background[item], row, len(scores))
        for block, background in blocks:
            block[:] = new_item_log_probs(
                block,
                background,
                normalizer,
                of_background,
                repeat=odds,
                background_odds=self.factors.background_odds,
            )
        if odds is not None:
            scores[known] = repeat_log_probs(logits, row, odds)


def _logsumexp(scores: Tensor) -> Tensor:
    """Return ``scores.logsumexp(1)``, ``(num_rows,)``."""
    # log_softmax is one pass over the block, logsumexp is four
    found = scores[:, 0] - scores.log_softmax(1)[:, 0]
    undefined = found.isnan()  # the first item is a seen one, at -inf
    if undefined.any():
        found[undefined] = scores[undefined].logsumexp(1)
    return found
