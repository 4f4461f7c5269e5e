"""Priors as values: how each node of Fig. 1 spreads around its mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import pyro.distributions as dist
import torch
from torch import Tensor

from prerec_pyro.errors import InputError

Node = Literal["D", "Z", "V", "U", "S", "W_d", "W_z"]
WEIGHTS = ("W_d", "W_z")
Prior = Callable[[Tensor], dist.TorchDistribution]


def _positive(family: str, **values: float) -> None:
    for name, value in values.items():
        if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
            raise InputError(f"prior {family}: {name} is {value!r}, expected a positive number")


@dataclass(frozen=True)
class Normal:
    """Gaussian around the mean (eq. 3); ``scale`` is λ^-1/2, a standard deviation in latent units."""

    scale: float

    def __post_init__(self) -> None:
        _positive("normal", scale=self.scale)

    def __call__(self, loc: Tensor) -> dist.TorchDistribution:
        """Return the distribution of a node with mean `loc`, one event of ``(latent_dim,)`` a row."""
        return dist.Normal(loc, self.scale).to_event(1)


@dataclass(frozen=True)
class StudentT:
    """Student's t around the mean: like `Normal`, but lets single coordinates go far."""

    df: float
    scale: float

    def __post_init__(self) -> None:
        _positive("student_t", df=self.df, scale=self.scale)

    def __call__(self, loc: Tensor) -> dist.TorchDistribution:
        """Return the distribution of a node with location `loc`, one event of ``(latent_dim,)`` a row."""
        return dist.StudentT(torch.full_like(loc, self.df), loc, self.scale).to_event(1)


@dataclass(frozen=True)
class Laplace:
    """Laplace around the mean: its MAP is sparse."""

    scale: float

    def __post_init__(self) -> None:
        _positive("laplace", scale=self.scale)

    def __call__(self, loc: Tensor) -> dist.TorchDistribution:
        """Return the distribution of a node with location `loc`, one event of ``(latent_dim,)`` a row."""
        return dist.Laplace(loc, self.scale).to_event(1)


FAMILIES: dict[str, type] = {"normal": Normal, "student_t": StudentT, "laplace": Laplace}


@dataclass(frozen=True)
class Priors:
    """One prior a node; what is left out keeps its default.

    The scales are in the units of eq. 4, where λ = scale^-2 weighs a node against a *sum* over all interactions, not
    against the mean of a batch.

    The weights W_d and W_z are parameters, and have no prior, until they are given one: that lifts them to random
    variables, sites of the program like any other.

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
        If a prior is no callable, or what it returns has the wrong shape or support, or is not finite at its mean.
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
            if prior is None:
                continue
            family = next((name for name, kind in FAMILIES.items() if type(prior) is kind), None)
            if family is None:
                raise InputError(
                    f"prior of {node.name}: {prior!r} cannot be saved; saved models take {', '.join(FAMILIES)}"
                )
            config[node.name] = {"family": family, **{f.name: getattr(prior, f.name) for f in fields(prior)}}
        return config

    @classmethod
    def from_config(cls, config: dict[str, dict[str, Any]]) -> Priors:
        """Return the priors of `to_config`; nodes left out keep their default."""
        return cls(**{node: build(node, **settings) for node, settings in config.items()})


def build(node: str, family: str, **settings: float) -> Prior:
    """Return the prior of `node` by the name of its family, as in ``build("D", "student_t", df=4, scale=0.5)``.

    Raises
    ------
    InputError
        If the node, the family or a setting is unknown, missing or out of range; the message lists what is allowed.
    """
    nodes = [f.name for f in fields(Priors)]
    if node not in nodes:
        raise InputError(f"prior of {node!r}: there is no such node; expected one of {', '.join(nodes)}")
    if family not in FAMILIES:
        raise InputError(f"prior of {node}: no family {family!r}; expected one of {', '.join(FAMILIES)}")
    kind = FAMILIES[family]
    wanted = [f.name for f in fields(kind)]
    if set(settings) != set(wanted):
        raise InputError(
            f"prior of {node}: {family} takes exactly {', '.join(wanted)}; got {', '.join(settings) or 'nothing'}"
        )
    return kind(**settings)


def parse(text: str) -> tuple[str, Prior]:
    """Return node and prior of an option such as ``D=student_t:df=4,scale=0.5``.

    Raises
    ------
    InputError
        If the text has another form, or `build` refuses it.
    """
    node, equals, rest = text.partition("=")
    family, _, settings = rest.partition(":")
    if not equals or not family:
        raise InputError(f"prior {text!r}: expected NODE=FAMILY:NAME=NUMBER,… such as D=student_t:df=4,scale=0.5")
    values = {}
    for setting in filter(None, settings.split(",")):
        name, _, number = (part.strip() for part in setting.partition("="))
        if name in values:
            raise InputError(f"prior {text!r}: {name} is given twice")
        try:
            values[name] = float(number)
        except ValueError:
            raise InputError(f"prior {text!r}: {setting!r} is not NAME=NUMBER") from None
    return node.strip(), build(node.strip(), family.strip(), **values)


def _check(node: str, prior: Any) -> None:
    loc = torch.zeros(3, 2)
    if not callable(prior):
        raise InputError(
            f"prior of {node}: {prior!r} is not a prior; expected {', '.join(k.__name__ for k in FAMILIES.values())} "
            "or a callable loc → Pyro distribution"
        )
    fn = prior(loc)
    shapes = (getattr(fn, "batch_shape", None), getattr(fn, "event_shape", None))
    if shapes != (loc.shape[:-1], loc.shape[-1:]):
        raise InputError(
            f"prior of {node}: for a mean of shape (3, 2) it gives batch and event shape {shapes}, "
            "expected (3,) and (2,); end it with .to_event(1)"
        )
    if not fn.support.check(torch.tensor([[-5.0, 5.0]] * 3)).all():
        raise InputError(f"prior of {node}: some real numbers are impossible under it, expected the whole real line")
    if not torch.isfinite(fn.log_prob(loc)).all():
        raise InputError(f"prior of {node}: its density is not finite at its mean")
