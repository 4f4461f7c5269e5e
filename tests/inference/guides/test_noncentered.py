"""V decentred, against Pyro's own reparameterisation and Gaussian."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer.reparam import LocScaleReparam

from prerec_pyro.inference.guides.noncentered import NonCenteredReparam, StandardNormal
from prerec_pyro.models.priors import Laplace, Normal, StudentT

PRIORS = [Normal(0.1), StudentT(4.0, 0.3), Laplace(0.2)]


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
def test_it_is_the_gaussian_of_mean_0_and_scale_1(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    like = torch.zeros(shape, dtype=torch.double)
    ours, theirs = StandardNormal(like), dist.Normal(like, 1.0).to_event(1)
    assert (ours.batch_shape, ours.event_shape) == (theirs.batch_shape, theirs.event_shape)
    value = torch.randn(4, *shape, dtype=torch.double, requires_grad=True)
    torch.testing.assert_close(ours.log_prob(value), theirs.log_prob(value))
    slopes = [torch.autograd.grad(one.log_prob(value).square().sum(), value)[0] for one in (ours, theirs)]
    torch.testing.assert_close(*slopes)


def test_its_draws_have_mean_0_and_scale_1() -> None:
    torch.manual_seed(0)
    drawn = StandardNormal(torch.zeros(2, 3)).expand(torch.Size([4, 2])).sample(torch.Size([20_000]))
    assert drawn.shape == (20_000, 4, 2, 3)
    assert drawn.mean((0, 1, 2)).abs().max() < 0.02
    assert (drawn.std((0, 1, 2)) - 1).abs().max() < 0.02


@pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: type(prior).__name__)
@pytest.mark.parametrize("given", ["nothing", "offset", "value"])
def test_it_is_loc_scale_reparam(prior, given: str) -> None:
    torch.manual_seed(0)
    loc, rows = torch.randn(6, 3, dtype=torch.double, requires_grad=True), torch.randn(6, 3, dtype=torch.double)

    def program() -> torch.Tensor:
        with pyro.plate("items", 6):
            return pyro.sample("V", prior(loc))

    data = {"nothing": {}, "offset": {"V_decentered": rows}, "value": {"V": rows}}[given]
    found = []
    for how in (NonCenteredReparam(), LocScaleReparam(0.0)):
        torch.manual_seed(1)
        trace = pyro.poutine.trace(
            pyro.poutine.reparam(pyro.poutine.condition(program, data=data), config={"V": how})
        ).get_trace()
        density = trace.log_prob_sum()
        slope = torch.autograd.grad(density + trace.nodes["V"]["value"].square().sum(), loc)[0]
        found.append((density.detach(), trace.nodes["V"]["value"].detach(), slope))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)
