"""The families: densities against SciPy, shapes, and settings that are refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from prerec_pyro.errors import InputError
from prerec_pyro.models.priors import Horseshoe, Laplace, LogNormal, Normal, Prior, StudentT, hypers
from tests.models.priors.strategies import FIXED_SCALE_PRIOR, PRIOR_OF_D


@pytest.mark.parametrize(
    ("prior", "reference"),
    [
        (Normal(0.5), stats.norm(1.0, 0.5)),
        (StudentT(df=4, scale=0.5), stats.t(4, 1.0, 0.5)),
        (Laplace(0.5), stats.laplace(1.0, 0.5)),
    ],
)
def test_densities_agree_with_scipy(prior: Prior, reference: stats.distributions.rv_frozen) -> None:
    fn = prior(torch.ones(3, 2).double())
    assert (fn.batch_shape, fn.event_shape) == ((3,), (2,))
    value = torch.tensor([[-1.0, 0.0], [1.0, 1.0], [2.5, 9.0]]).double()
    torch.testing.assert_close(fn.log_prob(value), torch.from_numpy(reference.logpdf(value.numpy()).sum(-1)))
    assert fn.sample().shape == (3, 2)


@given(FIXED_SCALE_PRIOR, st.integers(0, 3), st.integers(1, 5))
def test_families_accept_any_shape_of_mean(prior: Prior, rows: int, dim: int) -> None:
    fn = prior(torch.zeros(2, rows, dim))
    assert (fn.batch_shape, fn.event_shape) == ((2, rows), (dim,))


@settings(deadline=None)
@given(PRIOR_OF_D, st.integers(1, 3))
def test_random_settings_have_the_shapes_of_their_sites(prior: Prior, rows: int) -> None:
    loc = torch.zeros(rows, getattr(prior, "width", None) or 3)
    values = {}
    for name, hyper in hypers(prior, loc).items():
        shape = () if hyper.shared else tuple(loc.shape)
        assert tuple(hyper.fn.sample().shape) == tuple(hyper.start.shape) == shape
        assert hyper.fn.support.check(hyper.start).all()
        values[name] = hyper.start
    fn = prior(loc, **values)
    assert (fn.batch_shape, fn.event_shape) == (loc.shape[:-1], loc.shape[-1:])


def test_a_sampled_scale_is_used() -> None:
    fn = Normal(LogNormal(0.5, 1.0))(torch.zeros(2, 3), scale=torch.tensor(4.0))
    assert torch.equal(fn.base_dist.scale, torch.full((2, 3), 4.0))
    many = Normal(LogNormal(0.5, 1.0))(torch.zeros(2, 3), scale=torch.tensor([[4.0], [5.0]]))  # two particles
    assert torch.equal(many.base_dist.scale[:, 0, 0], torch.tensor([4.0, 5.0]))
    fn = Horseshoe(0.5)(torch.zeros(1, 2), local=torch.tensor([[2.0, 6.0]]))
    assert torch.equal(fn.base_dist.scale, torch.tensor([[1.0, 3.0]]))


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, "1", None])
@pytest.mark.parametrize("make", [Normal, Laplace, lambda v: StudentT(v, 1.0), lambda v: StudentT(4.0, v)])
def test_scales_that_are_not_positive_are_refused(make: Callable[[object], Prior], value: object) -> None:
    with pytest.raises(InputError, match="expected a positive number"):
        make(value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normal(lambda like: like), "expected a positive number or one of LogNormal, HalfNormal, HalfCauchy"),
        (lambda: Normal(LogNormal), "expected a positive number or one of LogNormal, HalfNormal, HalfCauchy"),
        (lambda: Horseshoe(-1.0), "prior horseshoe: scale is -1.0, expected a positive number"),
    ],
)
def test_scales_of_another_type_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
