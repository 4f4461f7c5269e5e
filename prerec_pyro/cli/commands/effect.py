"""``prerec-pyro effect``: the effect of the confounders D and Z on recommendations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prerec_pyro.cli import causal_options, console, options, outputs
from prerec_pyro.cli.causal_options import MeasurementOptions

if TYPE_CHECKING:
    import pandas as pd

    from prerec_pyro.causal.effect import Effect
    from prerec_pyro.inference.interventions.intervention import Semantics


@dataclass(frozen=True)
class _Options:
    """Options of the command, besides those of the measurement; see `--help`."""

    model: Path
    domain: Path
    as_if: tuple[str, ...]
    semantics: Semantics
    out: Path
    plot: Path | None
    device: str


@click.command(short_help="Measure the effect of the confounders on recommendations.")
@causal_options.model
@causal_options.domain
@click.option(
    "--as-if",
    metavar="NAME",
    multiple=True,
    help="Set D to its value in this domain, one that the model was trained on. Repeat the option for several "
    "domains.  [default: D = 0 in a trained domain, draws from the prior of D in a new one]",
)
@click.option(
    "--semantics",
    type=click.Choice(["interventional", "counterfactual"]),
    default="interventional",
    show_default=True,
    help="Treatment of the items if D changes them: counterfactual keeps the offset that was learned for each item, "
    "interventional drops it.",
)
@causal_options.measured
@click.option("--out", required=True, metavar="FILE", type=options.PATH, help="Report to write: .json or .md.")
@causal_options.plot
@options.device
@console.verbosity
def command(
    model: Path,
    domain: Path,
    as_if: tuple[str, ...],
    semantics: Semantics,
    out: Path,
    plot: Path | None,
    device: str,
    **given: Any,
) -> None:
    """Compare recommendations without intervention and under do(D), do(Z) and both.

    D, the domain, and Z, the popularity of the items, are the confounders of the causal graph. Prints the changes of
    accuracy and exposure, with a star where the 95 % interval over users excludes 0. Writes a report that also shows
    the changes by popularity of the items and for single users.
    """
    _run(_Options(model, domain, as_if, semantics, out, plot, device), MeasurementOptions(**given))


def _run(chosen: _Options, asked: MeasurementOptions) -> None:
    from prerec_pyro.causal.arms import default_arms
    from prerec_pyro.causal.effect import effect_report

    causal_options.check_outs(chosen.out, chosen.plot, (".json", ".md"), [chosen.model, chosen.domain])
    trained, shop = causal_options.load(chosen.model, chosen.domain, chosen.device)
    arms = default_arms(trained, shop, as_if=chosen.as_if, seed=asked.seed)
    with console.progress(asked.count_queries(shop), "measuring interventions", unit="queries") as bar:
        query = causal_options.prepare(trained, shop, chosen.model, asked, bar.update)
        effect = effect_report(
            query.model, query.encoded, arms, semantics=chosen.semantics, measurement=query.measurement
        )

    def draw() -> list[Any]:
        from prerec_pyro import plots

        return plots.plot_effect(effect.changes(), effect.by_popularity)

    texts = {".json": lambda: outputs.json_text(effect.to_json()), ".md": effect.to_markdown}
    causal_options.write(chosen.out, texts, chosen.plot, draw)
    console.print_table(_table(effect), index=False)
    console.say("* the 95 % interval excludes 0")


def _table(effect: Effect) -> pd.DataFrame:
    """Return the changes, one row per intervention, with a star where the interval excludes 0."""
    import pandas as pd

    rows = []
    for name, one in list(effect.estimates.items())[1:]:  # the first is without intervention
        cells = {
            metric: f"{change.value:+.4f}" + ("*" if change.low > 0 or change.high < 0 else "")
            for metric, change in one.change.items()
        }
        rows.append({"change under": name, **cells})
    return pd.DataFrame(rows)
