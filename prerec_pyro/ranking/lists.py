"""Scores to lists: the Recommender contract, top-k, and the table that every recommender answers with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch, candidates_batch
from prerec_pyro.data.batching.histories import Histories
from prerec_pyro.data.batching.repeats import SeenItems, seen_items
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.ranking.approximate import Approximation
from prerec_pyro.ranking.exact import FactoredScorer, StreamingTopK
from prerec_pyro.ranking.top_k import top_k

__all__ = [
    "COLUMNS",
    "Recommender",
    "Scorer",
    "hide",
    "list_table",
    "recommendations",
    "score_histories",
    "top_k",
    "top_lists",
]

Scorer = Callable[[Batch], Tensor]
Pairs = tuple[np.ndarray, np.ndarray] | None

MANY_ITEMS = 1 << 16
MANY_SCORES = 1 << 25
MEASURED_USERS = 64
"""From so many items, and items × users, on lists are made block by block; below, the dense scores are as fast.
The recall of approximate lists is measured on so many users."""

COLUMNS = ("user_id", "item_id", "score", "rank")


class Recommender(Protocol):
    """What everything that ranks items answers to, baseline or not."""

    name: str

    def scorer(self, encoded: EncodedDomain) -> Scorer:
        """Return a function from a batch over the full catalogue to ``(num_queries, num_items)`` scores."""
        ...


def hide(scores: Tensor, rows: np.ndarray, items: np.ndarray) -> Tensor:
    """Return the scores with the given (row, item) pairs at -inf, in place: what a user has seen, say."""
    scores[torch.from_numpy(rows.astype(np.int64)), torch.from_numpy(items.astype(np.int64))] = -torch.inf
    return scores


def list_table(user_ids: np.ndarray, item_ids: np.ndarray, scores: Tensor, index: Tensor) -> pd.DataFrame:
    """Return ``user_id, item_id, score, rank`` of lists from `top_k`, rank from 1; items at -inf are left out.

    Parameters
    ----------
    user_ids
        ``(num_queries,)``.
    item_ids
        ``(num_items,)`` of the domain.
    scores, index
        ``(num_queries, k)``.
    """
    num_queries, k = index.shape
    table = pd.DataFrame(
        {
            "user_id": np.repeat(user_ids, k),
            "item_id": item_ids[index.cpu().numpy().reshape(-1)],
            "score": scores.cpu().numpy().reshape(-1),
            "rank": np.tile(np.arange(1, k + 1), num_queries),
        },
        columns=list(COLUMNS),
    )
    return table[np.isfinite(table["score"])].reset_index(drop=True)


def score_histories(
    scorer: Scorer, encoded: EncodedDomain, histories: Histories, max_scores: int = 1 << 23
) -> Iterator[tuple[slice, Tensor]]:
    """Yield rows of `histories` and their scores on the CPU, ``(num_rows, num_items)``, in bounded memory."""
    size = max(1, min(max_scores // max(encoded.num_items, 1), 512))
    for begin in range(0, len(histories), size):
        rows = slice(begin, min(begin + size, len(histories)))
        history, positions = histories.padded(rows)
        slots = np.full(len(positions), histories.slot)
        yield rows, scorer(candidates_batch(encoded, history, positions, slots)).cpu()


def top_lists(
    scorer: Scorer,
    encoded: EncodedDomain,
    histories: Histories,
    k: int,
    *,
    drop_seen: bool,
    approximation: Approximation | None = None,
) -> Iterator[tuple[slice, tuple[Tensor, Tensor]]]:
    """Yield rows of `histories` with scores and item indices of their k best items; see `top_k`.

    Where items and users are many, by `StreamingTopK`: the same lists, without the dense scores. With an
    `approximation`, where items are many, by that.
    """
    many_items = encoded.num_items >= MANY_ITEMS
    many = many_items and encoded.num_items * len(histories) >= MANY_SCORES
    if (many or (many_items and approximation is not None)) and isinstance(scorer, FactoredScorer):
        yield from streamed_lists(scorer, encoded, histories, k, drop_seen=drop_seen, approximation=approximation)
        return
    for rows, scores in score_histories(scorer, encoded, histories):
        if drop_seen:
            hide(scores, *histories.seen(rows))
        yield rows, top_k(scores, min(k, encoded.num_items))


def streamed_lists(
    scorer: FactoredScorer,
    encoded: EncodedDomain,
    histories: Histories,
    k: int,
    *,
    drop_seen: bool,
    approximation: Approximation | None = None,
) -> Iterator[tuple[slice, tuple[Tensor, Tensor]]]:
    """Yield what `top_lists` yields, in memory that grows with the items but not with items × users."""
    k = min(k, encoded.num_items)
    history, positions = histories.padded(slice(0, 1))
    moment = candidates_batch(encoded, history, positions, np.array([histories.slot]))
    effects = scorer.score_factors(moment)
    moment = moment.to(effects.items.device)  # once, not with each block of users

    def asked(rows: slice) -> tuple[Tensor, SeenItems | None, Pairs]:
        """Return U, what was met before, and the pairs that are hidden."""
        history, positions = histories.padded(rows)
        batch = dataclasses.replace(
            moment, history=torch.from_numpy(history.astype(np.int64)), positions=torch.from_numpy(positions)
        )
        met = None if effects.again is None else seen_items(history, positions)
        return scorer.user_vectors(batch), met, histories.seen(rows) if drop_seen else None

    if approximation is None:
        lists = StreamingTopK(effects)
    else:
        users, met, hidden = asked(slice(0, min(MEASURED_USERS, len(histories))))
        lists = approximation.lists(effects, users)
        approximation.measure(effects, users, k, met, hidden)
    size = lists.block_queries(k)
    for begin in range(0, len(histories), size):
        rows = slice(begin, min(begin + size, len(histories)))
        users, met, hidden = asked(rows)
        best, index = lists(users, k, met=met, hidden=hidden)
        yield rows, (best.cpu(), index.cpu())


def recommendations(
    scorer: Scorer,
    encoded: EncodedDomain,
    histories: Histories,
    k: int,
    *,
    drop_seen: bool,
    approximation: Approximation | None = None,
) -> pd.DataFrame:
    """Return `list_table` of everybody in `histories`."""
    empty = list_table(np.empty(0, object), encoded.domain.item_ids, torch.empty(0, 1), torch.empty(0, 1).long())
    made = top_lists(scorer, encoded, histories, k, drop_seen=drop_seen, approximation=approximation)
    lists = [list_table(histories.user_ids[rows], encoded.domain.item_ids, *best) for rows, best in made]
    return pd.concat(lists, ignore_index=True) if lists else empty
