"""Options that several commands share."""

from __future__ import annotations

import math
from pathlib import Path

import click

from prerec_pyro.errors import InputError

PATH = click.Path(path_type=Path)


def _parse_do(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, float | str]:
    """Return node → number or word; whether there is such a node is for `Intervention.check` to say."""
    do: dict[str, float | str] = {}
    for value in values:
        node, _, text = value.partition("=")
        if not (node and text):
            raise InputError(f"--do {value}: expected NODE=VALUE, such as --do Z=0, --do Z=mean or --do Z=x0.5")
        if node in do:
            raise InputError(f"--do {value}: {node} is set already; give it once")
        if text in ("mean", "observed"):
            do[node] = text
            continue
        number = _number(text.removeprefix("x"))
        if number is None:
            raise InputError(
                f"--do {value}: {text!r} is neither a number nor 'mean', 'observed' or a multiple of it such as "
                f"'x0.5'; write --do {node}=0, say"
            )
        if not math.isfinite(number):
            raise InputError(f"--do {value}: expected a finite number; write --do {node}=0, say")
        do[node] = text if text.startswith("x") else number
    return do


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute; auto is CUDA where there is one.",
)
do = click.option(
    "--do",
    metavar="NODE=VALUE",
    multiple=True,
    callback=_parse_do,
    help="Set a node of the graph (D, Z, V, U or S) to a number; Z to its mean over the items, Z=mean, which takes the "
    "effect of popularity out; D, Z or S to a multiple of what it is, Z=x0.5. May be given for several nodes.",
)
