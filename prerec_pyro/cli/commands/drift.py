"""``prerec-pyro drift``: a test whether a domain has changed, with an exit status for scheduled jobs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from prerec_pyro.cli import causal_options, console, options, outputs

DRIFTED = 3
"""Exit status if the domain has drifted."""


@dataclass(frozen=True)
class _Options:
    """Options of the command; see `--help`."""

    model: Path
    domain: Path
    since: str
    posterior: Path | None
    alpha: float
    max_queries: int
    seed: int
    out: Path
    plot: Path | None
    device: str


@click.command(short_help="Test whether a domain has drifted (exit status 3 if so).")
@causal_options.model
@causal_options.domain
@click.option(
    "--since",
    required=True,
    metavar="TIME",
    help="Start of the later part of the log: an ISO time in UTC (2011-06-01T12:00) or seconds since 1970.",
)
@click.option(
    "--posterior",
    metavar="FILE",
    type=options.PATH,
    help="Posterior of the domain's D and S given its log before --since, written by `prerec-pyro diagnose`. Without "
    "it, D and S are estimated from the log before --since.",
)
@click.option(
    "--alpha",
    metavar="RATE",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="Accepted rate of false alarms.",
)
@click.option(
    "--max-queries",
    metavar="N",
    type=click.IntRange(min=1),
    default=4000,
    show_default=True,
    help="Most queries to use of each part of the log.",
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of the draw of users where a part has more queries.",
)
@click.option("--out", required=True, metavar="FILE", type=options.PATH, help="Report to write: .json or .md.")
@causal_options.plot
@options.device
@console.verbosity
@click.pass_context
def command(ctx: click.Context, **given: Any) -> None:
    """Test whether a domain has changed in the later part of its log.

    Estimates D, the latent vector of the domain, and S, its effect scales, on that part, and compares them with their
    estimates before. All networks stay fixed. Prints one sentence and writes a report. Exit status: 0 if no drift is
    shown, 3 if the domain has drifted, 2 if an input is wrong.
    """
    if _run(_Options(**given)):
        ctx.exit(DRIFTED)


def _run(chosen: _Options) -> bool:
    """Write the report, print the result and return whether the domain has drifted."""
    from prerec_pyro.causal import drift_report
    from prerec_pyro.inference.posterior.result import Posterior

    sources = [chosen.model, chosen.domain, *([chosen.posterior] if chosen.posterior else [])]
    causal_options.check_outs(chosen.out, chosen.plot, (".json", ".md"), sources)
    trained, shop = causal_options.load(chosen.model, chosen.domain, chosen.device)
    before = None if chosen.posterior is None else Posterior.load(chosen.posterior)
    found = drift_report(
        trained,
        shop,
        chosen.since,
        before,
        alpha=chosen.alpha,
        max_queries=chosen.max_queries,
        seed=chosen.seed,
    )

    def draw() -> list[Any]:
        from prerec_pyro import plots

        return plots.plot_drift(found.table)

    texts = {".json": lambda: outputs.json_text(found.to_json()), ".md": found.to_markdown}
    causal_options.write(chosen.out, texts, chosen.plot, draw)
    console.say(found.sentence())
    return found.drifted
