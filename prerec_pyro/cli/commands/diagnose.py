"""``prerec-pyro diagnose``: the posterior of a domain's D and S given its log, and checks of it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prerec_pyro.cli import console, options, outputs, posterior_plots
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from prerec_pyro.data.encoded import EncodedDomain
    from prerec_pyro.inference.posterior.predictive_checks import PredictiveChecks
    from prerec_pyro.inference.posterior.report import Finding
    from prerec_pyro.inference.posterior.result import Method, Posterior
    from prerec_pyro.recommenders.prerec import PreRec

logger = logging.getLogger(__name__)
_METHODS: dict[str, Method] = {
    "laplace": "laplace",
    "vi": "normal",
    "low-rank": "low_rank",
    "nuts": "nuts",
    "delta": "delta",
}
_MARKS = {"good": "ok", "fair": "fair", "bad": "BAD", "note": "note"}
_MEANING = {
    "match": "texts and history (U·V) weigh",
    "popularity": "popularity (Z·W_z) weighs",
    "fading": "interests of a history fade at",
    "contrast": "the interests of a history are kept apart",
}


@dataclass(frozen=True)
class _Options:
    """Options of the command; see `--help`."""

    model: Path
    domain: Path
    method: str
    out: Path
    plots: Path | None
    draws: int
    chains: int
    queries: int
    max_log: int
    latents: tuple[str, ...] | None
    steps: int
    compare: tuple[Path, ...]
    seed: int
    device: str

    def settings(self) -> dict[str, Any]:
        """Return the settings of the inference, as `PreRec.posterior` takes them."""
        names = ("draws", "chains", "queries", "max_log", "latents", "steps", "seed")
        return {name: getattr(self, name) for name in names}


def _parse_latents(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return tuple(value.split(",")) if value else None


@click.command(short_help="Infer and check the posterior of a domain's latent variables.")
@click.option("--model", required=True, metavar="MODEL", type=options.MODEL, help=options.MODEL_HELP)
@click.option(
    "--domain",
    required=True,
    metavar="DIR",
    type=options.PATH,
    help="Domain to infer the posterior of: one that the model was trained on, or a new one.",
)
@click.option(
    "--method",
    type=click.Choice(list(_METHODS)),
    default="laplace",
    show_default=True,
    help="Approximation of the posterior. laplace: a Gaussian at the mode. vi: independent Gaussians, fitted by "
    "variational inference. low-rank: as vi, with correlations of low rank. nuts: Markov chains, which take hours for "
    "a large model. delta: the mode alone.",
)
@click.option(
    "--out", required=True, metavar="FILE", type=options.PATH, help="Posterior to write, for ArviZ: .nc (NetCDF)."
)
@click.option("--plots", metavar="DIR", type=options.PATH, help="Folder to write figures to (PNG).")
@click.option(
    "--draws",
    metavar="N",
    type=click.IntRange(min=2),
    default=500,
    show_default=True,
    help="Number of draws from the posterior, for nuts of each chain.",
)
@click.option(
    "--chains",
    metavar="N",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="With nuts: number of chains.",
)
@click.option(
    "--queries",
    metavar="N",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Queries that the posterior density is evaluated on; they are weighted to represent all queries given.",
)
@click.option(
    "--max-log",
    metavar="N",
    type=click.IntRange(min=1),
    default=50_000,
    show_default=True,
    help="Most queries of the log to give to the posterior.",
)
@click.option(
    "--latents",
    metavar="D,S,…",
    callback=_parse_latents,
    help="Latent variables to infer, separated by commas: D, S and weights that have a prior. The others stay at their "
    "MAP. S alone is fast.  [default: all]",
)
@click.option(
    "--steps",
    metavar="N",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="With vi and low-rank: optimisation steps of each run.",
)
@click.option(
    "--compare",
    metavar="MODEL",
    type=options.MODEL,
    multiple=True,
    help="Another PreRec or PreRec_n model to compare with, by leave-one-out cross-validation on the same queries. "
    "Repeat the option for several models.",
)
@click.option(
    "--seed", metavar="N", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all random draws."
)
@options.device
@console.verbosity
def command(**given: Any) -> None:
    """Infer the posterior of a domain's latent variables given its log, and check how far to trust it.

    The variables are D, the latent vector of the domain, and S, its effect scales: how strong texts and history,
    popularity and repeats are there. Reads the log of the domain's training users, or of its validation users if the
    model was trained on the domain. All networks stay fixed. The predictions are checked on users whose log was not
    read.
    """
    _run(_Options(**given))


def _run(chosen: _Options) -> None:
    from prerec_pyro.data.domain import Domain

    model, plots = chosen.model, chosen.plots
    sources = [model, chosen.domain, *chosen.compare]
    outputs.check_out_file(chosen.out, [".nc"], sources)
    if plots is not None:
        outputs.check_out_folder(plots, _holds_pictures, sources)
    trained = _prerec(model, "--model", chosen.device)
    others = {path: _prerec(path, "--compare", chosen.device) for path in chosen.compare}
    if "D" not in trained.graph.edges:
        raise InputError(f"--model {model}: its graph has no D and no S; give it to --compare")
    encoded = trained.encode(Domain.load(chosen.domain))
    posterior = trained.posterior(encoded, _METHODS[chosen.method], **chosen.settings())
    checks = trained.check_posterior(encoded, posterior, seed=chosen.seed)
    with contextlib.ExitStack() as stack:
        posterior.save(stack.enter_context(outputs.staged_file(chosen.out)))
        if plots is not None:
            posterior_plots.write_plots(posterior, checks, stack.enter_context(outputs.staged_folder(plots)))
    _print_report(trained, posterior, checks)
    if others:
        _compare(model, posterior, others, encoded, chosen.settings())
    logger.info("wrote %s%s", chosen.out, f" and figures in {plots}" if plots else "")


def _prerec(path: Path, option: str, device: str) -> PreRec:
    from prerec_pyro.recommenders.prerec import PreRec
    from prerec_pyro.recommenders.registry import load_model

    model = load_model(path, device)
    if not isinstance(model, PreRec):
        raise InputError(f"{option} {path}: is a model of {model.name}, which has no posterior; give a PreRec model")
    return model


def _holds_pictures(folder: Path) -> bool:
    return all(path.suffix == ".png" for path in folder.iterdir())


def _print_report(model: PreRec, posterior: Posterior, checks: PredictiveChecks) -> None:
    from prerec_pyro.inference.posterior.report import findings, predictive_findings

    kind = "trained domain" if posterior.domain in model.sources.item_ids else "new domain"
    console.say(f"Posterior of {posterior.domain} ({kind}) by {posterior.method}")
    reliability, prediction = findings(posterior), predictive_findings(checks)
    console.say("\nReliability of the draws")
    _print_findings(reliability)
    console.say("\nPredictions for users whose log was not read")
    _print_findings(prediction)
    console.say("\nPosterior of the domain's variables")
    for line in _findings(model, posterior):
        console.say(f"  {line}")
    bad = [one.check for one in (*reliability, *prediction) if one.state == "bad"]
    console.say(f"\nSummary: {'failed checks: ' + ', '.join(bad) if bad else 'no check fails'}.\n")


def _print_findings(found: Sequence[Finding]) -> None:
    for one in found:
        console.say(f"  {_MARKS[one.state]:<5} {one.check}: {one.message}")


def _findings(model: PreRec, posterior: Posterior) -> list[str]:
    """Return lines about S, as factors and shares, and about the distance of D from its prior."""
    import numpy as np

    from prerec_pyro.models.likelihoods.repeat_mixture import RepeatMixture

    lines: list[str] = []
    likelihood = model.graph.likelihood
    if "S" in posterior.draws and isinstance(likelihood, RepeatMixture):
        draws = likelihood.natural_units(posterior.draws["S"].flatten(0, 1).double())
        found = {name: value.numpy() for name, value in draws.items()}  # each (num_draws,)
        for name in [name for name in _MEANING if name in found]:
            lines.append(f"S[{name}]: {_MEANING[name]} {_interval(found[name], posterior)} times the usual")
        repeat, background = (_interval(100 * found[name], posterior) for name in ("repeat", "background"))
        lines.append(f"S[repeat]: of a user not yet known, {repeat} % of choices repeat an item of the history")
        lines.append(f"S[background]: {background} % of the choices of new items are made by popularity alone")
    if "D" in posterior.draws and not posterior.is_point:
        D, prior = (x["D"].flatten(0, 1).double().numpy() for x in (posterior.draws, posterior.prior))
        low, high = np.quantile(D, [0.05, 0.95], axis=0)
        away = int(((low > 0) | (high < 0)).sum())
        learnt = 1 - (D.var(0) / prior.var(0)).mean()
        lines.append(
            f"D: the 90 % interval of {away} of {D.shape[1]} coordinates excludes 0 (by chance "
            f"{0.1 * D.shape[1]:.0f}); the log reduces the prior's variance by {max(learnt, 0):.0%}"
        )
    return lines


def _interval(values: Any, posterior: Posterior) -> str:
    import numpy as np

    if posterior.is_point:
        return f"{values.mean():.3g}"
    low, high = np.quantile(values, [0.05, 0.95])
    return f"{np.median(values):.3g} ({low:.3g} to {high:.3g})"


def _compare(
    model: Path,
    posterior: Posterior,
    others: Mapping[Path, PreRec],
    encoded: EncodedDomain,
    settings: Mapping[str, Any],
) -> None:
    """Print ArviZ's comparison of models by leave-one-out cross-validation on the same queries."""
    from prerec_pyro.inference.posterior.diagnostics import compare

    found = {model.name: posterior}
    for path, other in others.items():
        method = posterior.method if "D" in other.graph.edges else "delta"
        one = other.posterior(other.encode(encoded.domain), method, **settings)
        if not _same_queries(one, posterior):
            raise InputError(
                f"--compare {path}: was trained on another split of the users; compare models of one split"
            )
        found[path.name] = one
    console.say("Leave-one-out on the evaluated queries, in nats, best model first")
    console.print_table(compare({name: one.to_arviz() for name, one in found.items()}))


def _same_queries(one: Posterior, other: Posterior) -> bool:
    import torch

    return one.events is not None and other.events is not None and torch.equal(one.events, other.events)
