"""Fixtures: a model with a posterior in closed form, and its mode."""

from __future__ import annotations

import pytest
import torch

from prerec_pyro.inference.posterior.mode import Mode, maximize
from tests.support.linear_gaussian import LinearGaussian


@pytest.fixture
def linear() -> tuple[LinearGaussian, Mode]:
    generator = torch.Generator().manual_seed(1)
    A = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    program = LinearGaussian(A, torch.randn(6, generator=generator, dtype=torch.float64))
    guide, values, _ = maximize(program, {"x": torch.zeros(3, dtype=torch.float64)})
    return program, Mode(guide, values, 0, 0.0)
