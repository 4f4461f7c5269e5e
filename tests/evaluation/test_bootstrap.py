"""The bootstrap against a loop, scipy and the normal approximation; the interval over seeds against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from prerec_pyro.errors import InputError
from prerec_pyro.evaluation import bootstrap
from prerec_pyro.evaluation.bootstrap import Difference, mean_over_seeds, paired_bootstrap


def drawn(num_users: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Values and users of queries: one to six queries per user, and an effect of each user."""
    rng = np.random.default_rng(seed)
    users = np.repeat(rng.permutation(num_users) * 7, rng.integers(1, 7, num_users))
    return rng.normal(0.1, 0.3, len(users)) + rng.normal(0, 0.2, 7 * num_users)[users], users


@pytest.mark.parametrize("chunk", [1, 100, 1 << 23])
def test_the_bootstrap_equals_a_loop_over_draws_of_users(monkeypatch, chunk):
    monkeypatch.setattr(bootstrap, "_CHUNK", chunk)
    values, users = drawn()
    known, means, rng = np.unique(users), [], np.random.default_rng(3)
    for _ in range(200):
        chosen = known[rng.integers(len(known), size=len(known))]
        means.append(np.concatenate([values[users == user] for user in chosen]).mean())
    (found,) = paired_bootstrap(values[:, None], users, draws=200, seed=3)
    assert found.difference == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))
    assert found.share_not_better == np.mean(np.array(means) <= 0)


def test_the_bootstrap_agrees_with_scipy_where_each_user_has_one_query():
    values = np.random.default_rng(1).exponential(1.0, 60) - 0.8
    (found,) = paired_bootstrap(values[:, None], np.arange(60))
    theirs = stats.bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=0).confidence_interval
    width = theirs.high - theirs.low
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.05 * width)


def test_the_queries_of_a_user_are_drawn_together():
    rng = np.random.default_rng(2)
    users = np.repeat(np.arange(100), 20)
    values = np.repeat(rng.normal(0, 1, 100), 20)
    (clustered,) = paired_bootstrap(values[:, None], users)
    expected = 2 * 1.96 * values[::20].std() / math.sqrt(100)
    assert clustered.high - clustered.low == pytest.approx(expected, rel=0.05)
    (as_if_independent,) = paired_bootstrap(values[:, None], np.arange(2000))
    assert as_if_independent.high - as_if_independent.low < 0.3 * expected


def test_columns_share_their_draws_and_order_does_not_matter():
    values, users = drawn()
    both = paired_bootstrap(np.stack([values, -2 * values], axis=1), users, draws=500)
    assert (both[1].low, both[1].high) == pytest.approx((-2 * both[0].high, -2 * both[0].low))
    assert both[1].share_not_better == pytest.approx(1 - both[0].share_not_better)
    order = np.random.default_rng(0).permutation(len(values))
    again = paired_bootstrap(values[order][:, None], users[order], draws=500)
    assert vars(again[0]) == pytest.approx(vars(both[0]))


def test_better_and_worse_need_the_whole_interval():
    assert (Difference(0.1, 0.01, 0.2, 0.0).better, Difference(0.1, -0.01, 0.2, 0.1).better) == (True, False)
    assert (Difference(-0.1, -0.2, -0.01, 1.0).worse, Difference(-0.1, -0.2, 0.0, 0.9).worse) == (True, False)


def test_one_user_gives_a_difference_but_no_interval():
    (found,) = paired_bootstrap(np.array([[0.5], [0.1]]), np.array([4, 4]))
    assert found.as_json() == {"difference": 0.3, "low": None, "high": None, "share_not_better": None}
    assert not found.better
    assert not found.worse


def test_nothing_to_compare_is_refused():
    with pytest.raises(InputError, match="no query"):
        paired_bootstrap(np.empty((0, 1)), np.empty(0, int))
    with pytest.raises(ValueError, match="do not match"):
        paired_bootstrap(np.zeros((3, 1)), np.zeros(2))


def test_the_interval_over_seeds_is_students():
    found = mean_over_seeds([0.30, 0.32, 0.31])
    assert found["mean"] == pytest.approx(0.31)
    assert found["half_width"] == pytest.approx(4.302653 * 0.01 / math.sqrt(3), rel=1e-5)
    interval = stats.ttest_1samp([0.30, 0.32, 0.31], 0.0).confidence_interval(0.95)
    assert found["half_width"] == pytest.approx((interval.high - interval.low) / 2)
    assert mean_over_seeds([0.3]) == {"mean": 0.3, "half_width": None}
    with pytest.raises(ValueError, match="no values"):
        mean_over_seeds([])
