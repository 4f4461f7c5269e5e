"""Options and steps that `dial`, `effect` and `drift` share: models, domains, measurements and reports."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prerec_pyro.cli import options, outputs
from prerec_pyro.cli.evaluation.queries import count_queries
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from prerec_pyro.causal.measurement.measurement import Measurement
    from prerec_pyro.causal.protocol import CausalModel
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.data.encoded import EncodedDomain
    from prerec_pyro.data.splits import SplitName
    from prerec_pyro.recommenders.prerec import PreRec

logger = logging.getLogger(__name__)
F = TypeVar("F", bound=Callable[..., Any])
PLOT_SUFFIXES = (".png", ".svg", ".pdf")

model = click.option("--model", required=True, metavar="MODEL", type=options.MODEL, help=options.MODEL_HELP)
domain = click.option(
    "--domain", required=True, metavar="DIR", type=options.PATH, help="Domain folder made by `prerec-pyro data`."
)
plot = click.option("--plot", metavar="FILE", type=options.PATH, help="Figure to write: .png, .svg or .pdf.")


def measured(function: F) -> F:
    """Return a command function with the options of `MeasurementOptions`; a decorator."""
    return options.apply(
        function,
        click.option(
            "--calibrate",
            is_flag=True,
            help="In a new domain, first estimate the effect scales S (weights of texts and history, popularity and "
            "repeats) from the log of its training users.",
        ),
        options.split,
        options.split_seed,
        options.k_percent,
        click.option(
            "--list-size",
            metavar="N",
            type=click.IntRange(min=1),
            default=20,
            show_default=True,
            help="Number of items shown to a user, for the measures of exposure.",
        ),
        click.option(
            "--draws",
            metavar="N",
            type=click.IntRange(min=1),
            default=1000,
            show_default=True,
            help="Bootstrap samples of the users, for the 95 % intervals.",
        ),
        click.option(
            "--seed",
            metavar="N",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="Seed of all random draws.",
        ),
    )


@dataclass(frozen=True)
class MeasurementOptions:
    """Queries to measure on, and the measures.

    Attributes
    ----------
    calibrate
        Whether S of a new domain is estimated from the log of its training users.
    split, split_seed
        Part of the 4:3:3 split of users, and the seed of the split.
    k_percent
        List length K of recall and r-NDCG, in percent of the items.
    list_size
        Number of items shown to a user.
    draws, seed
        Number of bootstrap samples of the users, and the seed of all draws.
    """

    calibrate: bool
    split: SplitName
    split_seed: int
    k_percent: float
    list_size: int
    draws: int
    seed: int

    def count_queries(self, domain: Domain) -> int:
        """Return the number of queries; see `count_queries` for the errors."""
        return count_queries(domain, self.split, self.split_seed, self.k_percent)

    def measurement(self, progress: Callable[[int], None]) -> Measurement:
        """Return the measurement.

        Parameters
        ----------
        progress
            Function that is called with the number of queries of each finished batch.
        """
        from prerec_pyro.causal.measurement.measurement import Measurement

        return Measurement(
            split=self.split,
            split_seed=self.split_seed,
            k_percent=self.k_percent,
            list_size=self.list_size,
            draws=self.draws,
            seed=self.seed,
            progress=progress,
        )


@dataclass(frozen=True, eq=False)
class CausalQuery:
    """A model, an encoded domain and a measurement, all checked."""

    model: CausalModel
    encoded: EncodedDomain
    measurement: Measurement


def check_outs(out: Path, plot: Path | None, suffixes: tuple[str, ...], sources: list[Path]) -> None:
    """Check the report and the figure before the work begins; see `outputs.check_out_file`."""
    outputs.check_out_file(out, suffixes, sources)
    if plot is not None:
        outputs.check_out_file(plot, PLOT_SUFFIXES, sources, option="--plot")
        if plot.resolve() == out.resolve():
            raise InputError(f"--plot {plot}: is the same file as --out; name another file")


def load(path: Path, folder: Path, device: str) -> tuple[PreRec, Domain]:
    """Return the model and the domain.

    Parameters
    ----------
    path
        Model folder.
    folder
        Domain folder.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"``.

    Raises
    ------
    InputError
        If either cannot be read, or the model has no confounders.
    """
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.recommenders.prerec import PreRec
    from prerec_pyro.recommenders.registry import load_model

    trained = load_model(path, device)
    if not isinstance(trained, PreRec) or "D" not in trained.graph.edges:
        raise InputError(f"--model {path}: is a model of {trained.name}, which has no D and no Z; give one of prerec")
    return trained, Domain.load(folder)


def prepare(
    trained: PreRec, shop: Domain, path: Path, asked: MeasurementOptions, progress: Callable[[int], None]
) -> CausalQuery:
    """Return the causal query, with the domain encoded and the model calibrated if the user asks for that.

    Parameters
    ----------
    trained, shop
        Model and domain, as `load` returns them.
    path
        Model folder, for messages.
    asked
        Options of the measurement.
    progress
        Function that is called with the number of queries of each finished batch.

    Raises
    ------
    InputError
        If the model cannot be calibrated, or calibration would read the users that are measured.
    """
    from prerec_pyro.data.splits import split_users
    from prerec_pyro.recommenders.calibrated import CalibratedPreRec

    model: CausalModel = trained
    if asked.calibrate:
        if "S" not in trained.graph.edges:
            raise InputError(f"--calibrate: {path} has no S to calibrate; leave it out")
        if asked.split == "train":
            raise InputError(
                "--calibrate: reads the log of the training users, so it cannot be measured on them; give --split "
                "validation or test"
            )
        model = CalibratedPreRec(trained, split_users(shop, asked.split_seed).train)
    return CausalQuery(model, trained.encode(shop), asked.measurement(progress))


def write(out: Path, texts: Mapping[str, Callable[[], str]], plot: Path | None, draw: Callable[[], list[Any]]) -> None:
    """Write the report in the format of `out`, and the figure: both or neither.

    Parameters
    ----------
    out
        Path of the report.
    texts
        File ending → function that returns the text of the report.
    plot
        Path of the figure; None for no figure.
    draw
        Function that returns the axes of the figure.
    """
    with ExitStack() as stack:
        picture = None if plot is None else stack.enter_context(outputs.staged_file(plot, option="--plot"))
        partial = stack.enter_context(outputs.staged_file(out))
        partial.write_text(texts[out.suffix.lower()](), encoding="utf-8")
        if plot is not None:
            from prerec_pyro import plots

            plots.save(draw(), str(picture), formats=[plot.suffix.lower().removeprefix(".")])
    for path in (out, plot):
        if path is not None:
            logger.info("wrote %s", path)
