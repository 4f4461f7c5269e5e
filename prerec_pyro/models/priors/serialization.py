"""Priors as plain JSON: the families by name, and the conversion in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from prerec_pyro.errors import InputError
from prerec_pyro.models.priors.families import Horseshoe, Laplace, Normal, StudentT
from prerec_pyro.models.priors.hyperpriors import HYPERPRIORS, ScalePrior
from prerec_pyro.models.priors.mixture import GaussianMixture

Family = Normal | StudentT | Laplace | Horseshoe | GaussianMixture
FAMILIES: dict[str, type[Family]] = {
    "normal": Normal,
    "student_t": StudentT,
    "laplace": Laplace,
    "horseshoe": Horseshoe,
    "mixture": GaussianMixture,
}
"""The families by the names that options and files use."""

_NAMES = {family: name for name, family in (*FAMILIES.items(), *HYPERPRIORS.items())}
_Named = TypeVar("_Named", bound=Family | ScalePrior)


def to_plain(prior: object) -> dict[str, Any]:
    """Return plain JSON from which `from_plain` makes the same prior.

    Raises
    ------
    TypeError
        If the prior does not belong to a named family.

    Examples
    --------
    >>> from prerec_pyro.priors import LogNormal
    >>> to_plain(Normal(scale=LogNormal(median=0.02, sigma=1.0)))
    {'family': 'normal', 'scale': {'family': 'log_normal', 'median': 0.02, 'sigma': 1.0}}
    """
    if not isinstance(prior, Family | ScalePrior) or type(prior) not in _NAMES:
        raise TypeError(f"{prior!r} does not belong to a named family")
    return {"family": _NAMES[type(prior)], **{f.name: _plain_value(getattr(prior, f.name)) for f in fields(prior)}}


def from_plain(plain: Mapping[str, object]) -> Family:
    """Return the prior of `to_plain`.

    Raises
    ------
    InputError
        If the family or a setting is unknown, missing or out of range; the message lists what is allowed.
    """
    return _named(plain, FAMILIES)


def _named(plain: Mapping[str, object], families: Mapping[str, type[_Named]]) -> _Named:
    settings = dict(plain)
    family = settings.pop("family", None)
    if not isinstance(family, str) or family not in families:
        raise InputError(f"no family {family!r}; expected one of {', '.join(families)}")
    wanted = [f.name for f in fields(families[family])]
    if set(settings) != set(wanted):
        raise InputError(f"{family} takes exactly {', '.join(wanted)}; got {', '.join(settings) or 'nothing'}")
    values: dict[str, Any] = {  # of any type: the family checks them
        name: _named(value, HYPERPRIORS) if isinstance(value, Mapping) else value for name, value in settings.items()
    }
    return families[family](**values)


def _plain_value(value: object) -> object:
    """Return numbers as they are, tuples as lists, hyperpriors as `to_plain` does."""
    if isinstance(value, tuple):
        return [_plain_value(one) for one in value]
    return value if isinstance(value, int | float) else to_plain(value)
