"""Options that several commands share."""

from __future__ import annotations

import math
from pathlib import Path

import click

from prerec_pyro.errors import InputError

PATH = click.Path(path_type=Path)


def _parse_do(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, float | str]:
    """Return node → number or ``"mean"``; whether there is such a node is for `Intervention.check` to say."""
    do: dict[str, float | str] = {}
    for value in values:
        node, _, text = value.partition("=")
        if not (node and text):
            raise InputError(f"--do {value}: expected NODE=VALUE, such as --do Z=0 or --do Z=mean")
        if node in do:
            raise InputError(f"--do {value}: {node} is set already; give it once")
        try:
            do[node] = text if text == "mean" else float(text)
        except ValueError:
            raise InputError(
                f"--do {value}: {text!r} is neither a number nor 'mean'; write --do {node}=0, say"
            ) from None
        if text != "mean" and not math.isfinite(float(text)):
            raise InputError(f"--do {value}: expected a finite number; write --do {node}=0, say")
    return do


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
    help="Set a node of the graph (D, Z, V or U) to a number, or Z to its mean over the items: Z=mean takes the "
    "effect of popularity out. May be given for several nodes.",
)
