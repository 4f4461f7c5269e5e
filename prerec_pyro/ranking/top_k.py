"""The k best of each row, with ties in a defined order."""

from __future__ import annotations

import torch
from torch import Tensor

GROUP = 16
"""Columns of which the largest is found before any is sorted."""


def top_k(scores: Tensor, k: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Return scores and item indices of the k best of each row, best first: the head of a stable sort.

    Equal scores are in order of the item index. With a `generator`, items that tie for the last places are drawn at
    random.

    Parameters
    ----------
    scores
        ``(num_queries, num_items)``; an item at -inf never comes before a finite one.
    k
        At most ``num_items``.
    generator
        Source of the random draws; None draws nothing.

    Returns
    -------
    tuple
        ``(num_queries, k)`` scores and ``(num_queries, k)`` int64 item indices.

    Examples
    --------
    >>> best, index = top_k(torch.tensor([[0.5, 2.0, 1.0, 2.0]]), 3)
    >>> best, index
    (tensor([[2., 2., 1.]]), tensor([[1, 3, 2]]))
    """
    best, index, crowded = _select(scores, k)  # crowded: more items tie for the last places than there are places
    last = best[:, -1:]
    if crowded.any():
        some, cut = scores[crowded], last[crowded]
        if generator is None:
            lot = 1.0 - torch.arange(scores.shape[1], dtype=torch.float64, device=scores.device) / scores.shape[1]
        else:
            lot = torch.rand(some.shape, generator=generator, dtype=torch.float64)
        priority = torch.where(some == cut, lot, 2.0 * (some > cut))  # 2 above the cut, a lot at it, 0 below
        chosen = priority.topk(k, dim=1).indices
        best[crowded], index[crowded] = some.gather(1, chosen), chosen
    by_index = index.argsort(dim=1)
    best, index = best.gather(1, by_index), index.gather(1, by_index)
    by_score = best.argsort(dim=1, descending=True, stable=True)
    return best.gather(1, by_score), index.gather(1, by_score)


def top_k_unordered(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return scores and item indices of the k best of each row, best first, each ``(num_queries, k)``.

    Items that tie are in no particular order, and any of those that tie for the last places are among them.

    Parameters
    ----------
    scores
        ``(num_queries, num_items)``.
    k
        At most ``num_items``.
    """
    return _select(scores, k)[:2]


def _select(scores: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return `top_k_unordered`, and whether more than k items of a row are as good as the last one, ``(num_queries,)``.

    The k best lie in the k groups of columns with the largest maxima: few numbers are sorted where there are many.
    """
    num_groups = scores.shape[1] // GROUP
    if num_groups < 4 * k or scores.is_cuda:
        best, index = scores.topk(k, dim=1)
        return best, index, (scores >= best[:, -1:]).sum(dim=1) > k
    # A group is every num_groups-th column: maxima are taken whole registers at a time. What is left over follows.
    grouped = scores[:, : GROUP * num_groups].unflatten(1, (GROUP, num_groups))
    largest, group = grouped.amax(1).topk(k + 1, dim=1)
    start = torch.arange(GROUP, device=scores.device)[:, None] * num_groups
    columns = (group[:, None, :k] + start).flatten(1)  # (num_queries, GROUP · k)
    rest = torch.arange(GROUP * num_groups, scores.shape[1], device=scores.device).expand(len(scores), -1)
    columns = torch.cat([columns, rest], 1)
    few = scores.gather(1, columns)
    best, at = few.topk(k, dim=1)
    last = best[:, -1:]
    return best, columns.gather(1, at), ((few >= last).sum(dim=1) > k) | (largest[:, k] >= last[:, 0])
