"""Priors as text: ``D=student_t:df=4,scale=0.5``."""

from __future__ import annotations

from collections.abc import Iterator

from prerec_pyro.errors import InputError
from prerec_pyro.models.priors.hyperpriors import HYPERPRIORS
from prerec_pyro.models.priors.node_priors import build
from prerec_pyro.models.priors.prior import Prior
from prerec_pyro.models.priors.serialization import to_plain

FORM = "NODE=FAMILY:NAME=NUMBER,…"


def parse(text: str) -> tuple[str, Prior]:
    """Return the node and the prior that an option of the command line names.

    A value is a number; a list of values, ``(-0.1,0.1)``; or a hyperprior, ``log_normal(median=0.02,sigma=1)``.

    Raises
    ------
    InputError
        If the text has another form, or `build` refuses it.

    Examples
    --------
    >>> parse("D=student_t:df=4,scale=0.5")
    ('D', StudentT(df=4.0, scale=0.5))
    >>> parse("W_z=normal:scale=log_normal(median=0.3,sigma=1)")
    ('W_z', Normal(scale=LogNormal(median=0.3, sigma=1.0)))
    >>> parse("D=normal")
    Traceback (most recent call last):
    prerec_pyro.errors.InputError: prior of D: normal takes exactly scale; got nothing
    """
    node, equals, rest = text.partition("=")
    family, _, settings = rest.partition(":")
    if not equals or not family.strip():
        raise InputError(f"prior {text!r}: expected {FORM} such as D=student_t:df=4,scale=0.5")
    if _depth(text) != 0:
        raise InputError(f"prior {text!r}: the brackets do not match")
    return node.strip(), build(node.strip(), family.strip(), **_settings(settings, text))


def to_text(node: str, prior: Prior) -> str:
    """Return the option that `parse` reads as the same node and prior.

    Raises
    ------
    InputError
        If the prior is the user's own callable, which has no name.

    Examples
    --------
    >>> from prerec_pyro.priors import Horseshoe, HalfCauchy
    >>> to_text("D", Horseshoe(scale=HalfCauchy(scale=0.02)))
    'D=horseshoe:scale=half_cauchy(scale=0.02)'
    """
    try:
        plain = to_plain(prior)
    except TypeError:
        raise InputError(f"prior of {node}: {prior!r} does not belong to a named family") from None
    settings = [f"{name}={_value_text(value)}" for name, value in plain.items() if name != "family"]
    return f"{node}={plain['family']}:" + ",".join(settings)


def _value_text(value: object) -> str:
    if isinstance(value, list):
        return "(" + ",".join(map(_value_text, value)) + ")"
    if isinstance(value, dict):
        inner = ",".join(f"{name}={_value_text(one)}" for name, one in value.items() if name != "family")
        return f"{value['family']}({inner})"
    return repr(value)


def _settings(text: str, whole: str) -> dict[str, object]:
    values: dict[str, object] = {}
    for setting in _split(text):
        name, equals, value = (part.strip() for part in setting.partition("="))
        if name in values:
            raise InputError(f"prior {whole!r}: {name} is given twice")
        if not equals:
            raise InputError(f"prior {whole!r}: {setting!r} is not NAME=NUMBER")
        values[name] = _value(value, setting, whole)
    return values


def _value(text: str, setting: str, whole: str) -> object:
    head, bracket, inner = text.partition("(")
    if bracket and inner.endswith(")"):
        inner, head = inner[:-1], head.strip()
        if not head:
            return [_value(part.strip(), setting, whole) for part in _split(inner)]
        if head not in HYPERPRIORS:
            raise InputError(f"prior {whole!r}: no distribution {head!r}; expected one of {', '.join(HYPERPRIORS)}")
        return {"family": head, **_settings(inner, whole)}
    try:
        return float(text)
    except ValueError:
        raise InputError(
            f"prior {whole!r}: {setting!r} is not NAME=NUMBER, nor NAME=(NUMBER,…), nor NAME=DISTRIBUTION(…) with one "
            f"of {', '.join(HYPERPRIORS)}"
        ) from None


def _split(text: str) -> Iterator[str]:
    """Yield the parts between commas that are outside of brackets."""
    part = ""
    for piece in text.split(","):
        part += ("," if part else "") + piece
        if _depth(part) <= 0:
            if part.strip():
                yield part
            part = ""


def _depth(text: str) -> int:
    return text.count("(") - text.count(")")
