"""A node that stands where it is put: a site without a density."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import constraints

_ONE_DRAW = torch.Size()


class PointMass(dist.TorchDistribution):
    """The same as ``dist.Delta(value, event_dim=event_dim).mask(False)``, without a density to evaluate and mask.

    Parameters
    ----------
    value
        Where; its last `event_dim` dimensions are one event.
    event_dim
        0 or 1 for what the graph has.
    """

    arg_constraints: Mapping[str, Any] = {}
    has_rsample = True

    def __init__(self, value: Tensor, event_dim: int) -> None:
        self.value = value
        shape, cut = value.shape, value.dim() - event_dim
        super().__init__(shape[:cut], shape[cut:], validate_args=False)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """Real numbers; what may be there is for the node's own prior to say."""
        return constraints.independent(constraints.real, len(self.event_shape))

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> PointMass:
        """Return it broadcast to `batch_shape`."""
        shape = torch.Size(batch_shape)
        if shape == self.batch_shape:
            return self
        return PointMass(self.value.expand(shape + self.event_shape), len(self.event_shape))

    def rsample(self, sample_shape: torch.Size = _ONE_DRAW) -> Tensor:
        """Return the value, ``(*sample_shape, ...)``."""
        return self.value.expand(self._extended_shape(sample_shape)) if sample_shape else self.value

    def log_prob(self, value: Tensor) -> Tensor:
        """Return zeros, ``(...)``: nothing is said of how likely a value is."""
        return self.value.new_zeros(()).expand(self.batch_shape)


def point_mass(value: Tensor, event_dim: int) -> dict[str, Any]:
    """Return what a reparameterisation makes of a site that stands at `value`."""
    return {"fn": PointMass(value, event_dim), "value": value, "is_observed": True}
