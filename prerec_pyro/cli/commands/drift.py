"""``prerec-pyro drift``: has a domain changed since its posterior was inferred? For a nightly job."""

from __future__ import annotations

from pathlib import Path

import click

from prerec_pyro.cli import causal_options, console, options

DRIFTED = 3


@click.command(short_help="Say whether a domain has drifted; status 3 if so.")
@causal_options.model
@causal_options.domain
@click.option(
    "--since",
    required=True,
    metavar="TIME",
    help="Where the later part of the log starts, an ISO time (2011-06-01T12:00, UTC) or seconds since 1970.",
)
@click.option(
    "--posterior",
    metavar="FILE",
    type=options.PATH,
    help="Of the domain's D and S given its log before then, written by `diagnose`; by default they are estimated now "
    "on the log before --since.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="False alarms that are put up with, as a share of the runs.",
)
@click.option(
    "--max-queries", type=click.IntRange(min=1), default=4000, show_default=True, help="Of each part of the log."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the users drawn.")
@click.option("--out", required=True, metavar="FILE", type=options.PATH, help="Report to write: .json or .md.")
@causal_options.plot
@options.device
@console.verbosity
@click.pass_context
def command(
    ctx: click.Context,
    model: Path,
    domain: Path,
    since: str,
    posterior: Path | None,
    alpha: float,
    max_queries: int,
    seed: int,
    out: Path,
    plot: Path | None,
    device: str,
) -> None:
    """Re-estimate D and S on the later part of a log, networks frozen, and compare them with what was known before.

    Prints one sentence and writes the report. The exit status is 0 where no drift is shown, 3 where there is drift, and
    2 where the question cannot be answered.
    """
    from prerec_pyro.causal.drift.drift import drift
    from prerec_pyro.inference.posterior.result import Posterior

    causal_options.check_outs(out, plot, (".json", ".md"), [model, domain, *([posterior] if posterior else [])])
    trained, shop = causal_options.load(model, domain, device)
    known = None if posterior is None else Posterior.load(posterior)
    found = drift(trained, shop, since, known, alpha=alpha, max_queries=max_queries, seed=seed)

    def draw() -> list:
        from prerec_pyro.plots.causal import plot_drift

        return plot_drift(found.table)

    texts = {".json": lambda: causal_options.as_json(found.to_json()), ".md": found.to_markdown}
    causal_options.write(out, texts, plot, draw)
    console.say(found.sentence())
    if found.drifted:
        ctx.exit(DRIFTED)
