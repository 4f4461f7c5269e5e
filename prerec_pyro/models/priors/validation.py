"""Checks of a prior before a model is built with it; each refusal says what to give instead."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, transform_to
from torch.distributions import Laplace as TorchLaplace
from torch.distributions import Normal as TorchNormal
from torch.distributions import StudentT as TorchStudentT

from prerec_pyro.errors import InputError
from prerec_pyro.models.priors.hyperpriors import ScalePrior
from prerec_pyro.models.priors.mixture import GaussianMixture
from prerec_pyro.models.priors.prior import Prior, hypers
from prerec_pyro.models.priors.serialization import FAMILIES

_EXAMPLES = {
    "Normal": "Normal(scale=1.0)",
    "StudentT": "StudentT(df=4, scale=1.0)",
    "Laplace": "Laplace(scale=1.0)",
    "Horseshoe": "Horseshoe(scale=1.0)",
    "GaussianMixture": "GaussianMixture(weights=(0.5, 0.5), means=(0.0, 0.0), scales=(0.1, 1.0))",
}
_CALLABLE = "a callable loc → distribution such as lambda loc: dist.Normal(loc, 1.0).to_event(1)"
_FIXED_SPREAD = {
    "U": "inference sets U to the mean that f_seq predicts, so its scale cannot be learned",
    "Z": "inference sets Z to the mean that f_pop predicts, so its scale cannot be learned",
    "S": "the scale of S is already learned over the trained domains, by the hyperprior of S",
}


def check_prior(node: str, prior: object) -> None:
    """Check that a value can be the prior of a node.

    Raises
    ------
    InputError
        If it is not a callable ``loc → distribution``, what it returns has the wrong shape or support or is not finite
        at its mean, or no inference of this package can handle it for the node.
    """
    if isinstance(prior, type | Distribution | ScalePrior) or not callable(prior):
        raise InputError(f"prior of {node}: {_refusal(prior)}")
    loc = torch.zeros(3, getattr(prior, "width", None) or 2)
    _check_node(node, prior, loc)
    _check_distribution(node, _distribution(node, prior, loc), loc)


def _refusal(value: object) -> str:
    """Return why a value is no prior, and what to give instead."""
    if isinstance(value, type):
        example = _EXAMPLES.get(value.__name__, "Normal(scale=1.0)")
        return f"{value.__name__} is a class; give a value such as {example}, or {_CALLABLE}"
    if isinstance(value, Distribution):
        return (
            f"{value} is a distribution with a fixed location, but a prior follows the mean of its node; give "
            f"{_same_family(value)} or {_CALLABLE}"
        )
    if isinstance(value, ScalePrior):
        return f"{value!r} is a distribution of a scale; give it as the scale of a family: Normal(scale={value!r})"
    if isinstance(value, str):
        return f"{value!r} is a text; give Normal(scale=1.0), or read an option with parse('D=normal:scale=1')"
    if isinstance(value, int | float) and not isinstance(value, bool):
        scale = float(value) if math.isfinite(value) and value > 0 else 1.0
        return f"{value!r} is a number; give a family with a scale such as Normal(scale={scale!r})"
    return f"{value!r} is not a prior; give one of {', '.join(k.__name__ for k in FAMILIES.values())}, or {_CALLABLE}"


def _same_family(fn: Distribution) -> str:
    """Return the family of the same name with the first scale of a distribution; Normal(scale=1.0) if there is none."""
    base = fn
    while isinstance(base, Independent):
        base = base.base_dist
    if not isinstance(base, TorchNormal | TorchLaplace | TorchStudentT) or base.scale.numel() == 0:
        return _EXAMPLES["Normal"]
    df = f"df={float(base.df.flatten()[0]):g}, " if isinstance(base, TorchStudentT) else ""
    return f"{type(base).__name__}({df}scale={round(float(base.scale.flatten()[0]), 6)})"


def _distribution(node: str, prior: Prior, loc: Tensor) -> Distribution:
    """Return what a prior makes of a mean; shapes are checked."""
    try:
        fn = prior(loc)
    except InputError:
        raise
    except Exception as error:  # a function of the user's own may raise anything
        raise InputError(
            f"prior of {node}: called with a mean of shape {tuple(loc.shape)} it raises {type(error).__name__} "
            f"({error}); give {_CALLABLE}"
        ) from error
    if not isinstance(fn, Distribution):
        raise InputError(f"prior of {node}: it returns a {type(fn).__name__} and not a distribution; give {_CALLABLE}")
    if (fn.batch_shape, fn.event_shape) != (loc.shape[:-1], loc.shape[-1:]):
        raise InputError(
            f"prior of {node}: for a mean of shape {tuple(loc.shape)} its batch and event shape are "
            f"{tuple(fn.batch_shape)} and {tuple(fn.event_shape)}, expected {tuple(loc.shape[:-1])} and "
            f"{tuple(loc.shape[-1:])}; end it with .to_event(1)"
        )
    return fn


def _check_distribution(node: str, fn: Distribution, loc: Tensor) -> None:
    """Refuse a distribution without the whole real line as support, without a guide, or not finite at its mean."""
    signs = torch.tensor([-5.0, 5.0]).repeat(loc.shape[1])[: loc.shape[1]]
    support = fn.support
    if support is None or not support.check(signs.expand_as(loc)).all():
        raise InputError(f"prior of {node}: some real numbers are impossible under it, expected the whole real line")
    try:
        transform_to(support)
    except NotImplementedError:
        raise InputError(
            f"prior of {node}: Pyro has no guide for the support {support} of {type(fn).__name__}; for a mixture give "
            "GaussianMixture"
        ) from None
    if not torch.isfinite(fn.log_prob(loc)).all():
        raise InputError(f"prior of {node}: its density is not finite at its mean")


def _check_node(node: str, prior: Prior, loc: Tensor) -> None:
    """Refuse families that no inference of this package can handle for the node."""
    is_random, is_mixture = bool(hypers(prior, loc)), isinstance(prior, GaussianMixture)
    if node in _FIXED_SPREAD and (is_random or is_mixture):
        raise InputError(
            f"prior of {node}: {prior!r} is not available here: {_FIXED_SPREAD[node]}; give a family with a number "
            "as scale"
        )
    if node == "V" and is_random:
        raise InputError(
            f"prior of V: {prior!r} has a random scale, but V is a point estimate for each item, and points alone do "
            "not identify their scale: the joint density has a pole at scale 0. Give the scale as a number and compare "
            "several with prior_sensitivity. For items far from their mean give StudentT or Laplace, which are "
            "Gaussians of random scale with the scale integrated out"
        )
    if node == "V" and is_mixture:
        raise InputError(
            "prior of V: a mixture has no single location and scale, so V cannot be split into a mean and an offset, "
            "and its encoders would get no gradient; give Normal, StudentT or Laplace"
        )
