"""What several answers to the same queries rank and show, query by query."""

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
from prerec_pyro.evaluation.protocol import EXPOSURE_SIZE
from prerec_pyro.ranking.lists import top_k

Answers = Callable[[Batch], Iterable[Tensor]]


@dataclass(frozen=True, eq=False)
class Queries:
    """What was asked, in the order in which it was answered.

    Attributes
    ----------
    events
        ``(num_queries,)`` the event that each query predicts.
    users
        ``(num_queries,)`` user row of each.
    """

    events: np.ndarray
    users: np.ndarray


@dataclass(frozen=True, eq=False)
class Lists:
    """One answer to all queries.

    Attributes
    ----------
    ranking
        Where the targets stand.
    shown
        ``(num_queries, k)`` int32, the list, best first.
    popularity
        ``(num_queries,)`` mean over the list of the items' interactions in the window before the query's day.
    target_rank
        ``(num_queries,)`` mean rank of the target over its ties, from 1.
    """

    ranking: RankingMetrics
    shown: np.ndarray
    popularity: np.ndarray
    target_rank: np.ndarray


def answer_all(
    answers: Answers,
    number: int,
    encoded: EncodedDomain,
    users: np.ndarray,
    *,
    k_percent: float,
    list_size: int = EXPOSURE_SIZE,
    max_scores: int = 1 << 22,
    progress: Callable[[int], None] | None = None,
) -> tuple[Queries, list[Lists]]:
    """Return the queries of `users`, by the protocol of `evaluate`, and what each of `number` answers made of them.

    Ties for the last places of a list are drawn as `evaluate` draws them, the same lots for each answer.

    Parameters
    ----------
    answers
        From a batch over the full catalogue to `number` tensors of scores, ``(num_queries, num_items)``.
    number
        How many.
    encoded, users
        The domain, and ``(n,)`` whose queries.
    k_percent
        K% in percent.
    list_size
        Items shown, fewer where there are fewer.
    max_scores
        Bound on the scores of one answer in memory.
    progress
        Called with the number of queries of each finished batch.

    Raises
    ------
    InputError
        If there is no query, K% of the items is less than one item, or a score is NaN.
    """
    rankings = [RankingMetrics(encoded.num_items, k_percent) for _ in range(number)]
    lots = [torch.Generator().manual_seed(0) for _ in range(number)]
    parts: list[list[tuple[np.ndarray, ...]]] = [[] for _ in range(number)]
    events = []
    for batch, targets in query_batches(encoded, users, max_scores=max_scores):
        for which, scores in enumerate(answers(batch)):
            scores = scores.cpu()
            above, ties = target_ranks(scores, batch.targets)
            rankings[which].update(above, ties)
            _, shown = top_k(scores, min(list_size, encoded.num_items), lots[which])  # (num_queries, k)
            counts = batch.counts[batch.slot].gather(1, shown).double()  # (num_queries, k)
            rank = above.double() + 1 + ties.double() / 2
            parts[which].append((shown.int().numpy(), counts.mean(1).numpy(), rank.numpy()))
        events.append(targets)
        if progress is not None:
            progress(batch.num_queries)
    if not events:
        raise InputError(
            f"domain {encoded.name!r}: none of the {len(users):,} users asked for has two events, so "
            "there is no query; choose another split"
        )
    asked = np.concatenate(events)
    done = [
        Lists(ranking, *(np.concatenate(column) for column in zip(*found, strict=True)))
        for ranking, found in zip(rankings, parts, strict=True)
    ]
    return Queries(asked, encoded.domain.user_of_event[asked]), done
