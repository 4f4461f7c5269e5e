"""Exposure statistics against the metrics of `evaluate`, and the bootstrap against a loop over users."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.causal.measurement import exposure
from prerec_pyro.causal.measurement.exposure import ExposureBootstrap, interval, popularity_groups
from prerec_pyro.evaluation.exposure import ExposureMetrics

USERS = np.repeat([3, 3, 8, 9, 11, 12, 12], 2)
SHOWN = np.random.default_rng(0).integers(0, 17, (len(USERS), 4)).astype(np.int32)
GROUP = popularity_groups(np.arange(17)[::-1], 5)


def reference(shown: np.ndarray) -> dict[str, float]:
    metrics = ExposureMetrics(17)
    metrics.update(torch.from_numpy(shown), torch.zeros(shown.shape))
    return metrics.compute()


@pytest.mark.parametrize("chunk", [1, 60, 1 << 23])
def test_draws_are_the_lists_of_the_users_drawn(monkeypatch, chunk):
    monkeypatch.setattr(exposure, "_CHUNK", chunk)
    found = ExposureBootstrap(USERS, GROUP, draws=20, seed=5).statistics(SHOWN)
    known = np.unique(USERS)
    times = np.random.default_rng(5).multinomial(len(known), np.full(len(known), 1 / len(known)), size=20)
    for row, counts in enumerate([np.ones(len(known), int), *times]):
        shown = np.concatenate([SHOWN[user == USERS] for user, n in zip(known, counts, strict=True) for _ in range(n)])
        expected = reference(shown)
        assert found["coverage"][row] == pytest.approx(expected["coverage"])
        assert found["gini_exposure"][row] == pytest.approx(expected["gini_exposure"])
        share = np.bincount(GROUP[shown.ravel()], minlength=5) / shown.size
        np.testing.assert_allclose(found["share"][row], share)


def test_the_interval_is_around_the_estimate():
    """Draws hold fewer distinct users and cover less; the interval is shifted to the estimate."""
    found = ExposureBootstrap(USERS, GROUP, draws=500).statistics(SHOWN[:, :1])["coverage"]
    assert found[1:].mean() < found[0] - 0.03
    one = interval(found)
    assert one.low < one.value == found[0] < one.high
    assert one.high - one.low == pytest.approx(np.subtract(*np.quantile(found[1:], [0.975, 0.025])))
    assert interval(np.array([0.99, 0.5, 0.9, 0.95])).high == 1.0, "no more than all of the catalogue"
    assert interval(np.array([-0.1, -0.3, 0.0, 0.1]), lowest=-1.0).low == pytest.approx(-0.385)


@settings(deadline=None, max_examples=50)
@given(counts=st.lists(st.integers(0, 5), min_size=1, max_size=40), number=st.integers(1, 12))
def test_groups_are_of_equal_size_and_ordered(counts, number):
    group = popularity_groups(np.array(counts), number)
    sizes = np.bincount(group, minlength=number)
    assert sizes.max() - sizes[sizes > 0].min() <= 1
    order = np.lexsort((np.arange(len(counts)), counts))
    assert (np.diff(group[order]) >= 0).all()
    assert group.max() < number
