"""``prerec-pyro dial``: recommendations as the effect of popularity is turned down, off and up."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from prerec_pyro.cli import causal_options, console, options
from prerec_pyro.errors import InputError


def _parse_values(_ctx: click.Context, _parameter: click.Parameter, value: str) -> list[float]:
    try:
        values = [float(part) for part in value.split(",")]
    except ValueError:
        raise InputError(f"--values {value}: expected numbers with commas between them, such as 0,0.5,1,2") from None
    if not all(math.isfinite(one) for one in values):
        raise InputError(f"--values {value}: expected finite numbers, such as 0,0.5,1,2")
    return values


@click.command(short_help="Turn the effect of popularity down, off and up.")
@causal_options.model
@causal_options.domain
@click.option(
    "--values",
    metavar="A,B",
    default="0,0.25,0.5,0.75,1,1.25,1.5,1.75,2",
    show_default=True,
    callback=_parse_values,
    help="Stops: 0 no popularity, 1 as it is, 2 doubled. 1 is always among them.",
)
@causal_options.measured
@click.option("--out", required=True, metavar="FILE", type=options.PATH, help="Table to write: .json, .md or .csv.")
@causal_options.plot
@options.device
@console.verbosity
def command(
    model: Path, domain: Path, values: list[float], out: Path, plot: Path | None, device: str, **asked: Any
) -> None:
    """Sweep do(Z = value x Z): accuracy, coverage, Gini index of exposure and mean popularity at each stop.

    Prints the table and writes it, with 95 % intervals over users and paired differences to the stop at 1, which is
    the plain recommendation.
    """
    from prerec_pyro.causal.dial import popularity_dial
    from prerec_pyro.causal.measurement.estimates import METRICS

    causal_options.check_outs(out, plot, (".json", ".md", ".csv"), [model, domain])
    trained, shop = causal_options.load(model, domain, device)
    with causal_options.progress(causal_options.check_asked(shop, asked), "turning the dial") as bar:
        question = causal_options.prepare(trained, shop, model, asked, bar.update)
        found = popularity_dial(question.model, question.encoded, values, measurement=question.measurement)

    def draw() -> list:
        from prerec_pyro.plots.causal import plot_dial

        return plot_dial(found.table)

    texts = {
        ".json": lambda: causal_options.as_json(found.to_json()),
        ".md": found.to_markdown,
        ".csv": lambda: found.table.to_csv(index=False, lineterminator="\n"),
    }
    causal_options.write(out, texts, plot, draw)
    console.print_table(found.table[list(METRICS)].set_axis([f"{value:g}" for value in found.table["value"]]))
