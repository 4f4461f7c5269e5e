"""Scores to lists: the Recommender contract, top-k, and the table that every recommender answers with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from prerec_pyro.data.batches import Batch, candidates_batch
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.histories import Histories

Scorer = Callable[[Batch], Tensor]

COLUMNS = ("user_id", "item_id", "score", "rank")


class Recommender(Protocol):
    """What everything that ranks items answers to, baseline or not."""

    name: str

    def scorer(self, encoded: EncodedDomain) -> Scorer:
        """Return a function from a batch over the full catalogue to ``(num_queries, num_items)`` scores."""
        ...


def top_k(scores: Tensor, k: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Return scores and item indices of the k best of each row, best first.

    Equal scores go by item index; with a `generator`, those that tie for the last places are drawn at random.

    Parameters
    ----------
    scores
        ``(num_queries, num_items)``; an item at -inf is never listed before one that is finite.
    k
        At most ``num_items``.

    Returns
    -------
    tuple
        ``(num_queries, k)`` scores and ``(num_queries, k)`` int64 item indices.
    """
    best, index = scores.topk(k, dim=1)  # in no particular order among equals
    last = best[:, -1:]
    crowded = (scores >= last).sum(dim=1) > k  # more items tie for the last places than there are
    if crowded.any():
        some, cut = scores[crowded], last[crowded]
        if generator is None:
            lot = 1.0 - torch.arange(scores.shape[1], dtype=torch.float64, device=scores.device) / scores.shape[1]
        else:
            lot = torch.rand(some.shape, generator=generator, dtype=torch.float64)
        place = torch.where(some == cut, lot, 2.0 * (some > cut))  # in: 2, a lot between 0 and 1, or out: 0
        chosen = place.topk(k, dim=1).indices
        best[crowded], index[crowded] = some.gather(1, chosen), chosen
    by_index = index.argsort(dim=1)
    best, index = best.gather(1, by_index), index.gather(1, by_index)
    by_score = best.argsort(dim=1, descending=True, stable=True)
    return best.gather(1, by_score), index.gather(1, by_score)


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
    scorer: Scorer, encoded: EncodedDomain, histories: Histories, k: int, *, drop_seen: bool
) -> Iterator[tuple[slice, tuple[Tensor, Tensor]]]:
    """Yield rows of `histories` with scores and item indices of their k best items; see `top_k`."""
    for rows, scores in score_histories(scorer, encoded, histories):
        if drop_seen:
            hide(scores, *histories.seen(rows))
        yield rows, top_k(scores, min(k, encoded.num_items))


def recommendations(
    scorer: Scorer, encoded: EncodedDomain, histories: Histories, k: int, *, drop_seen: bool
) -> pd.DataFrame:
    """Return `list_table` of everybody in `histories`."""
    empty = list_table(np.empty(0, object), encoded.domain.item_ids, torch.empty(0, 1), torch.empty(0, 1).long())
    lists = [
        list_table(histories.user_ids[rows], encoded.domain.item_ids, *best)
        for rows, best in top_lists(scorer, encoded, histories, k, drop_seen=drop_seen)
    ]
    return pd.concat(lists, ignore_index=True) if lists else empty
