"""The interface of a prior: a callable from the mean of a node to its distribution, with optional random settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import pyro
import pyro.distributions as dist
from torch import Tensor

Prior = Callable[..., dist.TorchDistribution]
"""A callable from the mean of a node, ``(..., width)``, to its distribution with one event per row.

A prior may have settings that are random variables. It then has a method ``hypers(loc)`` that returns a `Hyper` for
each of them, and it takes their values as keywords. A prior for one width alone has it as an attribute ``width``.
"""


class Hyper(NamedTuple):
    """A random setting of a prior. It is a site of the program: for node D and setting scale the site is ``D_scale``.

    Attributes
    ----------
    fn
        Its distribution, the hyperprior.
    shared
        Whether all rows of the node share one value. Otherwise each row has its own.
    start
        The value at which inference starts.
    """

    fn: dist.TorchDistribution
    shared: bool
    start: Tensor


@runtime_checkable
class HierarchicalPrior(Protocol):
    """A prior with random settings."""

    def hypers(self, loc: Tensor) -> dict[str, Hyper]:
        """Return the random settings by name, for a node with mean `loc`, ``(..., width)``."""
        ...


def hypers(prior: Prior, loc: Tensor) -> dict[str, Hyper]:
    """Return the random settings of a prior by name; empty for a prior without any."""
    return prior.hypers(loc) if isinstance(prior, HierarchicalPrior) else {}


def sample_shared(node: str, prior: Prior, loc: Tensor) -> dict[str, Tensor]:
    """Sample the random settings that all rows of a node share; return them by name."""
    return {name: pyro.sample(f"{node}_{name}", h.fn) for name, h in hypers(prior, loc).items() if h.shared}


def sample_node(node: str, prior: Prior, loc: Tensor, shared: Mapping[str, Tensor]) -> Tensor:
    """Sample the random settings that each row has for itself, then the node around `loc`; return ``(..., width)``."""
    own = {name: pyro.sample(f"{node}_{name}", h.fn) for name, h in hypers(prior, loc).items() if not h.shared}
    return pyro.sample(node, prior(loc, **shared, **own))


def center(fn: dist.TorchDistribution) -> Tensor:
    """Return the location of a distribution, or its mean if it has none; of shape batch shape + event shape."""
    base = fn.base_dist if hasattr(fn, "base_dist") else fn
    return base.loc if hasattr(base, "loc") else fn.mean
