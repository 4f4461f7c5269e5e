"""The distance of gradients: uniform p-values under no change, and the covariance of a sum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from prerec_pyro.causal.drift.distance import hotelling_distance, sum_covariance


def test_p_values_are_uniform_where_nothing_has_changed():
    """Group gradients lie around H δ, where δ is a draw of the uncertainty before."""
    rng, size, number = np.random.default_rng(0), 5, 60
    A = rng.standard_normal((size, size))
    hessian = torch.from_numpy(A @ A.T + np.eye(size))
    B = rng.standard_normal((size, size))
    spread = torch.from_numpy(B @ B.T + np.eye(size)) / number  # of one group
    for weight in (0.0, 0.3):
        covariance = weight * torch.linalg.inv(hessian) @ (number * spread) @ torch.linalg.inv(hessian)
        p = []
        for _ in range(600):
            moved = rng.multivariate_normal(np.zeros(size), (hessian @ covariance @ hessian).numpy()) / number
            groups = rng.multivariate_normal(moved, spread.numpy(), size=number)
            p.append(
                hotelling_distance(torch.from_numpy(groups), torch.zeros(size), hessian @ covariance @ hessian).p_value
            )
        assert stats.kstest(p, "uniform").pvalue > 0.01
        assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.03)


def test_the_covariance_is_that_of_the_sum():
    rng = np.random.default_rng(1)
    sums = np.stack([rng.standard_normal((50, 2)).sum(0) for _ in range(2000)])
    found = np.mean(
        [sum_covariance(torch.from_numpy(rng.standard_normal((50, 2)))).numpy() for _ in range(200)], axis=0
    )
    np.testing.assert_allclose(found, np.cov(sums.T), atol=5)
    np.testing.assert_allclose(found, 50 * np.eye(2), atol=3)
