"""The objective of training, against Pyro's own ELBO."""

from __future__ import annotations

import dataclasses

import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO

from prerec_pyro.models.priors import HalfCauchy, LogNormal, Normal
from prerec_pyro.training.objective import PathwiseELBO
from tests.support.models import PRIORS, program_and_guide, small_encoded, small_graph, small_sources, training

SOURCES = small_sources(small_encoded("a", seed=1), small_encoded("b", num_items=9, num_users=12, seed=2))
RANDOM = dataclasses.replace(PRIORS, D=Normal(LogNormal(0.5, 1.0)), W_z=Normal(HalfCauchy(0.5)))


def built(priors=PRIORS, free=("D", "V"), **changes):
    """A program and a guide whose parameters are not at their start."""
    program, guide = program_and_guide(small_graph(priors=priors, **changes), SOURCES, free)
    batch = SOURCES[1].first_batch(training())
    with torch.no_grad():
        guide(batch)
        torch.manual_seed(7)
        for parameter in guide.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter).abs())
    return program, guide, batch


@pytest.mark.parametrize("free", [(), ("D",), ("V",), ("D", "V", "S")], ids=lambda free: "".join(free) or "none")
@pytest.mark.parametrize("priors", [PRIORS, RANDOM], ids=["points", "gaussians"])
@pytest.mark.parametrize("particles", [1, 3])
def test_value_and_gradient_are_those_of_trace_elbo(priors, free, particles: int) -> None:
    program, guide, batch = built(priors, free)
    program.eval()
    found = []
    for kind in (PathwiseELBO, Trace_ELBO):
        elbo = kind(num_particles=particles)(program, guide)
        elbo.zero_grad(set_to_none=True)
        torch.manual_seed(3)
        loss = elbo(batch)
        loss.backward()
        slopes = {name: p.grad.to_dense() for name, p in elbo.named_parameters() if p.grad is not None}
        found.append((loss.detach(), slopes))
    (ours, our_slopes), (theirs, their_slopes) = found
    torch.testing.assert_close(ours, theirs)
    assert our_slopes.keys() == their_slopes.keys()
    assert any(name.startswith("model.") and slope.any() for name, slope in our_slopes.items())
    for name, slope in our_slopes.items():
        torch.testing.assert_close(slope, their_slopes[name], msg=lambda text, name=name: f"{name}: {text}")


def test_it_does_not_wait_for_a_number_of_the_device(monkeypatch) -> None:
    """On CUDA each `item` would wait for all that was asked of the device before."""
    program, guide, batch = built()

    def refuse(*_: object) -> None:
        raise AssertionError("a number was read")

    with pyro.validation_enabled(False):
        for name in ("item", "tolist", "__bool__", "__float__", "__int__", "numpy", "cpu"):
            monkeypatch.setattr(torch.Tensor, name, refuse)
        with pytest.raises(AssertionError, match="a number was read"):
            Trace_ELBO()(program, guide)(batch)
        PathwiseELBO()(program, guide)(batch).backward()
