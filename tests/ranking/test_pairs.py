"""(row, item) pairs by their place in a sorted catalogue."""

from __future__ import annotations

import numpy as np
import torch

from prerec_pyro.ranking.pairs import PlacedPairs

PLACE = torch.tensor([3, 0, 4, 1, 2])  # of items 0 to 4


def test_pairs_are_in_order_of_their_place() -> None:
    pairs = PlacedPairs.of((np.array([0, 0, 1], np.int32), np.array([2, 1, 4], np.int32)), PLACE)
    assert pairs.places.tolist() == [0, 2, 4]
    assert pairs.rows.tolist() == [0, 1, 0]


def test_within_counts_places_from_the_beginning_of_the_block() -> None:
    pairs = PlacedPairs.of((np.array([0, 0, 1]), np.array([2, 1, 4])), PLACE)
    rows, places = pairs.within(1, 5)
    assert (rows.tolist(), places.tolist()) == ([1, 0], [1, 3])
    assert [part.numel() for part in pairs.within(1, 2)] == [0, 0]


def test_no_pairs_are_an_empty_set() -> None:
    assert PlacedPairs.of(None, PLACE).places.numel() == 0
