"""Convergence, BFMI, k-hat and leave-one-out on draws with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from prerec_pyro.inference.posterior.arviz_io import to_arviz
from prerec_pyro.inference.posterior.diagnostics import bfmi, compare, convergence, k_hat, leave_one_out

RNG = np.random.default_rng(0)


def with_likelihood(values: np.ndarray):
    groups = {"posterior": {"none": values[..., 0]}, "log_likelihood": {"R": values}}
    return to_arviz(groups, dims={"R": ["query"]}, coords={}, attrs={})


def test_chains_that_disagree_have_a_large_r_hat() -> None:
    values = RNG.normal(size=(4, 200, 2))
    values[0, :, 1] += 3
    found = convergence(values)
    assert found["r_hat"][0] < 1.02
    assert found["r_hat"][1] > 1.2
    assert found["ess_bulk"][0] > 500 > 50 > found["ess_bulk"][1]
    assert found["ess_tail"].shape == (2,)


def test_a_number_that_never_moves_has_no_r_hat() -> None:
    assert np.isnan(convergence(np.ones((2, 50, 1)))["r_hat"]).all()


def test_k_hat_separates_a_good_proposal_from_a_narrow_one() -> None:
    """With q = Normal(0, s) and p = Normal(0, 1), the tail of p/q has shape 1 - s² for s < 1."""
    x = RNG.normal(size=20_000)
    for scale, at_least, at_most in ((1.2, -2, 0.4), (0.5, 0.55, 1.0)):
        drawn = scale * x
        log_ratios = -0.5 * drawn**2 + 0.5 * x**2
        assert at_least < k_hat(log_ratios) < at_most
    assert k_hat(np.full(100, -3.0)) == -np.inf, "p is q"


def test_energy_that_changes_slowly_has_a_low_bfmi() -> None:
    quick, slow = RNG.normal(size=(1, 1000)), RNG.normal(size=(1, 1000)).cumsum(axis=1)
    assert bfmi(np.concatenate([quick, slow]))[0] > 1.5
    assert bfmi(np.concatenate([quick, slow]))[1] < 0.1


def test_leave_one_out_is_the_density_of_the_left_out_in_a_conjugate_model() -> None:
    """With y_i ~ Normal(m, 1) and m flat, y_i given the others is Normal(their mean, 1 + 1/(n - 1))."""
    y = RNG.normal(size=30)
    m = y.mean() + RNG.normal(size=(2, 2000)) / np.sqrt(len(y))
    log_likelihood = -0.5 * (y - m[..., None]) ** 2 - 0.5 * np.log(2 * np.pi)
    others, variance = (y.sum() - y) / (len(y) - 1), 1 + 1 / (len(y) - 1)
    exact = (-0.5 * (y - others) ** 2 / variance - 0.5 * np.log(2 * np.pi * variance)).sum()
    found = leave_one_out(with_likelihood(log_likelihood))
    assert found["elpd"] == pytest.approx(exact, abs=0.1)
    assert found["p"] == pytest.approx(1, abs=0.3)
    assert found["bad_k"] == 0


def test_a_point_has_its_log_likelihood_for_elpd_and_models_are_ranked_by_elpd() -> None:
    fit = -RNG.random(size=(1, 1, 20)) - 1
    found = leave_one_out(with_likelihood(fit))
    assert found["elpd"] == pytest.approx(fit.sum())
    assert found["p"] == found["bad_k"] == 0
    table = compare({"worse": with_likelihood(fit - 0.5), "better": with_likelihood(fit)})
    assert list(table.index) == ["better", "worse"]
