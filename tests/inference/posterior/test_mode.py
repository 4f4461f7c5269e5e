"""The mode of a posterior that is known in closed form, and the width of the posterior there."""

from __future__ import annotations

import pytest
import torch

from prerec_pyro.errors import InputError
from prerec_pyro.inference.posterior.mode import Mode, maximize, posterior_widths
from tests.support.linear_gaussian import LinearGaussian


def test_the_mode_is_the_mean_of_a_gaussian(linear: tuple[LinearGaussian, Mode]) -> None:
    program, mode = linear
    mean, covariance = program.posterior()
    torch.testing.assert_close(mode.values["x"], mean, rtol=0, atol=1e-5)
    _, _, gain = maximize(program, {"x": torch.zeros_like(mean)})
    assert gain == pytest.approx(float(0.5 * mean @ torch.linalg.solve(covariance, mean)), abs=1e-6)


def test_widths_are_conditional_standard_deviations(linear: tuple[LinearGaussian, Mode]) -> None:
    program, mode = linear
    _, covariance = program.posterior()
    expected = torch.linalg.inv(covariance).diagonal().rsqrt()
    torch.testing.assert_close(posterior_widths(program, mode)["x"], expected)
    program.units["x"] = (torch.ones(3), torch.full((3,), 4.0))
    guide, values, gain = maximize(program, mode.values)
    assert abs(gain) < 1e-6, "other units have the same mode"
    torch.testing.assert_close(posterior_widths(program, Mode(guide, values, 0, gain))["x"], expected)


def test_a_density_that_is_not_finite_is_refused() -> None:
    y = torch.full((1,), float("nan"), dtype=torch.float64)
    program = LinearGaussian(torch.ones(1, 2, dtype=torch.float64), y)
    with pytest.raises(InputError, match="not finite"):
        maximize(program, {"x": torch.zeros(2, dtype=torch.float64)})
