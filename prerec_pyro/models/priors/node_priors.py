"""`Priors`: one prior for each node of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from textwrap import shorten
from typing import Any, Literal

from prerec_pyro.errors import InputError
from prerec_pyro.models.priors.families import Normal
from prerec_pyro.models.priors.prior import Prior
from prerec_pyro.models.priors.serialization import FAMILIES, from_plain, to_plain
from prerec_pyro.models.priors.validation import check_prior

Node = Literal["D", "Z", "V", "U", "S", "W_d", "W_z"]
WEIGHTS = ("W_d", "W_z")
_DOMAIN, _MEAN, _EFFECT_SCALES = Normal(0.02), Normal(0.1), Normal(1.0)


@dataclass(frozen=True, init=False, repr=False)
class Priors:
    """One prior for each node of the graph. A node that is left out keeps its default.

    Scales are in the units of eq. 4: λ = scale^-2 weighs a node against a *sum* over all interactions, not against the
    mean of a batch.

    The weights W_d and W_z are parameters without a prior by default. A prior *lifts* them: they become random
    variables, sites of the program like any other.

    The scale of a prior of D, W_d or W_z may have a hyperprior. The scale is then a site of its own, such as
    ``D_scale``. A joint point estimate of node and scale has a pole where the scale is 0 and the node at its mean.
    The guide therefore gives the node a Gaussian around its value, and the scale maximises the evidence; see
    `inference.guides`.

    Attributes
    ----------
    D, Z, V, U, S
        A callable ``loc → distribution`` with batch shape ``loc.shape[:-1]`` and event shape ``loc.shape[-1:]``, such
        as `Normal`, `StudentT`, `Laplace`. It is checked when the priors are built.
    W_d, W_z
        The same, for a `loc` of zeros, ``(latent_dim,)``. None makes the weight a parameter.

    Raises
    ------
    InputError
        If there is no such node, or a prior is not a callable, returns a distribution of the wrong shape or support,
        is not finite at its mean, or belongs to a family that the node cannot have.

    Examples
    --------
    >>> import pyro.distributions as dist
    >>> from prerec_pyro.priors import Horseshoe, Laplace, LogNormal, Normal, Priors, StudentT

    The defaults:

    >>> Priors()
    Priors()

    Domains may differ from each other more than a Gaussian allows:

    >>> Priors(D=StudentT(df=4, scale=0.05))
    Priors(
        D=StudentT(df=4, scale=0.05),
    )

    Most items stay at what their texts say; the weight of popularity is a random variable:

    >>> Priors(V=Laplace(scale=0.01), W_z=Normal(scale=0.3))
    Priors(
        V=Laplace(scale=0.01),
        W_z=Normal(scale=0.3),  # lifted: a random variable
    )

    The spread of the domains is learned:

    >>> Priors(D=Normal(scale=LogNormal(median=0.02, sigma=1.0)))
    Priors(
        D=Normal(scale=LogNormal(median=0.02, sigma=1.0)),
    )

    A few coordinates of popularity count, most do not:

    >>> Priors(W_z=Horseshoe(scale=0.02)).lifted
    ('W_z',)

    Any distribution with the whole real line as support:

    >>> wide = Priors(D=lambda loc: dist.Cauchy(loc, 0.1).to_event(1))
    """

    D: Prior
    Z: Prior
    V: Prior
    U: Prior
    S: Prior
    W_d: Prior | None
    W_z: Prior | None

    def __init__(
        self,
        D: Prior = _DOMAIN,
        Z: Prior = _MEAN,
        V: Prior = _MEAN,
        U: Prior = _MEAN,
        S: Prior = _EFFECT_SCALES,
        W_d: Prior | None = None,
        W_z: Prior | None = None,
        **unknown: Prior,
    ) -> None:
        for node in unknown:
            raise _unknown(node)
        priors = {"D": D, "Z": Z, "V": V, "U": U, "S": S, "W_d": W_d, "W_z": W_z}
        for node, prior in priors.items():
            if not (prior is None and node in WEIGHTS):
                check_prior(node, prior)
            object.__setattr__(self, node, prior)

    def __repr__(self) -> str:
        """Return the nodes that differ from the default, one line each; `Priors()` if none does."""
        default = Priors()
        lines = [
            f"    {node}={_shown(prior)}," + ("  # lifted: a random variable" if node in WEIGHTS else "")
            for node, prior in self._by_node().items()
            if prior is not None and prior != getattr(default, node)
        ]
        return "\n".join(["Priors(", *lines, ")"]) if lines else "Priors()"

    @property
    def lifted(self) -> tuple[str, ...]:
        """Names of the weights that are random variables, a part of `WEIGHTS`."""
        return tuple(name for name in WEIGHTS if getattr(self, name) is not None)

    def to_config(self) -> dict[str, dict[str, Any]]:
        """Return plain JSON from which `from_config` makes the same priors.

        Raises
        ------
        InputError
            If a prior is the user's own callable, which a file cannot hold.
        """
        config = {}
        for node, prior in self._by_node().items():
            if prior is None:
                continue
            try:
                config[node] = to_plain(prior)
            except TypeError:
                raise InputError(
                    f"prior of {node}: {prior!r} cannot be saved; saved models take {', '.join(FAMILIES)}"
                ) from None
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Mapping[str, Any]]) -> Priors:
        """Return the priors of `to_config`; nodes left out keep their default.

        Raises
        ------
        InputError
            If a node, a family or a setting is unknown, missing or out of range; the message lists what is allowed.
        """
        return cls(**{node: _build(node, settings) for node, settings in config.items()})

    def _by_node(self) -> dict[str, Prior | None]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


NODES = tuple(field.name for field in fields(Priors))


def build(node: str, family: str, **settings: object) -> Prior:
    """Return the prior of a node by the name of its family.

    Raises
    ------
    InputError
        If the node, the family or a setting is unknown, missing or out of range; the message lists what is allowed.

    Examples
    --------
    >>> build("D", "student_t", df=4, scale=0.5)
    StudentT(df=4, scale=0.5)
    """
    return _build(node, {"family": family} | settings)


def _build(node: str, plain: Mapping[str, object]) -> Prior:
    if node not in NODES:
        raise _unknown(node)
    if not isinstance(plain, Mapping):
        raise InputError(f"prior of {node}: {plain!r} is not a configuration such as {to_plain(_MEAN)}")
    try:
        return from_plain(plain)
    except InputError as error:
        raise InputError(f"prior of {node}: {str(error).removeprefix('prior ')}") from None


def _unknown(node: str) -> InputError:
    return InputError(f"prior of {node!r}: there is no such node; expected one of {', '.join(NODES)}")


def _shown(prior: Prior) -> str:
    """Return a prior on one line; a function by its name."""
    name = getattr(prior, "__qualname__", None)
    return f"<function {name}>" if name else shorten(repr(prior), 160, placeholder=" …")
