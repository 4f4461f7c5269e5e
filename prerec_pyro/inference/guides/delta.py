"""Point mass: a site with a fixed value and no density."""

from __future__ import annotations

from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from pyro.infer.reparam.reparam import ReparamResult
from torch import Tensor
from torch.distributions import constraints

Shape = torch.Size | list[int] | tuple[int, ...]
_ONE_DRAW = torch.Size()


class PointMass(dist.TorchDistribution):
    """The same as ``dist.Delta(value, event_dim=event_dim).mask(False)``, without a density to evaluate and mask.

    Parameters
    ----------
    value
        The value; its last `event_dim` dimensions are one event.
    event_dim
        0 or 1 for the nodes of the graphs.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    has_rsample = True

    def __init__(self, value: Tensor, event_dim: int) -> None:
        self.value = value
        shape, cut = value.shape, value.dim() - event_dim
        super().__init__(shape[:cut], shape[cut:], validate_args=False)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """Real numbers; the node's own prior may allow fewer."""
        return constraints.independent(constraints.real, len(self.event_shape))

    def expand(self, batch_shape: Shape, _instance: Any = None) -> PointMass:
        """Return it broadcast to `batch_shape`."""
        shape = torch.Size(batch_shape)
        if shape == self.batch_shape:
            return self
        return PointMass(self.value.expand(shape + self.event_shape), len(self.event_shape))

    def rsample(self, sample_shape: Shape = _ONE_DRAW) -> Tensor:
        """Return the value, ``(*sample_shape, ...)``."""
        return self.value.expand(self._extended_shape(torch.Size(sample_shape))) if sample_shape else self.value

    def log_prob(self, value: Tensor) -> Tensor:
        """Return zeros, ``(...)``."""
        return self.value.new_zeros(()).expand(self.batch_shape)


def point_mass(value: Tensor, event_dim: int) -> ReparamResult:
    """Return the site as a reparameterisation leaves it, fixed at `value`."""
    return {"fn": PointMass(value, event_dim), "value": value, "is_observed": True}
