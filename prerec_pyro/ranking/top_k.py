"""The k best of each row: a stable sort, only shorter."""

from __future__ import annotations

import torch
from torch import Tensor


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
