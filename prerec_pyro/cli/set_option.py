"""``--set NAME=VALUE``: from text to checked configurations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

MAX_SEED = 2**32 - 1


def parse(_ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Return name → text of the values of ``--set``, or of whatever the option is called.

    Raises
    ------
    InputError
        If one is no NAME=VALUE, or a name is set twice.
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
    """Return the settings with those that have an option of their own, name → (option, value or None)."""
    joined = dict(settings)
    for name, (option, value) in shorthands.items():
        if value is None:
            continue
        if name in settings:
            raise InputError(f"--set {name}={settings[name]}: {option} sets {name} too; give one of the two")
        joined[name] = str(value)
    return joined


def configs(
    settings: Mapping[str, str], bases: Iterable[BaseModel], only: Mapping[type, Iterable[str]] | None = None
) -> list[Any]:
    """Return the configurations with what `settings`, name → text, changes in them.

    Parameters
    ----------
    bases
        The configurations as they are when nothing is set; no two share a name.
    only
        Type of a configuration → the names that may be set in it; all where it is left out.

    Raises
    ------
    InputError
        If a name is unknown, or a value is not what its field takes.
    """
    bases = list(bases)
    fields = {
        name: field.description
        for base in bases
        for name, field in type(base).model_fields.items()
        if name in (only or {}).get(type(base), type(base).model_fields)
    }
    for name, text in settings.items():
        if name not in fields:
            allowed = ", ".join(name + (f" ({about})" if about else "") for name, about in fields.items())
            raise InputError(f"--set {name}={text}: there is no setting {name!r}; expected one of {allowed}")
    return [_built(base, {n: t for n, t in settings.items() if n in type(base).model_fields}) for base in bases]


def _built(base: BaseModel, settings: Mapping[str, str]) -> Any:
    from pydantic import ValidationError

    try:
        built = type(base)(**(base.model_dump() | {n: None if t == "none" else t for n, t in settings.items()}))
    except ValidationError as error:
        raise InputError(_sentence(error, settings)) from None
    for name in settings:
        value = getattr(built, name)
        if value is None or isinstance(value, str):
            continue
        if (name == "seed" and not 0 <= value <= MAX_SEED) or not math.isfinite(value):
            limits = f"from 0 to {MAX_SEED}" if name == "seed" else "that is finite"
            raise InputError(f"--set {name}={settings[name]}: should be a number {limits}")
    return built


def _sentence(error: ValidationError, settings: Mapping[str, str]) -> str:
    parts = []
    for one in error.errors():
        name = str(one["loc"][0])
        parts.append(f"--set {name}={settings[name]}: {one['msg'].removeprefix('Input ')}")
    return "; ".join(parts)
