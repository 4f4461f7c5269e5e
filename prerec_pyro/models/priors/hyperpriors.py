"""Hyperpriors: distributions of the scale of a prior, for a scale that is learned instead of given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import pyro.distributions as dist
from torch import Tensor

from prerec_pyro.errors import InputError


def check_positive(family: str, **settings: object) -> None:
    """Raise `InputError` unless all settings are positive finite numbers; `family` and the names go into the message.

    Examples
    --------
    >>> check_positive("normal", scale=-1.0)
    Traceback (most recent call last):
    prerec_pyro.errors.InputError: prior normal: scale is -1.0, expected a positive number
    """
    for name, value in settings.items():
        if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
            raise InputError(f"prior {family}: {name} is {value!r}, expected a positive number")


@dataclass(frozen=True)
class LogNormal:
    """A scale whose logarithm is Gaussian. Use it to say: near `median`, up to a few powers of e smaller or larger.

    Attributes
    ----------
    median
        Median of the scale, in latent units.
    sigma
        Standard deviation of the logarithm of the scale.

    Examples
    --------
    The scale lies within a factor of e = 2.7 of the median with a probability of 68 %:

    >>> import torch
    >>> scale = LogNormal(median=0.02, sigma=1.0)(torch.zeros(1))
    >>> low, high = scale.cdf(torch.tensor([0.02 / 2.718, 0.02 * 2.718])).tolist()
    >>> round(high - low, 2)
    0.68
    """

    median: float
    sigma: float

    def __post_init__(self) -> None:
        check_positive("log_normal", median=self.median, sigma=self.sigma)

    def __call__(self, like: Tensor) -> dist.TorchDistribution:
        """Return the distribution of one scale, batch shape ``()``, in the type and on the device of `like`."""
        return dist.LogNormal(like.new_tensor(math.log(self.median)), like.new_tensor(self.sigma))


@dataclass(frozen=True)
class HalfNormal:
    """A scale that is rarely larger than twice `scale`: the positive half of Normal(0, scale).

    Attributes
    ----------
    scale
        Scale of the half-normal distribution, in latent units.

    Examples
    --------
    >>> import torch
    >>> prior = HalfNormal(scale=0.1)
    >>> round(prior.median, 3)
    0.067
    >>> round(1 - float(prior(torch.zeros(1)).cdf(torch.tensor(0.2))), 2)  # probability of a scale above 0.2
    0.05
    """

    scale: float

    def __post_init__(self) -> None:
        check_positive("half_normal", scale=self.scale)

    def __call__(self, like: Tensor) -> dist.TorchDistribution:
        """Return the distribution of one scale, batch shape ``()``, in the type and on the device of `like`."""
        return dist.HalfNormal(like.new_tensor(self.scale))

    @property
    def median(self) -> float:
        """Median of the scale, in latent units."""
        return self.scale * NormalDist().inv_cdf(0.75)


@dataclass(frozen=True)
class HalfCauchy:
    """A scale of the order of `scale` that may be far larger: the positive half of Cauchy(0, scale).

    Attributes
    ----------
    scale
        Scale of the half-Cauchy distribution, in latent units; it is also its median.

    Examples
    --------
    A scale above 0.2 is six times as likely as under ``HalfNormal(0.1)``:

    >>> import torch
    >>> prior = HalfCauchy(scale=0.1)
    >>> prior.median
    0.1
    >>> round(1 - float(prior(torch.zeros(1)).cdf(torch.tensor(0.2))), 2)
    0.3
    """

    scale: float

    def __post_init__(self) -> None:
        check_positive("half_cauchy", scale=self.scale)

    def __call__(self, like: Tensor) -> dist.TorchDistribution:
        """Return the distribution of one scale, batch shape ``()``, in the type and on the device of `like`."""
        return dist.HalfCauchy(like.new_tensor(self.scale))

    @property
    def median(self) -> float:
        """Median of the scale, in latent units."""
        return self.scale


ScalePrior = LogNormal | HalfNormal | HalfCauchy
Scale = float | ScalePrior
HYPERPRIORS: dict[str, type[ScalePrior]] = {
    "log_normal": LogNormal,
    "half_normal": HalfNormal,
    "half_cauchy": HalfCauchy,
}
"""The hyperprior families by the names that options and files use."""


def check_scale(family: str, scale: object) -> None:
    """Raise `InputError` unless `scale` is a positive number or a hyperprior."""
    if isinstance(scale, ScalePrior):
        return
    if callable(scale):
        allowed = ", ".join(kind.__name__ for kind in HYPERPRIORS.values())
        raise InputError(f"prior {family}: scale is {scale!r}, expected a positive number or one of {allowed}")
    check_positive(family, scale=scale)
