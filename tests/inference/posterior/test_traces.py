"""Typed access to Pyro traces: the values, and refusals of anything else."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch

from prerec_pyro.inference.posterior.traces import choice_distribution, log_prob_sum, site_value


def model() -> None:
    pyro.sample("x", dist.Normal(0.0, 1.0), obs=torch.tensor(2.0))
    pyro.sample("R", dist.Categorical(torch.tensor([0.25, 0.75])), obs=torch.tensor(1))


def test_values_and_densities_of_a_trace() -> None:
    trace = pyro.poutine.trace(model).get_trace()
    assert site_value(trace, "x") == 2.0
    torch.testing.assert_close(choice_distribution(trace, "R").probs, torch.tensor([0.25, 0.75]))
    expected = dist.Normal(0.0, 1.0).log_prob(torch.tensor(2.0)) + torch.tensor(0.75).log()
    torch.testing.assert_close(log_prob_sum(trace), expected)


def test_other_sites_are_refused() -> None:
    trace = pyro.poutine.trace(model).get_trace()
    with pytest.raises(TypeError, match="site x: expected a Categorical, got Normal"):
        choice_distribution(trace, "x")
    with pytest.raises(TypeError, match="site _RETURN: expected a tensor, got NoneType"):
        site_value(trace, "_RETURN")
    with pytest.raises(ValueError, match="no sample site"):
        log_prob_sum(pyro.poutine.trace(lambda: None).get_trace())
