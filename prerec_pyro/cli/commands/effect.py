"""``prerec-pyro effect``: what the confounders do to recommendations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prerec_pyro.cli import causal_options, console, options

if TYPE_CHECKING:
    import pandas as pd

    from prerec_pyro.causal.effect import Effect


@click.command(short_help="Say what the confounders do to recommendations.")
@causal_options.model
@causal_options.domain
@click.option(
    "--as-if",
    metavar="NAME",
    multiple=True,
    help="Domain that the model was trained on: set D to its D, not to draws from the prior. Give it once for each.",
)
@click.option(
    "--semantics",
    type=click.Choice(["interventional", "counterfactual"]),
    default="interventional",
    show_default=True,
    help="Whether items keep the offsets that were learnt for them where D moves them.",
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
    semantics: str,
    out: Path,
    plot: Path | None,
    device: str,
    **asked: Any,
) -> None:
    """Compare recommendations as they are with do(D), do(Z) and both: accuracy, exposure, single users.

    Prints what changes and writes the report, with 95 % intervals over users.
    """
    from prerec_pyro.causal.effect import default_arms, effect_report

    causal_options.check_outs(out, plot, (".json", ".md"), [model, domain])
    trained, shop = causal_options.load(model, domain, device)
    arms = default_arms(trained, shop, as_if=as_if, seed=asked["seed"])
    with causal_options.progress(causal_options.check_asked(shop, asked), "asking what if") as bar:
        question = causal_options.prepare(trained, shop, model, asked, bar.update)
        found = effect_report(
            question.model, question.encoded, arms, semantics=semantics, measurement=question.measurement
        )

    def draw() -> list:
        from prerec_pyro.plots.causal import plot_effect

        return plot_effect(found.changes(), found.by_popularity)

    texts = {".json": lambda: causal_options.as_json(found.to_json()), ".md": found.to_markdown}
    causal_options.write(out, texts, plot, draw)
    console.print_table(_table(found), index=False)
    console.say("* the whole 95 % interval is on one side of 0")


def _table(found: Effect) -> pd.DataFrame:
    """Return the changes, an arm a row, a star where the interval is on one side of 0."""
    import pandas as pd

    rows = []
    for name, one in list(found.estimates.items())[1:]:
        cells = {
            metric: f"{change.value:+.4f}" + ("*" if change.low > 0 or change.high < 0 else "")
            for metric, change in one.change.items()
        }
        rows.append({"less factual": name, **cells})
    return pd.DataFrame(rows)
