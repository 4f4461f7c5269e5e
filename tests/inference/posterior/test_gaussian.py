"""Laplace and variational approximations of a posterior that is known in closed form."""

from __future__ import annotations

import numpy as np
import pyro
import pytest
import torch
from torch import Tensor, nn

from prerec_pyro.errors import InputError
from prerec_pyro.inference.posterior.gaussian import Schedule, VariationalKind, laplace, variational
from prerec_pyro.inference.posterior.mode import Mode, maximize
from tests.support.linear_gaussian import LinearGaussian


def test_laplace_is_exact_for_a_gaussian_posterior(linear: tuple[LinearGaussian, Mode]) -> None:
    program, mode = linear
    mean, covariance = program.posterior()
    torch.testing.assert_close(mode.values["x"], mean, rtol=0, atol=1e-5)
    posterior = laplace(mode).get_posterior()
    torch.testing.assert_close(posterior.mean, mean, rtol=0, atol=1e-5)
    torch.testing.assert_close(posterior.covariance_matrix, covariance, rtol=1e-6, atol=1e-8)


def test_laplace_refuses_a_density_that_does_not_curve_down() -> None:
    class Flat(LinearGaussian):
        """The data cancels the curvature of the prior along the first coordinate."""

        def forward(self) -> dict[str, Tensor]:
            values = self.latents()
            pyro.factor("lift", 0.6 * values["x"][0] ** 2 - 0.01 * values["x"][0] ** 4)
            return values

    program = Flat(torch.zeros(1, 3, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    guide, values, _ = maximize(program, {"x": torch.zeros(3, dtype=torch.float64)})
    with pytest.raises(InputError, match="does not curve down in every direction"):
        laplace(Mode(guide, values, 0, 0.0))


@pytest.mark.parametrize("kind", ["normal", "low_rank"])
def test_variational_inference_finds_the_best_gaussian(
    linear: tuple[LinearGaussian, Mode], kind: VariationalKind
) -> None:
    """Independent normals reach mean and conditional variances; with full rank, marginal variances too."""
    program, mode = linear
    mean, covariance = program.posterior()
    schedule = Schedule(steps=500, rate=0.05, restarts=2, rank=3)
    guide, facts = variational(program, mode, kind, schedule, seed=0)
    torch.manual_seed(0)
    with torch.no_grad():
        draws = torch.stack([_draw(program, guide) for _ in range(4000)])
    sd = covariance.diagonal().sqrt()
    np.testing.assert_allclose(draws.mean(0), mean, atol=0.15 * float(sd.min()))
    expected = torch.linalg.inv(covariance).diagonal().rsqrt() if kind == "normal" else sd
    np.testing.assert_allclose(draws.std(0), expected, rtol=0.12)
    assert facts["mean_shift"] < 0.3
    assert np.ptp(facts["elbo"]) < 0.3


def _draw(program: LinearGaussian, guide: nn.Module) -> Tensor:
    with pyro.poutine.replay(trace=pyro.poutine.trace(guide).get_trace()):
        return program.latents()["x"]
