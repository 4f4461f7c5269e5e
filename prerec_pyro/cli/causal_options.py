"""What the commands that ask a model causal questions share: their options, and how they begin and end."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prerec_pyro.cli import console, options, outputs
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from prerec_pyro.causal.measurement.measurement import Measurement
    from prerec_pyro.causal.protocol import CausalModel
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.data.encoded import EncodedDomain
    from prerec_pyro.recommenders.prerec import PreRec

logger = logging.getLogger(__name__)
F = TypeVar("F", bound=Callable[..., Any])
PICTURES = (".png", ".svg", ".pdf")

model = click.option("--model", required=True, metavar="MODEL", type=options.PATH, help="Folder made by `train`.")
domain = click.option("--domain", required=True, metavar="DIR", type=options.PATH, help="Where to ask.")
plot = click.option("--plot", metavar="FILE", type=options.PATH, help="Picture to draw too: .png, .svg or .pdf.")


def measured(function: F) -> F:
    """Return `function` with the options that say on whose queries to measure (for decorating)."""
    for option in (
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all draws."),
        click.option(
            "--draws", type=click.IntRange(min=1), default=1000, show_default=True, help="Of users, for the intervals."
        ),
        click.option(
            "--list-size", type=click.IntRange(min=1), default=20, show_default=True, help="Items shown to a user."
        ),
        click.option(
            "--k-percent",
            type=float,
            default=0.5,
            show_default=True,
            help="K%, the length of a list in percent of the items, for recall and r_ndcg.",
        ),
        click.option("--split-seed", type=int, default=0, show_default=True, help="Of the 4:3:3 split of users."),
        click.option(
            "--split",
            type=click.Choice(["test", "validation", "train"]),
            default="test",
            show_default=True,
            help="Whose queries.",
        ),
        click.option(
            "--calibrate",
            is_flag=True,
            help="In a domain that is new to the model, read off the log of its training users how far to trust texts, "
            "popularity and repeats.",
        ),
    ):
        function = option(function)
    return function


@dataclass(frozen=True, eq=False)
class CausalOptions:
    """A model, a domain and the measurement that was asked for, all checked."""

    model: CausalModel
    encoded: EncodedDomain
    measurement: Measurement


def check_outs(out: Path, plot: Path | None, suffixes: tuple[str, ...], sources: list[Path]) -> None:
    """Check both files to be written, before the work begins."""
    outputs.check_out_file(out, suffixes, sources)
    if plot is not None:
        outputs.check_out_file(plot, PICTURES, sources, option="--plot")
        if plot.resolve() == out.resolve():
            raise InputError(f"--plot {plot}: is the file of --out too; name another file")


def load(path: Path, folder: Path, device: str) -> tuple[PreRec, Domain]:
    """Return the model, which must be one of prerec, and the domain.

    Raises
    ------
    InputError
        If either cannot be read, or the model has no confounders to ask about.
    """
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.recommenders.prerec import PreRec
    from prerec_pyro.recommenders.registry import load_model

    trained = load_model(path, device)
    if not isinstance(trained, PreRec) or "D" not in trained.graph.edges:
        raise InputError(f"--model {path}: is a model of {trained.name}, which has no D and no Z; give one of prerec")
    return trained, Domain.load(folder)


def prepare(trained: PreRec, shop: Domain, path: Path, asked: Mapping[str, Any], progress: Any) -> CausalOptions:
    """Return what is to be asked, the domain encoded and the model calibrated where that was asked for."""
    from prerec_pyro.causal.measurement.measurement import Measurement
    from prerec_pyro.data.splits import split_users
    from prerec_pyro.recommenders.calibrated import CalibratedPreRec

    model: CausalModel = trained
    if asked["calibrate"]:
        if "S" not in trained.graph.edges:
            raise InputError(f"--calibrate: {path} has no S to calibrate; leave it out")
        if asked["split"] == "train":
            raise InputError("--calibrate: reads the log of the training users; give --split validation or test")
        model = CalibratedPreRec(trained, split_users(shop, asked["split_seed"]).train)
    names = ("split", "split_seed", "k_percent", "list_size", "draws", "seed")
    measurement = Measurement(**{name: asked[name] for name in names}, progress=progress)
    return CausalOptions(model, trained.encode(shop), measurement)


def check_asked(shop: Domain, asked: Mapping[str, Any]) -> int:
    """Return the number of queries; `InputError` where there is none, or K% of the items is less than one."""
    from prerec_pyro.data.splits import split_users
    from prerec_pyro.evaluation.metrics import top_k_size
    from prerec_pyro.evaluation.protocol import num_queries

    try:
        top_k_size(shop.num_items, asked["k_percent"])
    except InputError as error:
        raise InputError(f"--k-percent {asked['k_percent']}: {error}") from None
    total = num_queries(shop, split_users(shop, asked["split_seed"]).users(asked["split"]))
    if not total:
        raise InputError(
            f"--split {asked['split']}: no such user of domain {shop.name!r} has two events, so there is no query; "
            "choose another split or domain"
        )
    return total


def write(out: Path, texts: Mapping[str, Callable[[], str]], plot: Path | None, draw: Callable[[], list]) -> None:
    """Write the answer in the format of `out`, and the picture; both or neither.

    Parameters
    ----------
    out
        Where to.
    texts
        Ending → what makes the text.
    plot, draw
        Where to, and what makes the axes.
    """
    with ExitStack() as stack:
        picture = None if plot is None else stack.enter_context(outputs.staged_file(plot, option="--plot"))
        beside = stack.enter_context(outputs.staged_file(out))
        beside.write_text(texts[out.suffix.lower()](), encoding="utf-8")
        if plot is not None:
            from prerec_pyro.plots import base as plots

            plots.save(draw(), str(picture), formats=[plot.suffix.lower().removeprefix(".")])
    for path in (out, plot):
        if path is not None:
            logger.info("wrote %s", path)


def as_json(value: Any) -> str:
    """Return plain JSON as text."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def progress(total: int, what: str) -> console.Progress:
    """Return the progress of so many queries."""
    return console.progress(total, what, unit="queries")
