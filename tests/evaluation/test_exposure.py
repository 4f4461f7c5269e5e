"""Exposure metrics by hand, and the Gini index against the mean difference."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prerec_pyro.evaluation.exposure import ExposureMetrics, catalogue_coverage, mean_popularity


def test_coverage_and_popularity_by_hand() -> None:
    top = torch.tensor([[0, 1, 2], [0, 3, 2]])
    assert catalogue_coverage(top, 5, 3) == pytest.approx(4 / 5)
    assert catalogue_coverage(top, 5, 1) == pytest.approx(1 / 5)
    assert mean_popularity(top, torch.tensor([10, 4, 1, 0, 99])) == pytest.approx((10 + 4 + 1 + 10 + 0 + 1) / 6)
    with pytest.raises(ValueError, match="0 … 4"):
        catalogue_coverage(torch.tensor([[5]]), 5, 1)


@given(st.lists(st.lists(st.integers(0, 6), min_size=2, max_size=2), min_size=1, max_size=12))
def test_exposure_adds_up_and_gini_is_the_mean_difference(lists: list[list[int]]) -> None:
    counts = torch.tensor([5, 3, 3, 1, 0, 8, 2])
    exposure = ExposureMetrics(7)
    for row in lists:
        chunk = torch.tensor([row])
        exposure.update(chunk, counts[chunk].float())
    got, top = exposure.compute(), torch.tensor(lists)
    shown = np.bincount(top.flatten().numpy(), minlength=7)
    gini = np.abs(shown[:, None] - shown).sum() / (2 * 7**2 * shown.mean())
    assert got["gini_exposure"] == pytest.approx(gini)
    assert got["coverage"] == pytest.approx(catalogue_coverage(top, 7, 2))
    assert got["mean_popularity"] == pytest.approx(mean_popularity(top, counts))


def test_gini_at_its_ends() -> None:
    even, one = ExposureMetrics(4), ExposureMetrics(4)
    even.update(torch.arange(4)[None], torch.ones(1, 4))
    one.update(torch.full((9, 1), 2), torch.ones(9, 1))
    assert even.compute()["gini_exposure"] == 0.0
    assert one.compute()["gini_exposure"] == pytest.approx(1 - 1 / 4)
    assert all(math.isnan(value) for value in ExposureMetrics(4).compute().values())
    with pytest.raises(ValueError, match="popularities"):
        one.update(torch.zeros(2, 3), torch.zeros(2, 2))
