"""Non-centred V, its mean plus an item's own offset: `LocScaleReparam` in as few passes as a bare loop takes."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import pyro
import pyro.distributions as dist
import torch
from pyro.infer.reparam import LocScaleReparam
from pyro.infer.reparam.reparam import ReparamMessage, ReparamResult
from pyro.poutine.runtime import InferDict
from torch import Tensor
from torch.distributions import constraints

from prerec_pyro.inference.guides.delta import Shape, point_mass

_ONE_DRAW = torch.Size()


class NonCenteredReparam(LocScaleReparam):
    """The same as ``LocScaleReparam(0.0)``: of a Gaussian without multiplying by 0 and raising to powers of 0 and 1."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        """Return the site as a point, location + scale · ``<name>_decentered``, which is sampled from N(0, 1)."""
        fn, event_dim = self._unwrap(msg["fn"])
        if type(fn) is not dist.Normal or event_dim != 1 or msg["value"] is not None:
            return super().apply(msg)
        infer: InferDict = {"is_observed": bool(msg["is_observed"])}
        offset = pyro.sample(f"{msg['name']}_decentered", StandardNormal(fn.loc), infer=infer)
        value = fn.loc + fn.scale * offset
        return point_mass(value, 1)


class StandardNormal(dist.TorchDistribution):
    """N(0, 1) in each coordinate, a row an event; its log density takes one pass each way.

    Parameters
    ----------
    like
        ``(..., width)``; values have its shape, type and device.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, like: Tensor) -> None:
        self._like = like.detach()
        super().__init__(like.shape[:-1], like.shape[-1:], validate_args=False)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> StandardNormal:
        """Return it broadcast to `batch_shape`."""
        return StandardNormal(self._like.expand(torch.Size(batch_shape) + self.event_shape))

    def rsample(self, sample_shape: Shape = _ONE_DRAW) -> Tensor:
        """Return values, ``(*sample_shape, ..., width)``."""
        return torch.randn(
            self._extended_shape(torch.Size(sample_shape)), dtype=self._like.dtype, device=self._like.device
        )

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of each row, ``(...)``."""
        return -0.5 * (value.square().sum(-1) + self.event_shape[0] * math.log(2 * math.pi))
