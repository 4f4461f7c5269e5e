"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from prerec_pyro.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)


class _Model(click.ParamType):
    """A model folder, or the name of a model that ships with the package."""

    name = "model"

    def convert(self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the folder; it need not exist."""
        from prerec_pyro.recommenders.pretrained.shipped import find_model

        return find_model(value) if isinstance(value, str) else value


MODEL = _Model()
MODEL_HELP = "Model folder made by `prerec-pyro train`, or a model that ships with the package: base or open."
_WORDS = ("mean", "observed")


def _parse_do(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, float | str]:
    """Return node → number or word. `Intervention.check` checks that the model has such a node."""
    do: dict[str, float | str] = {}
    for value in values:
        node, _, text = value.partition("=")
        if not (node and text):
            raise InputError(f"--do {value}: expected NODE=VALUE, such as --do Z=0, --do Z=mean or --do Z=x0.5")
        if node in do:
            raise InputError(f"--do {value}: {node} is set already; give each node once")
        if text in _WORDS:
            do[node] = text
            continue
        number = _number(text.removeprefix("x"))
        if number is None:
            raise InputError(
                f"--do {value}: {text!r} is no value of a node; expected a number, 'mean', 'observed' or a multiple "
                f"such as 'x0.5', as in --do {node}=0"
            )
        if not math.isfinite(number):
            raise InputError(f"--do {value}: expected a finite number, such as --do {node}=0")
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
    help="Device to compute on; auto takes CUDA if there is a GPU, else the CPU.",
)
do = click.option(
    "--do",
    metavar="NODE=VALUE",
    multiple=True,
    callback=_parse_do,
    help="Intervene on a node of the causal graph: D (domain), Z (popularity), V (items), U (users) or S (effect "
    "scales). Set it to a number (Z=0), to a multiple of its own value (Z=x0.5; D, Z and S only), or Z to its mean "
    "over the items (Z=mean), which removes the effect of popularity. Repeat the option for several nodes.",
)
split = click.option(
    "--split",
    type=click.Choice(["test", "validation", "train"]),
    default="test",
    show_default=True,
    help="Part of the users to measure on.",
)
split_seed = click.option(
    "--split-seed",
    metavar="N",
    type=int,
    default=0,
    show_default=True,
    help="Seed of the 4:3:3 split of users into train, validation and test.",
)
k_percent = click.option(
    "--k-percent",
    metavar="PERCENT",
    type=float,
    default=0.5,
    show_default=True,
    help="List length K of recall and r_ndcg, in percent of the domain's items.",
)


def calibrate(help_text: str) -> Callable[[F], F]:
    """Return a decorator that adds ``--calibrate`` and ``--plain``, which exclude each other.

    Parameters
    ----------
    help_text
        Help of ``--calibrate``.
    """
    return lambda function: apply(
        function,
        click.option("--calibrate", is_flag=True, callback=_parse_calibrate, help=help_text),
        click.option(
            "--plain",
            is_flag=True,
            is_eager=True,  # known when --calibrate is parsed
            help="Leave S of a new domain at its mean over domains; do not read the log for it.",
        ),
    )


def _parse_calibrate(ctx: click.Context, _parameter: click.Parameter, value: bool) -> bool:
    if value and ctx.params.get("plain"):
        raise InputError("--plain and --calibrate exclude each other; give one of them")
    return value


def apply(function: F, *chosen: Callable[[F], F]) -> F:
    """Return a command function with options, which `--help` lists in the given order.

    Parameters
    ----------
    function
        Function of the command.
    chosen
        Decorators made by ``click.option``.
    """
    for option in reversed(chosen):
        function = option(function)
    return function
