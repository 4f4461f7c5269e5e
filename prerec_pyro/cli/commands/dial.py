"""``prerec-pyro dial``: recommendations with the effect of popularity reduced, removed or increased."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from prerec_pyro.cli import causal_options, console, options, outputs
from prerec_pyro.cli.causal_options import MeasurementOptions
from prerec_pyro.errors import InputError


def _parse_values(_ctx: click.Context, _parameter: click.Parameter, value: str) -> list[float]:
    try:
        values = [float(part) for part in value.split(",")]
    except ValueError:
        raise InputError(f"--values {value}: expected numbers separated by commas, such as 0,0.5,1,2") from None
    if not all(math.isfinite(one) for one in values):
        raise InputError(f"--values {value}: expected finite numbers, such as 0,0.5,1,2")
    return values


@click.command(short_help="Vary the effect of popularity on recommendations.")
@causal_options.model
@causal_options.domain
@click.option(
    "--values",
    metavar="A,B",
    default="0,0.25,0.5,0.75,1,1.25,1.5,1.75,2",
    show_default=True,
    callback=_parse_values,
    help="Factors of Z, separated by commas: 0 removes the effect of popularity, 1 leaves it as it is, 2 doubles it. 1 "
    "is always included.",
)
@causal_options.measured
@click.option("--out", required=True, metavar="FILE", type=options.PATH, help="Table to write: .json, .md or .csv.")
@causal_options.plot
@options.device
@console.verbosity
def command(
    model: Path, domain: Path, values: list[float], out: Path, plot: Path | None, device: str, **given: Any
) -> None:
    """Measure recommendations under do(Z = factor x Z): the effect of popularity reduced, removed or increased.

    Prints and writes one row per factor: accuracy, coverage, Gini index of exposure and mean popularity of the items
    shown. The file also holds 95 % intervals over users, and paired differences to factor 1, the recommendations
    without intervention.
    """
    from prerec_pyro.causal import popularity_dial
    from prerec_pyro.causal.measurement.estimates import METRICS

    asked = MeasurementOptions(**given)
    causal_options.check_outs(out, plot, (".json", ".md", ".csv"), [model, domain])
    trained, shop = causal_options.load(model, domain, device)
    with console.progress(asked.count_queries(shop), "turning the popularity dial", unit="queries") as bar:
        query = causal_options.prepare(trained, shop, model, asked, bar.update)
        dial = popularity_dial(query.model, query.encoded, values, measurement=query.measurement)

    def draw() -> list[Any]:
        from prerec_pyro import plots

        return plots.plot_dial(dial.table)

    texts = {
        ".json": lambda: outputs.json_text(dial.to_json()),
        ".md": dial.to_markdown,
        ".csv": lambda: dial.table.to_csv(index=False, lineterminator="\n"),
    }
    causal_options.write(out, texts, plot, draw)
    console.print_table(dial.table[list(METRICS)].set_axis([f"{value:g}" for value in dial.table["value"]]))
