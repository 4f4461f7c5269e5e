"""NUTS on a posterior that is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from prerec_pyro.inference.posterior.diagnostics import convergence
from prerec_pyro.inference.posterior.mode import Mode
from prerec_pyro.inference.posterior.nuts import run_chains
from tests.support.linear_gaussian import LinearGaussian


def test_nuts_is_exact_for_a_gaussian_posterior(linear: tuple[LinearGaussian, Mode]) -> None:
    program, mode = linear
    mean, covariance = program.posterior()
    chains = run_chains(program, mode, num_chains=2, num_draws=250, num_warmup=100, seed=0)
    zero, one = program.units["x"]
    draws = zero + one * chains.points["x_unit"]
    assert draws.shape == (2, 250, 3)
    checks = convergence(draws.numpy())
    assert (checks["r_hat"] < 1.04).all()
    error = covariance.diagonal().sqrt().numpy() / np.sqrt(checks["ess_bulk"])
    assert (np.abs((draws.mean((0, 1)) - mean).numpy()) < 4 * error).all()
    np.testing.assert_allclose(np.cov(draws.flatten(0, 1).mT), covariance, atol=0.05)
    assert chains.energy.shape == chains.diverging.shape == (2, 250)
    assert not chains.diverging.any()
    # Energy is the sum of potential and kinetic energy, each with variance 3/2 for three Gaussian coordinates.
    assert chains.energy.std() == pytest.approx(3**0.5, rel=0.15)
