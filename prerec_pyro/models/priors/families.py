"""Families of priors with a location and a scale: Normal, StudentT, Laplace and Horseshoe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

from prerec_pyro.models.priors.hyperpriors import Scale, ScalePrior, check_positive, check_scale
from prerec_pyro.models.priors.prior import Hyper


class _Rows(dist.Independent):
    """A distribution with one event per row: the last dimension is the event."""

    def __init__(self, base: dist.TorchDistribution) -> None:
        super().__init__(base, 1)

    def expand(
        self, batch_shape: torch.Size | list[int] | tuple[int, ...], _instance: Any = None
    ) -> dist.TorchDistribution:
        """Return the distribution broadcast to `batch_shape`; unchanged if it has that shape already."""
        if _instance is None and torch.Size(batch_shape) == self.batch_shape:
            return self  # the usual case, under the plate of the rows
        return dist.Independent(self.base_dist, 1).expand(batch_shape, _instance)


@dataclass(frozen=True)
class Normal:
    """Gaussian around the mean (eq. 3).

    Attributes
    ----------
    scale
        λ^-1/2, a standard deviation in latent units, or its hyperprior.

    Examples
    --------
    The prior of a node is a callable from the mean of the node, one row for each event, to a Pyro distribution:

    >>> import torch
    >>> fn = Normal(scale=0.1)(torch.zeros(3, 2))
    >>> fn.batch_shape, fn.event_shape
    (torch.Size([3]), torch.Size([2]))

    With a hyperprior the scale is a random variable, a site of the program:

    >>> from prerec_pyro.priors import LogNormal
    >>> list(Normal(scale=LogNormal(median=0.1, sigma=1.0)).hypers(torch.zeros(3, 2)))
    ['scale']
    """

    scale: Scale

    def __post_init__(self) -> None:
        check_scale("normal", self.scale)

    def hypers(self, loc: Tensor) -> dict[str, Hyper]:
        """Return ``scale`` if it has a hyperprior."""
        return _shared_scale(self.scale, loc)

    def __call__(self, loc: Tensor, scale: Tensor | None = None) -> dist.TorchDistribution:
        """Return the distribution of a node with mean `loc`, one event of ``(latent_dim,)`` per row."""
        return _Rows(dist.Normal(loc, _scale_value(self.scale, scale, loc)))


@dataclass(frozen=True)
class StudentT:
    """Student's t around the mean: like `Normal`, but single coordinates may lie far from the mean.

    Attributes
    ----------
    df
        Degrees of freedom. The smaller, the heavier the tails; 4 is a common choice.
    scale
        Scale in latent units, or its hyperprior.

    Examples
    --------
    Five scales from the mean, the log density of a Gaussian is far lower than that of Student's t:

    >>> import torch
    >>> mean, far = torch.zeros(1, 1), torch.tensor([[5.0]])
    >>> [round(float(prior(mean).log_prob(far)), 1) for prior in (Normal(scale=1.0), StudentT(df=4, scale=1.0))]
    [-13.4, -5.9]
    """

    df: float
    scale: Scale

    def __post_init__(self) -> None:
        check_positive("student_t", df=self.df)
        check_scale("student_t", self.scale)

    def hypers(self, loc: Tensor) -> dict[str, Hyper]:
        """Return ``scale`` if it has a hyperprior."""
        return _shared_scale(self.scale, loc)

    def __call__(self, loc: Tensor, scale: Tensor | None = None) -> dist.TorchDistribution:
        """Return the distribution of a node with location `loc`, one event of ``(latent_dim,)`` per row."""
        return _Rows(dist.StudentT(torch.full_like(loc, self.df), loc, _scale_value(self.scale, scale, loc)))


@dataclass(frozen=True)
class Laplace:
    """Laplace around the mean: its MAP estimate is sparse, so most coordinates stay exactly at the mean.

    Attributes
    ----------
    scale
        Mean absolute deviation in latent units, or its hyperprior.

    Examples
    --------
    The negative log density, which is the penalty of the MAP estimate, grows with the distance itself. That of a
    Gaussian grows with its square, so close to the mean it hardly pulls:

    >>> import torch
    >>> mean, values = torch.zeros(3, 1), torch.tensor([[0.0], [0.1], [1.0]])
    >>> for prior in (Laplace(scale=1.0), Normal(scale=1.0)):
    ...     density = prior(mean).log_prob(values)
    ...     print([round(x, 3) for x in (density[0] - density).tolist()])
    [0.0, 0.1, 1.0]
    [0.0, 0.005, 0.5]
    """

    scale: Scale

    def __post_init__(self) -> None:
        check_scale("laplace", self.scale)

    def hypers(self, loc: Tensor) -> dict[str, Hyper]:
        """Return ``scale`` if it has a hyperprior."""
        return _shared_scale(self.scale, loc)

    def __call__(self, loc: Tensor, scale: Tensor | None = None) -> dist.TorchDistribution:
        """Return the distribution of a node with location `loc`, one event of ``(latent_dim,)`` per row."""
        return _Rows(dist.Laplace(loc, _scale_value(self.scale, scale, loc)))


@dataclass(frozen=True)
class Horseshoe:
    """Gaussian with a scale for each coordinate (Carvalho, Polson and Scott 2010).

    The scale of a coordinate is `scale` times a half-Cauchy factor, ``local``: most coordinates stay near the mean, a
    few move far from it. Only the product of the two is identified. A posterior of `scale` is therefore meaningful, a
    point estimate of `scale` alone is not.

    Attributes
    ----------
    scale
        Global scale in latent units: how far most coordinates may move. With `HalfCauchy` it is learned.

    Examples
    --------
    The factors are sites of the program, one for each coordinate of each row; a learned scale is one more site:

    >>> import torch
    >>> from prerec_pyro.priors import HalfCauchy
    >>> sorted(Horseshoe(scale=0.02).hypers(torch.zeros(3, 2)))
    ['local']
    >>> sorted(Horseshoe(scale=HalfCauchy(scale=0.02)).hypers(torch.zeros(3, 2)))
    ['local', 'scale']
    >>> Horseshoe(scale=0.02)(torch.zeros(1, 2), local=torch.tensor([[1.0, 50.0]])).variance.sqrt()
    tensor([[0.0200, 1.0000]])
    """

    scale: Scale

    def __post_init__(self) -> None:
        check_scale("horseshoe", self.scale)

    def hypers(self, loc: Tensor) -> dict[str, Hyper]:
        """Return ``local``, ``(..., latent_dim)``, and ``scale`` if it has a hyperprior."""
        one = torch.ones_like(loc)
        return _shared_scale(self.scale, loc) | {"local": Hyper(dist.HalfCauchy(one).to_event(1), False, one)}

    def __call__(self, loc: Tensor, local: Tensor | None = None, scale: Tensor | None = None) -> dist.TorchDistribution:
        """Return the distribution of a node with mean `loc`, one event of ``(latent_dim,)`` per row."""
        local = torch.ones_like(loc) if local is None else local
        return _Rows(dist.Normal(loc, local * _scale_value(self.scale, scale, loc)))


def _shared_scale(scale: Scale, loc: Tensor) -> dict[str, Hyper]:
    if not isinstance(scale, ScalePrior):
        return {}
    return {"scale": Hyper(scale(loc), True, loc.new_tensor(scale.median))}


def _scale_value(scale: Scale, sampled: Tensor | None, loc: Tensor) -> Tensor | float:
    """Return a scale that broadcasts against `loc`; a random scale without a sample is its median."""
    if not isinstance(scale, ScalePrior):
        return scale
    return loc.new_tensor(scale.median) if sampled is None else sampled.unsqueeze(-1)
