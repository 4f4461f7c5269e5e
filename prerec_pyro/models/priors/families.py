"""Families of priors: values that say how a node spreads around its mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import constraints

from prerec_pyro.errors import InputError
from prerec_pyro.models.priors.hyperpriors import SCALES, Scale, ScalePrior, check_positive, check_scale

Prior = Callable[..., dist.TorchDistribution]
"""From the mean of a node, ``(..., width)``, to its distribution, one event a row.

A prior may have settings that are random themselves. It then has a method ``hypers(loc)`` that returns a `Hyper` for
each, and takes their values as keywords.
"""


class Hyper(NamedTuple):
    """A setting of a prior that is random itself, and a site of the program: of node D and name scale, ``D_scale``.

    Attributes
    ----------
    fn
        Its distribution.
    shared
        Whether all rows of the node share one value; else each has its own.
    start
        Where inference starts.
    """

    fn: dist.TorchDistribution
    shared: bool
    start: Tensor


def hypers(prior: Prior, loc: Tensor) -> dict[str, Hyper]:
    """Return the random settings of a prior by name, none of most."""
    found = getattr(prior, "hypers", None)
    return {} if found is None else found(loc)


def sample_shared(node: str, prior: Prior, loc: Tensor) -> dict[str, Tensor]:
    """Sample the random settings of a prior that all rows of a node share; return them by name."""
    return {name: pyro.sample(f"{node}_{name}", h.fn) for name, h in hypers(prior, loc).items() if h.shared}


def sample_node(node: str, prior: Prior, loc: Tensor, shared: Mapping[str, Tensor]) -> Tensor:
    """Sample a node around `loc`, ``(..., width)``, after those random settings that each row has its own of."""
    own = {name: pyro.sample(f"{node}_{name}", h.fn) for name, h in hypers(prior, loc).items() if not h.shared}
    return pyro.sample(node, prior(loc, **shared, **own))


def center(fn: dist.TorchDistribution) -> Tensor:
    """Return where a prior is centred, its event shape and batch shape: its location, or else its mean."""
    base = fn.base_dist if hasattr(fn, "base_dist") else fn
    return base.loc if hasattr(base, "loc") else fn.mean


class _Rows(dist.Independent):
    """A distribution a row: the last dimension is one event."""

    def __init__(self, base: dist.TorchDistribution) -> None:
        super().__init__(base, 1)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> dist.TorchDistribution:
        """Return it broadcast to `batch_shape`; as it is, where that is what it has, as under a plate of its rows."""
        if _instance is None and torch.Size(batch_shape) == self.batch_shape:
            return self
        return dist.Independent(self.base_dist, 1).expand(batch_shape, _instance)


def _shared_scale(scale: Scale, loc: Tensor) -> dict[str, Hyper]:
    if not isinstance(scale, ScalePrior):
        return {}
    return {"scale": Hyper(scale(loc), True, loc.new_tensor(scale.median))}


def _value(scale: Scale, given: Tensor | None, loc: Tensor) -> Tensor | float:
    """Return a scale that broadcasts against `loc`; a random one that is not given stands at its median."""
    if not isinstance(scale, ScalePrior):
        return scale
    return loc.new_tensor(scale.median) if given is None else given.unsqueeze(-1)


@dataclass(frozen=True)
class Normal:
    """Gaussian around the mean (eq. 3); ``scale`` is λ^-1/2, a standard deviation in latent units, or its prior."""

    scale: Scale

    def __post_init__(self) -> None:
        check_scale("normal", self.scale)

    def hypers(self, loc: Tensor) -> dict[str, Hyper]:
        """Return ``scale``, if it is random."""
        return _shared_scale(self.scale, loc)

    def __call__(self, loc: Tensor, scale: Tensor | None = None) -> dist.TorchDistribution:
        """Return the distribution of a node with mean `loc`, one event of ``(latent_dim,)`` a row."""
        return _Rows(dist.Normal(loc, _value(self.scale, scale, loc)))


@dataclass(frozen=True)
class StudentT:
    """Student's t around the mean: like `Normal`, but lets single coordinates go far."""

    df: float
    scale: Scale

    def __post_init__(self) -> None:
        check_positive("student_t", df=self.df)
        check_scale("student_t", self.scale)

    def hypers(self, loc: Tensor) -> dict[str, Hyper]:
        """Return ``scale``, if it is random."""
        return _shared_scale(self.scale, loc)

    def __call__(self, loc: Tensor, scale: Tensor | None = None) -> dist.TorchDistribution:
        """Return the distribution of a node with location `loc`, one event of ``(latent_dim,)`` a row."""
        return _Rows(dist.StudentT(torch.full_like(loc, self.df), loc, _value(self.scale, scale, loc)))


@dataclass(frozen=True)
class Laplace:
    """Laplace around the mean: its MAP is sparse."""

    scale: Scale

    def __post_init__(self) -> None:
        check_scale("laplace", self.scale)

    def hypers(self, loc: Tensor) -> dict[str, Hyper]:
        """Return ``scale``, if it is random."""
        return _shared_scale(self.scale, loc)

    def __call__(self, loc: Tensor, scale: Tensor | None = None) -> dist.TorchDistribution:
        """Return the distribution of a node with location `loc`, one event of ``(latent_dim,)`` a row."""
        return _Rows(dist.Laplace(loc, _value(self.scale, scale, loc)))


@dataclass(frozen=True)
class Horseshoe:
    """Gaussian with a scale for each coordinate, ``scale`` times a half-Cauchy: most near the mean, some far from it.

    Carvalho, Polson and Scott 2010. ``scale`` says how far the many may go; as ``HalfCauchy(...)`` it is learnt, too.
    Only the product of ``scale`` and the local factors matters, so a point estimate of ``scale`` alone means nothing;
    a posterior of it does.
    """

    scale: Scale

    def __post_init__(self) -> None:
        check_scale("horseshoe", self.scale)

    def hypers(self, loc: Tensor) -> dict[str, Hyper]:
        """Return ``local``, ``(..., latent_dim)``, and ``scale``, if it is random."""
        one = torch.ones_like(loc)
        return _shared_scale(self.scale, loc) | {"local": Hyper(dist.HalfCauchy(one).to_event(1), False, one)}

    def __call__(self, loc: Tensor, local: Tensor | None = None, scale: Tensor | None = None) -> dist.TorchDistribution:
        """Return the distribution of a node with mean `loc`, one event of ``(latent_dim,)`` a row."""
        local = torch.ones_like(loc) if local is None else local
        return _Rows(dist.Normal(loc, local * _value(self.scale, scale, loc)))


@dataclass(frozen=True)
class GaussianMixture:
    """A mixture of Gaussians around the mean: rows come in kinds.

    Attributes
    ----------
    weights
        How common each kind is; they sum to 1.
    means
        Where each lies, from the mean of the node: a number for all coordinates, or one a coordinate.
    scales
        Standard deviation of each.
    """

    weights: tuple[float, ...]
    means: tuple[float | tuple[float, ...], ...]
    scales: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("weights", "means", "scales"):
            object.__setattr__(self, name, _frozen(getattr(self, name)))
            if not isinstance(getattr(self, name), tuple) or not getattr(self, name):
                raise InputError(f"prior mixture: {name} is {getattr(self, name)!r}, expected a number for each kind")
        check_positive("mixture", **{f"weights[{i}]": weight for i, weight in enumerate(self.weights)})
        check_positive("mixture", **{f"scales[{i}]": scale for i, scale in enumerate(self.scales)})
        sizes = {name: len(getattr(self, name)) for name in ("weights", "means", "scales")}
        if len(set(sizes.values())) > 1:
            raise InputError(f"prior mixture: the numbers of kinds differ: {sizes}")
        if abs(sum(self.weights) - 1) > 1e-6:
            raise InputError(f"prior mixture: weights sum to {sum(self.weights):g}, expected 1")
        for mean in self.means:
            if not all(isinstance(m, int | float) and math.isfinite(m) for m in _flat(mean)):
                raise InputError(f"prior mixture: means holds {mean!r}, expected numbers")
        if len({len(mean) for mean in self.means if isinstance(mean, tuple)}) > 1:
            raise InputError("prior mixture: means have different lengths")

    @property
    def width(self) -> int | None:
        """Coordinates that the means are for; None is any number."""
        return next((len(mean) for mean in self.means if isinstance(mean, tuple)), None)

    def __call__(self, loc: Tensor) -> dist.TorchDistribution:
        """Return the distribution of a node around `loc`, one event of ``(latent_dim,)`` a row."""
        width = loc.shape[-1]
        if self.width not in (None, width):
            raise InputError(f"prior mixture: means have {self.width} numbers, the node has {width} coordinates")
        means = torch.stack([loc.new_tensor(mean).expand(width) for mean in self.means])  # (kinds, width)
        parts = dist.Normal(loc.unsqueeze(-2) + means, loc.new_tensor(self.scales)[:, None]).to_event(1)
        kinds = dist.Categorical(loc.new_tensor(self.weights).expand(*loc.shape[:-1], len(self.weights)))
        return _Mixture(kinds, parts)


class _Mixture(dist.MixtureSameFamily):
    """`MixtureSameFamily` that says that its support is all vectors, in words that Pyro's guides know."""

    support = constraints.real_vector


FAMILIES: dict[str, type] = {
    "normal": Normal,
    "student_t": StudentT,
    "laplace": Laplace,
    "horseshoe": Horseshoe,
    "mixture": GaussianMixture,
}
_NAMES = {kind: name for name, kind in (FAMILIES | SCALES).items()}


def to_plain(prior: Any) -> Any:
    """Return plain JSON from which `from_plain` makes the same value.

    Raises
    ------
    TypeError
        If the value is not of a named family.
    """
    if isinstance(prior, tuple):
        return [to_plain(value) for value in prior]
    if isinstance(prior, int | float):
        return prior
    if type(prior) not in _NAMES:
        raise TypeError(f"{prior!r} is of no named family")
    return {"family": _NAMES[type(prior)], **{f.name: to_plain(getattr(prior, f.name)) for f in fields(prior)}}


def from_plain(plain: Mapping[str, Any], kinds: Mapping[str, type] = FAMILIES) -> Any:
    """Return the value of `to_plain`.

    Raises
    ------
    InputError
        If the family or a setting is unknown, missing or out of range; the message lists what is allowed.
    """
    settings = dict(plain)
    family = settings.pop("family", None)
    if family not in kinds:
        raise InputError(f"no family {family!r}; expected one of {', '.join(kinds)}")
    wanted = [f.name for f in fields(kinds[family])]
    if set(settings) != set(wanted):
        raise InputError(f"{family} takes exactly {', '.join(wanted)}; got {', '.join(settings) or 'nothing'}")
    return kinds[family](**{k: from_plain(v, SCALES) if isinstance(v, Mapping) else v for k, v in settings.items()})


def _frozen(value: Any) -> Any:
    """Return lists as tuples, so that a prior read from JSON equals the one that was written."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _flat(value: float | Iterable[float]) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
