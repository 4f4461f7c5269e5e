"""How wide a prior is, where that is not known either: distributions of a scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import pyro.distributions as dist
from torch import Tensor

from prerec_pyro.errors import InputError


def check_positive(what: str, **values: object) -> None:
    """Raise `InputError` unless all values are positive finite numbers."""
    for name, value in values.items():
        if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
            raise InputError(f"prior {what}: {name} is {value!r}, expected a positive number")


@dataclass(frozen=True)
class LogNormal:
    """A scale whose logarithm is Gaussian: `median`, and ``sigma`` e-folds of standard deviation around it."""

    median: float
    sigma: float

    def __post_init__(self) -> None:
        check_positive("log_normal", median=self.median, sigma=self.sigma)

    def __call__(self, like: Tensor) -> dist.TorchDistribution:
        """Return the distribution, ``()``, where `like` is."""
        return dist.LogNormal(like.new_tensor(math.log(self.median)), like.new_tensor(self.sigma))


@dataclass(frozen=True)
class HalfNormal:
    """A scale of the order of `scale` at most: the positive half of Normal(0, scale)."""

    scale: float

    def __post_init__(self) -> None:
        check_positive("half_normal", scale=self.scale)

    def __call__(self, like: Tensor) -> dist.TorchDistribution:
        """Return the distribution, ``()``, where `like` is."""
        return dist.HalfNormal(like.new_tensor(self.scale))

    @property
    def median(self) -> float:
        """Half of the probability lies below."""
        return self.scale * NormalDist().inv_cdf(0.75)


@dataclass(frozen=True)
class HalfCauchy:
    """A scale of the order of `scale` that may be far larger: the positive half of Cauchy(0, scale)."""

    scale: float

    def __post_init__(self) -> None:
        check_positive("half_cauchy", scale=self.scale)

    def __call__(self, like: Tensor) -> dist.TorchDistribution:
        """Return the distribution, ``()``, where `like` is."""
        return dist.HalfCauchy(like.new_tensor(self.scale))

    @property
    def median(self) -> float:
        """Half of the probability lies below."""
        return self.scale


ScalePrior = LogNormal | HalfNormal | HalfCauchy
Scale = float | ScalePrior
SCALES: dict[str, type] = {"log_normal": LogNormal, "half_normal": HalfNormal, "half_cauchy": HalfCauchy}


def check_scale(family: str, scale: object) -> None:
    """Raise `InputError` unless `scale` is a positive number or a distribution of one."""
    if not isinstance(scale, ScalePrior):
        if callable(scale):
            allowed = ", ".join(kind.__name__ for kind in SCALES.values())
            raise InputError(f"prior {family}: scale is {scale!r}, expected a positive number or one of {allowed}")
        check_positive(family, scale=scale)
