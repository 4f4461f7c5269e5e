"""Pairs of a user and an item, such as those that the lists leave out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Pairs = tuple[np.ndarray, np.ndarray]
"""(rows, items): row of each user among the queries, and item index; both ``(num_pairs,)``."""


@dataclass(frozen=True, eq=False)
class PlacedPairs:
    """(row, place) pairs in ascending order of place, where a place is an item's position in a sorted catalogue.

    Attributes
    ----------
    rows, places
        ``(num_pairs,)``.
    """

    rows: Tensor
    places: Tensor

    @classmethod
    def of(cls, pairs: Pairs | None, place_of_item: Tensor) -> PlacedPairs:
        """Return the pairs with the place of each item, given the places of all items, ``(num_items,)``."""
        device = place_of_item.device
        rows, items = (np.empty(0, np.int64),) * 2 if pairs is None else pairs
        places = place_of_item[torch.from_numpy(items.astype(np.int64)).to(device)]
        order = places.argsort()
        return cls(torch.from_numpy(rows.astype(np.int64)).to(device)[order], places[order])

    def within(self, begin: int, end: int) -> tuple[Tensor, Tensor]:
        """Return the rows and places of the pairs with a place in ``[begin, end)``; places count from `begin`."""
        first, last = torch.searchsorted(self.places, self.places.new_tensor([begin, end])).tolist()
        return self.rows[first:last], self.places[first:last] - begin
