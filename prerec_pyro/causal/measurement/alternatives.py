"""Rankings and lists of several alternatives for the same queries, query by query."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch, query_batches
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.metrics import RankingMetrics, target_ranks
from prerec_pyro.evaluation.protocol import EXPOSURE_SIZE, shown_counts, target_items
from prerec_pyro.ranking.lists import top_k

AlternativeScores = Callable[[Batch], Iterable[Tensor]]
"""Function from a batch over the full catalogue to one ``(num_queries, num_items)`` tensor per alternative."""


@dataclass(frozen=True, eq=False)
class Queries:
    """The measured queries, in the order of their results.

    Attributes
    ----------
    events
        ``(num_queries,)`` event that each query predicts.
    users
        ``(num_queries,)`` user row of each query.
    """

    events: np.ndarray
    users: np.ndarray


@dataclass(frozen=True, eq=False)
class RankedLists:
    """Results of one alternative for all queries.

    Attributes
    ----------
    ranking
        Ranks of the targets.
    shown
        ``(num_queries, k)`` int32 item indices of the list, best first.
    popularity
        ``(num_queries,)`` mean over the list of the items' interactions in the window before the query's day.
    target_rank
        ``(num_queries,)`` mean rank of the target over its ties, from 1.
    """

    ranking: RankingMetrics
    shown: np.ndarray
    popularity: np.ndarray
    target_rank: np.ndarray


class _Accumulator:
    """Results of one alternative, batch by batch."""

    def __init__(self, num_items: int, k_percent: float, list_size: int) -> None:
        self._ranking = RankingMetrics(num_items, k_percent)
        self._size = min(list_size, num_items)
        self._tie_breaker = torch.Generator().manual_seed(0)  # the same for every alternative
        self._shown: list[np.ndarray] = []
        self._popularity: list[np.ndarray] = []
        self._rank: list[np.ndarray] = []

    def add(self, batch: Batch, scores: Tensor, targets: Tensor) -> None:
        """Add a batch: ``(num_queries, num_items)`` scores and ``(num_queries,)`` targets."""
        above, ties = target_ranks(scores, targets)
        self._ranking.update(above, ties)
        _, shown = top_k(scores, self._size, self._tie_breaker)  # (num_queries, k)
        self._shown.append(shown.int().numpy())
        self._popularity.append(shown_counts(batch, shown).double().mean(1).numpy())
        self._rank.append((above.double() + 1 + ties.double() / 2).numpy())

    def lists(self) -> RankedLists:
        """Return the results so far."""
        parts = (np.concatenate(column) for column in (self._shown, self._popularity, self._rank))
        return RankedLists(self._ranking, *parts)


def rank_alternatives(
    scores: AlternativeScores,
    number: int,
    encoded: EncodedDomain,
    users: np.ndarray,
    *,
    k_percent: float,
    list_size: int = EXPOSURE_SIZE,
    max_scores: int = 1 << 22,
    progress: Callable[[int], None] | None = None,
) -> tuple[Queries, list[RankedLists]]:
    """Return the queries of `users`, by the protocol of `evaluate`, and the results of each alternative for them.

    Ties for the last places of a list are broken at random as in `evaluate`, alike for every alternative.

    Parameters
    ----------
    scores
        Scores of the alternatives for a batch.
    number
        Number of alternatives.
    encoded
        Domain to measure on.
    users
        ``(n,)`` user rows.
    k_percent
        K% in percent.
    list_size
        Length of the lists; shorter where the domain has fewer items.
    max_scores
        Bound on the scores of one alternative in memory.
    progress
        Called with the number of queries of each finished batch.

    Raises
    ------
    InputError
        If there is no query, K% of the items is less than one item, or a score is NaN.
    """
    found = [_Accumulator(encoded.num_items, k_percent, list_size) for _ in range(number)]
    parts = []
    for batch, batch_events in query_batches(encoded, users, max_scores=max_scores):
        targets = target_items(encoded, batch_events)
        for one, alternative in zip(found, scores(batch), strict=True):
            one.add(batch, alternative.cpu(), targets)
        parts.append(batch_events)
        if progress is not None:
            progress(batch.num_queries)
    if not parts:
        raise InputError(
            f"domain {encoded.name!r}: none of the {len(users):,} chosen users has two events, so "
            "there is no query; choose another split"
        )
    events = np.concatenate(parts)
    return Queries(events, encoded.domain.user_of_event[events]), [one.lists() for one in found]
