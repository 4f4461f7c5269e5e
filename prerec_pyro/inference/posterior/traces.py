"""Typed access to what a Pyro trace holds."""

from __future__ import annotations

import pyro.distributions as dist
from pyro.poutine import Trace
from torch import Tensor


def site_value(trace: Trace, name: str) -> Tensor:
    """Return the value of a sample site.

    Raises
    ------
    TypeError
        If the site has no tensor for a value.
    """
    value = trace.nodes[name]["value"]
    if not isinstance(value, Tensor):
        raise TypeError(f"site {name}: expected a tensor, got {type(value).__name__}")
    return value


def choice_distribution(trace: Trace, name: str) -> dist.Categorical:
    """Return the distribution of a site of R, ``(num_queries,)`` over the candidates.

    Raises
    ------
    TypeError
        If the site has another distribution.
    """
    fn = trace.nodes[name]["fn"]
    if not isinstance(fn, dist.Categorical):
        raise TypeError(f"site {name}: expected a Categorical, got {type(fn).__name__}")
    return fn


def log_prob_sum(trace: Trace) -> Tensor:
    """Return the log density of all sites of a trace in nats, a scalar.

    Raises
    ------
    ValueError
        If the trace has no sample site.
    """
    total = trace.log_prob_sum()
    if not isinstance(total, Tensor):
        raise ValueError("the trace has no sample site, so it has no density")
    return total
