"""GaussianMixture: its density written out, and settings that are refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy import stats

from prerec_pyro.errors import InputError
from prerec_pyro.models.priors import GaussianMixture, center


def test_density_is_the_weighted_sum_of_the_components() -> None:
    prior = GaussianMixture((0.3, 0.7), ((1.0, -1.0), 0.5), (0.2, 2.0))
    value = torch.tensor([[0.9, -1.1], [3.0, 0.0]]).double()
    expected = 0.3 * stats.norm([2.0, 0.0], 0.2).pdf(value).prod(1) + 0.7 * stats.norm(1.5, 2.0).pdf(value).prod(1)
    fn = prior(torch.ones(2, 2).double())
    torch.testing.assert_close(fn.log_prob(value).exp(), torch.from_numpy(expected))
    torch.testing.assert_close(center(fn), torch.tensor([[1.0 + 0.3 + 0.35, 1.0 - 0.3 + 0.35]] * 2).double())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianMixture((0.5, 0.4), (0, 1), (1, 1)), "weights sum to 0.9, expected 1"),
        (lambda: GaussianMixture((0.5, 0.5), (0, 1), (1, -1)), r"scales\[1\] is -1, expected a positive number"),
        (lambda: GaussianMixture((0.5, 0.5), (0,), (1, 1)), "numbers of components differ"),
        (lambda: GaussianMixture((0.5, 0.5), ((0, 1), (1,)), (1, 1)), "different lengths"),
        (lambda: GaussianMixture((0.5, 0.5), (0, math.nan), (1, 1)), "means holds nan"),
        (lambda: GaussianMixture(1.0, (0,), (1,)), "weights is 1.0, expected a number for each component"),
        (lambda: GaussianMixture((1,), ((0, 1, 2),), (1,))(torch.zeros(1, 2)), "means have 3 numbers, the node has 2"),
    ],
)
def test_settings_that_mean_nothing_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
