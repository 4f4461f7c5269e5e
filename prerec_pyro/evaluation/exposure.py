"""Exposure metrics: how much of the catalogue the lists show, and how popular the shown items are."""

from __future__ import annotations

import torch
from torch import Tensor


def catalogue_coverage(top_items: Tensor, num_items: int, k: int) -> float:
    """Return the share of the items that appear at least once among the first k of a list, 0 to 1.

    Parameters
    ----------
    top_items
        Item indices, best first, ``(num_queries, k or more)`` integers.
    num_items
        Size of the catalogue.
    k
        Length of the lists that counts.

    Raises
    ------
    ValueError
        If an index is outside 0 … num_items - 1.

    Examples
    --------
    >>> import torch
    >>> catalogue_coverage(torch.tensor([[0, 1], [0, 3]]), num_items=6, k=2)
    0.5
    """
    return float((_times_shown(top_items[:, :k], num_items) > 0).double().mean())


def mean_popularity(top_items: Tensor, counts: Tensor) -> float:
    """Return the mean count of the shown items over all places of all lists; NaN where nothing is shown.

    Parameters
    ----------
    top_items
        Item indices, ``(num_queries, k)`` integers.
    counts
        Interactions of each item, ``(num_items,)``.

    Examples
    --------
    >>> import torch
    >>> mean_popularity(torch.tensor([[0, 1], [0, 2]]), counts=torch.tensor([10, 4, 0]))
    6.0
    """
    return float(counts.double()[top_items.long()].mean())


class ExposureMetrics:
    """Exposure of a catalogue, accumulated batch by batch.

    Parameters
    ----------
    num_items
        Size of the catalogue.

    Examples
    --------
    >>> import torch
    >>> exposure = ExposureMetrics(num_items=4)
    >>> exposure.update(torch.tensor([[0, 1], [0, 2]]), popularity=torch.tensor([[9.0, 1.0], [9.0, 5.0]]))
    >>> exposure.compute()
    {'coverage': 0.75, 'mean_popularity': 6.0, 'gini_exposure': 0.375}
    """

    def __init__(self, num_items: int) -> None:
        self.num_items = num_items
        self._shown = torch.zeros(num_items, dtype=torch.int64)
        self._popularity = 0.0

    def update(self, top_items: Tensor, popularity: Tensor) -> None:
        """Add lists: item indices ``(num_queries, k)`` and the popularity of each shown item, same shape."""
        if top_items.shape != popularity.shape:
            raise ValueError(f"{tuple(top_items.shape)} items, but {tuple(popularity.shape)} popularities")
        self._shown += _times_shown(top_items, self.num_items)
        self._popularity += float(popularity.double().sum())

    def compute(self) -> dict[str, float]:
        """Return the exposure metrics; NaN where nothing is shown.

        ``coverage`` is the share of items shown at least once, ``mean_popularity`` the mean over all places, and
        ``gini_exposure`` the Gini index of how often each item is shown: 0 where all are shown equally often,
        1 - 1 / num_items where one item takes every place.
        """
        places = int(self._shown.sum())
        if not places:
            return dict.fromkeys(("coverage", "mean_popularity", "gini_exposure"), float("nan"))
        shown = self._shown.double().sort().values
        weight = 2 * torch.arange(1, self.num_items + 1, dtype=torch.float64) - self.num_items - 1
        return {
            "coverage": float((shown > 0).double().mean()),
            "mean_popularity": self._popularity / places,
            "gini_exposure": float((weight * shown).sum() / (self.num_items * places)),
        }


def _times_shown(top_items: Tensor, num_items: int) -> Tensor:
    """Return how often each item is shown, ``(num_items,)`` int64."""
    items = top_items.reshape(-1).long().cpu()
    if len(items) and not 0 <= int(items.min()) <= int(items.max()) < num_items:
        raise ValueError(f"item indices must lie in 0 … {num_items - 1}")
    return torch.bincount(items, minlength=num_items)
