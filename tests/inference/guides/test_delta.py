"""A node that stands where it is put, against Pyro's masked Delta."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch

from prerec_pyro.inference.guides.delta import PointMass, point_mass


@pytest.mark.parametrize(("shape", "event_dim"), [((), 0), ((4,), 0), ((4,), 1), ((3, 4), 1), ((2, 3, 4), 1)])
def test_it_is_a_delta_whose_density_does_not_count(shape: tuple[int, ...], event_dim: int) -> None:
    torch.manual_seed(0)
    value = torch.randn(shape, requires_grad=True)
    ours, theirs = PointMass(value, event_dim), dist.Delta(value, event_dim=event_dim).mask(False)
    for one, other in ((ours, theirs), (ours.expand((5, *ours.batch_shape)), theirs.expand((5, *ours.batch_shape)))):
        assert (one.batch_shape, one.event_shape) == (other.batch_shape, other.event_shape)
        assert torch.equal(one(), other())
        assert torch.equal(one.rsample(torch.Size([2])), other.rsample(torch.Size([2])))
        at = torch.randn_like(one())
        assert one.log_prob(at).shape == other.log_prob(at).shape
        assert not one.log_prob(at).any()
        assert one.support.check(at).shape == one.batch_shape


def test_a_gradient_reaches_the_value() -> None:
    value = torch.randn(3, 2, requires_grad=True)
    with pyro.plate("rows", 3):
        drawn = pyro.sample("x", PointMass(value, 1))
    drawn.square().sum().backward()
    torch.testing.assert_close(value.grad, 2 * value.detach())


def test_a_site_that_stands_there_is_observed_and_adds_nothing() -> None:
    site = point_mass(torch.ones(3, 2), 1)
    assert site["is_observed"]
    assert torch.equal(site["value"], torch.ones(3, 2))
    assert float(site["fn"].log_prob(torch.zeros(3, 2)).sum()) == 0.0
