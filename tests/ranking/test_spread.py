"""Lists that cover a catalogue."""

from __future__ import annotations

import numpy as np
import torch

from prerec_pyro.ranking import spread as spread_module
from prerec_pyro.ranking.spread import spread


def groups(sizes: list[int], seed: int = 0, noise: float = 0.05) -> tuple[torch.Tensor, torch.Tensor]:
    """Tight groups of vectors around orthogonal axes, shuffled, and the group of each."""
    generator = torch.Generator().manual_seed(seed)
    group = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    group = group[torch.randperm(len(group), generator=generator)]
    return torch.eye(len(sizes))[group] + noise * torch.randn(len(group), len(sizes), generator=generator), group


def test_each_group_of_items_is_shown_the_largest_first() -> None:
    vectors, group = groups([40, 10, 30, 20])
    assert group[spread(vectors, 4)].tolist() == [0, 2, 3, 1]


def test_the_item_of_a_group_is_the_nearest_to_its_centre() -> None:
    vectors, group = groups([40, 30])
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    for row in spread(vectors, 2).tolist():
        members = (group == group[row]).nonzero()[:, 0]
        distance = (unit[members] - unit[members].mean(0)).norm(dim=1)
        assert row == members[distance.argmin()]


def test_a_long_list_takes_the_groups_in_turn(monkeypatch) -> None:
    monkeypatch.setattr(spread_module, "MOST_CLUSTERS", 3)
    vectors, group = groups([5, 3, 1])
    rows = spread(vectors, 8)
    assert group[rows].tolist() == [0, 1, 2, 0, 1, 0, 1, 0]
    assert len(rows.unique()) == 8


def test_equal_vectors_and_whole_catalogues() -> None:
    same = torch.ones(6, 3)
    assert sorted(spread(same, 4).tolist()) == [0, 1, 2, 3]
    assert sorted(spread(torch.zeros(3, 2), 2).tolist()) == [0, 1]  # no direction at all
    assert sorted(spread(torch.randn(5, 2), 5).tolist()) == [0, 1, 2, 3, 4]
    assert spread(torch.tensor([[1.0, 0.0]]), 1).tolist() == [0]


def test_the_same_catalogue_gives_the_same_list(monkeypatch) -> None:
    vectors, group = groups([200, 150, 100])
    np.random.seed(1)
    first = spread(vectors, 20)
    np.random.seed(2)
    assert torch.equal(spread(vectors, 20), first)
    assert torch.equal(spread(7 * vectors, 20), first)  # length does not matter
    monkeypatch.setattr(spread_module, "FITTED_ITEMS", 90)
    sampled = spread(vectors, 3)
    assert sorted(group[sampled].tolist()) == [0, 1, 2]
