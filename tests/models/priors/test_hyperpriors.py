"""Hyperpriors of a scale: densities and medians against SciPy."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy import stats

from prerec_pyro.errors import InputError
from prerec_pyro.models.priors.hyperpriors import HalfCauchy, HalfNormal, LogNormal, ScalePrior


@pytest.mark.parametrize(
    ("scale", "reference"),
    [
        (LogNormal(0.5, 0.7), stats.lognorm(s=0.7, scale=0.5)),
        (HalfNormal(0.5), stats.halfnorm(scale=0.5)),
        (HalfCauchy(0.5), stats.halfcauchy(scale=0.5)),
    ],
)
def test_densities_and_medians_agree_with_scipy(scale: ScalePrior, reference: Any) -> None:
    assert scale.median == pytest.approx(reference.median())
    value = torch.tensor([0.1, 0.5, 3.0]).double()
    torch.testing.assert_close(scale(value).log_prob(value), torch.from_numpy(reference.logpdf(value.numpy())))


def test_settings_that_are_not_positive_are_refused() -> None:
    with pytest.raises(InputError, match=r"prior log_normal: median is 0.0, expected a positive number"):
        LogNormal(0.0, 1.0)
    with pytest.raises(InputError, match=r"prior half_cauchy: scale is -1, expected a positive number"):
        HalfCauchy(-1)
