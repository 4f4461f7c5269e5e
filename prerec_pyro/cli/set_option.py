"""The option ``--set NAME=VALUE``: configurations from text, checked."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

MAX_SEED = 2**32 - 1


def parse(_ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Return name → text for the values of an option such as ``--set``.

    Raises
    ------
    InputError
        If a value is not of the form NAME=VALUE, or a name is set twice.
    """
    settings: dict[str, str] = {}
    option = parameter.opts[0]
    for value in values:
        name, _, text = value.partition("=")
        if not (name and text):
            raise InputError(f"{option} {value}: expected NAME=VALUE, such as {option} learning_rate=1e-4")
        if name in settings:
            raise InputError(f"{option} {value}: {name} is set to {settings[name]} already; give it once")
        settings[name] = text
    return settings


def join(settings: Mapping[str, str], shorthands: Mapping[str, tuple[str, Any]]) -> dict[str, str]:
    """Return the settings together with those that have an option of their own.

    Parameters
    ----------
    settings
        Name → text, from ``--set``.
    shorthands
        Name → option and value; None is not given.

    Raises
    ------
    InputError
        If a setting is given both ways.
    """
    joined = dict(settings)
    for name, (option, value) in shorthands.items():
        if value is None:
            continue
        if name in settings:
            raise InputError(f"--set {name}={settings[name]}: {option} sets {name} too; give one of the two")
        joined[name] = str(value)
    return joined


def configs(settings: Mapping[str, str], bases: Iterable[BaseModel], offered: Collection[str]) -> list[Any]:
    """Return the configurations with some settings changed.

    Parameters
    ----------
    settings
        Name → text.
    bases
        The configurations without the changes; no two have an offered name in common.
    offered
        Names that may be set.

    Raises
    ------
    InputError
        If a name is not offered, or its field does not take the value.
    """
    bases = list(bases)
    about = {
        name: field.description for base in bases for name, field in type(base).model_fields.items() if name in offered
    }
    for name, text in settings.items():
        if name not in about:
            allowed = ", ".join(name + (f" ({what})" if what else "") for name, what in about.items())
            raise InputError(f"--set {name}={text}: there is no setting {name!r}; expected one of {allowed}")
    return [_changed(base, {n: t for n, t in settings.items() if n in type(base).model_fields}) for base in bases]


def _changed(base: BaseModel, settings: Mapping[str, str]) -> Any:
    from pydantic import ValidationError

    try:
        changed = type(base)(**(base.model_dump() | dict(settings)))
    except ValidationError as error:
        raise InputError(_sentence(error, settings)) from None
    for name in settings:
        value = getattr(changed, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"--set {name}={settings[name]}: should be a number that is finite")
    return changed


def _sentence(error: ValidationError, settings: Mapping[str, str]) -> str:
    """Return what is wrong, with the option of each value; an error of several values names all options."""
    parts = []
    for one in error.errors():
        names = [str(one["loc"][0])] if one["loc"] else list(settings)
        options = " ".join(f"--set {name}={settings[name]}" for name in names)
        parts.append(f"{options}: {one['msg'].removeprefix('Input ').removeprefix('Value error, ')}")
    return "; ".join(parts)
