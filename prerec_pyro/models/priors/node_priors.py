"""Priors as values: how each node of Fig. 1 spreads around its mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import torch
from torch.distributions import transform_to

from prerec_pyro.errors import InputError
from prerec_pyro.models.priors.families import (
    FAMILIES,
    GaussianMixture,
    Normal,
    Prior,
    from_plain,
    hypers,
    to_plain,
)

Node = Literal["D", "Z", "V", "U", "S", "W_d", "W_z"]
WEIGHTS = ("W_d", "W_z")
_HAS_A_MEAN_ONLY = {
    "U": "U stands at the mean that f_seq predicts, so its spread is not learnt",
    "Z": "Z stands at the mean that f_pop predicts, so its spread is not learnt",
    "S": "how S spreads over domains is learnt anyway, as `spread`, from the domains trained on",
}


@dataclass(frozen=True)
class Priors:
    """One prior a node; what is left out keeps its default.

    The scales are in the units of eq. 4, where λ = scale^-2 weighs a node against a *sum* over all interactions, not
    against the mean of a batch.

    The weights W_d and W_z are parameters, and have no prior, until they are given one: that lifts them to random
    variables, sites of the program like any other.

    Priors of D, W_d and W_z may have a random scale, sites of their own such as ``D_scale``. A point estimate of node
    and scale together has a pole where the scale is 0 and the node at its mean, so the node is then given a Gaussian
    around its value, and the scale stands where that makes the evidence largest; see `guides`.

    Attributes
    ----------
    D, Z, V, U, S
        A callable ``loc → distribution`` with batch shape ``loc.shape[:-1]`` and event shape ``loc.shape[-1:]``, such
        as `Normal`, `StudentT`, `Laplace`. Checked when built.
    W_d, W_z
        The same, for a `loc` of 0, ``(latent_dim,)``; None is a parameter.

    Raises
    ------
    InputError
        If a prior is no callable, or what it returns has the wrong shape or support, or is not finite at its mean, or
        if it is of a family that the node cannot have.
    """

    D: Prior = field(default_factory=lambda: Normal(0.02))
    Z: Prior = field(default_factory=lambda: Normal(0.1))
    V: Prior = field(default_factory=lambda: Normal(0.1))
    U: Prior = field(default_factory=lambda: Normal(0.1))
    S: Prior = field(default_factory=lambda: Normal(1.0))
    W_d: Prior | None = None
    W_z: Prior | None = None

    def __post_init__(self) -> None:
        for node in fields(self):
            prior = getattr(self, node.name)
            if not (prior is None and node.name in WEIGHTS):
                _check(node.name, prior)

    @property
    def lifted(self) -> tuple[str, ...]:
        """The weights that are random variables, of `WEIGHTS`."""
        return tuple(name for name in WEIGHTS if getattr(self, name) is not None)

    def to_config(self) -> dict[str, dict[str, Any]]:
        """Return plain JSON from which `from_config` makes the same priors.

        Raises
        ------
        InputError
            If a prior is a callable of the user's own, which a file cannot hold.
        """
        config = {}
        for node in fields(self):
            prior = getattr(self, node.name)
            try:
                config |= {} if prior is None else {node.name: to_plain(prior)}
            except TypeError:
                raise InputError(
                    f"prior of {node.name}: {prior!r} cannot be saved; saved models take {', '.join(FAMILIES)}"
                ) from None
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Mapping[str, Any]]) -> Priors:
        """Return the priors of `to_config`; nodes left out keep their default."""
        return cls(**{node: build(node, **settings) for node, settings in config.items()})


def build(node: str, family: str, **settings: Any) -> Prior:
    """Return the prior of `node` by the name of its family, as in ``build("D", "student_t", df=4, scale=0.5)``.

    Raises
    ------
    InputError
        If the node, the family or a setting is unknown, missing or out of range; the message lists what is allowed.
    """
    nodes = [f.name for f in fields(Priors)]
    if node not in nodes:
        raise InputError(f"prior of {node!r}: there is no such node; expected one of {', '.join(nodes)}")
    try:
        return from_plain({"family": family} | settings)
    except InputError as error:
        raise InputError(f"prior of {node}: {str(error).removeprefix('prior ')}") from None


def _check(node: str, prior: Any) -> None:
    loc = torch.zeros(3, getattr(prior, "width", None) or 2)
    if not callable(prior):
        raise InputError(
            f"prior of {node}: {prior!r} is not a prior; expected {', '.join(k.__name__ for k in FAMILIES.values())} "
            "or a callable loc → Pyro distribution"
        )
    _check_family(node, prior, loc)
    fn = prior(loc)
    shapes = (getattr(fn, "batch_shape", None), getattr(fn, "event_shape", None))
    if shapes != (loc.shape[:-1], loc.shape[-1:]):
        raise InputError(
            f"prior of {node}: for a mean of shape {tuple(loc.shape)} it gives batch and event shape {shapes}, "
            f"expected {tuple(loc.shape[:-1])} and {tuple(loc.shape[-1:])}; end it with .to_event(1)"
        )
    signs = torch.tensor([-5.0, 5.0]).repeat(loc.shape[1])[: loc.shape[1]]
    if not fn.support.check(signs.expand_as(loc)).all():
        raise InputError(f"prior of {node}: some real numbers are impossible under it, expected the whole real line")
    try:
        transform_to(fn.support)
    except NotImplementedError:
        raise InputError(
            f"prior of {node}: Pyro has no guide for the support {fn.support} of {type(fn).__name__}; of mixtures "
            "GaussianMixture has one"
        ) from None
    if not torch.isfinite(fn.log_prob(loc)).all():
        raise InputError(f"prior of {node}: its density is not finite at its mean")


def _check_family(node: str, prior: Prior, loc: torch.Tensor) -> None:
    """Refuse what no inference of this package can do with the node."""
    random, mixture = bool(hypers(prior, loc)), isinstance(prior, GaussianMixture)
    if node in _HAS_A_MEAN_ONLY and (random or mixture):
        raise InputError(
            f"prior of {node}: {prior!r} cannot be had here: {_HAS_A_MEAN_ONLY[node]}; give a family with a scale that "
            "is a number"
        )
    if node == "V" and random:
        raise InputError(
            f"prior of V: {prior!r} has a random scale, but V is one point an item, and points alone do not tell how "
            "wide they spread: their density has a pole at scale 0. Give the scale as a number, and compare several "
            "with prior_sensitivity; for items that go far StudentT or Laplace, which are Gaussians of random scale "
            "with the scale integrated out"
        )
    if node == "V" and mixture:
        raise InputError(
            "prior of V: a mixture has no single location and scale, so V cannot be split into a mean and an offset, "
            "and its encoders would get no gradient; give Normal, StudentT or Laplace"
        )
