"""``prerec-pyro diagnose``: what a domain's log says of D and S, and whether the answer can be trusted."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prerec_pyro.cli import console, options, outputs
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from prerec_pyro.data.encoded import EncodedDomain
    from prerec_pyro.inference.posterior.predictive_checks import PredictiveChecks
    from prerec_pyro.inference.posterior.report import Finding
    from prerec_pyro.inference.posterior.result import Posterior
    from prerec_pyro.recommenders.prerec import PreRec

logger = logging.getLogger(__name__)
_METHODS = {"laplace": "laplace", "vi": "normal", "low-rank": "low_rank", "nuts": "nuts", "delta": "delta"}
_MARKS = {"good": "ok", "fair": "fair", "bad": "BAD", "note": "note"}
_MEANING = {
    "match": "texts and history (U·V) count",
    "popularity": "popularity (Z·W_z) counts",
    "repeat": "repeats",
    "background": "the background",
}


@click.command(short_help="Say what a domain's log tells of D and S, and whether to trust it.")
@click.option("--model", required=True, metavar="MODEL", type=options.PATH, help="A PreRec made by `train`.")
@click.option(
    "--domain", required=True, metavar="DIR", type=options.PATH, help="A domain it was trained on, or a new one."
)
@click.option(
    "--method",
    type=click.Choice(list(_METHODS)),
    default="laplace",
    show_default=True,
    help="How to approximate the posterior: a Gaussian at the mode, one fitted by variational inference (vi: "
    "independent numbers), Markov chains (slow: hours for a large model), or its mode alone (delta).",
)
@click.option(
    "--out", required=True, metavar="FILE", type=options.PATH, help="Posterior to write: .nc, which ArviZ opens."
)
@click.option("--plots", metavar="DIR", type=options.PATH, help="Folder for pictures.")
@click.option("--draws", type=click.IntRange(min=2), default=500, show_default=True, help="Draws, of each chain.")
@click.option("--chains", type=click.IntRange(min=1), default=4, show_default=True, help="Chains of nuts.")
@click.option(
    "--queries",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Queries that the density is evaluated on; they stand for all that it is given.",
)
@click.option(
    "--max-log",
    type=click.IntRange(min=1),
    default=50_000,
    show_default=True,
    help="Queries of the log that the posterior is given, at most.",
)
@click.option(
    "--latents",
    metavar="D,S,…",
    help="Which of D, S and lifted weights are random; the others stand at their MAP. All by default; S is quick.",
)
@click.option("--steps", type=click.IntRange(min=1), default=300, show_default=True, help="Steps of vi, of each run.")
@click.option(
    "--compare", metavar="MODEL", type=options.PATH, multiple=True, help="Another PreRec or PreRec_n, by LOO."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@options.device
@console.verbosity
def command(
    model: Path,
    domain: Path,
    method: str,
    out: Path,
    plots: Path | None,
    compare: tuple[Path, ...],
    device: str,
    latents: str | None,
    **settings: Any,
) -> None:
    """Say what a domain's log tells of D and S, and whether the answer can be trusted.

    Reads the log of the domain's training users (of validation users, where the model was trained on the domain), all
    networks frozen, and checks the predictions on users that it has not read.
    """
    from prerec_pyro.data.domain import Domain

    settings["latents"] = tuple(latents.split(",")) if latents else None
    outputs.check_out_file(out, [".nc"], [model, domain, *compare])
    if plots is not None:
        outputs.check_out_folder(plots, _holds_pictures, [model, domain, *compare])
    trained, others = _prerec(model, device), [_prerec(path, device) for path in compare]
    if "D" not in trained.graph.edges:
        raise InputError(f"--model {model}: is a PreRec_n, which has no D and no S; give it to --compare")
    encoded = trained.encode(Domain.load(domain))
    posterior = trained.posterior(encoded, _METHODS[method], **settings)
    checks = trained.check_posterior(encoded, posterior, seed=settings["seed"])
    with contextlib.ExitStack() as stack:
        posterior.save(stack.enter_context(outputs.staged_file(out)))
        if plots is not None:
            _draw(posterior, checks, stack.enter_context(outputs.staged_folder(plots)))
    _say(trained, posterior, checks)
    if others:
        _compare(model, posterior, dict(zip(compare, others, strict=True)), encoded, settings)
    logger.info("wrote %s%s", out, f" and pictures in {plots}" if plots else "")


def _prerec(path: Path, device: str) -> PreRec:
    from prerec_pyro.recommenders.prerec import PreRec
    from prerec_pyro.recommenders.registry import load_model

    found = load_model(path, device)
    if not isinstance(found, PreRec):
        raise InputError(f"--model {path}: is a model of {found.name}, which has no posterior; give a PreRec")
    return found


def _holds_pictures(folder: Path) -> bool:
    return all(path.suffix == ".png" for path in folder.iterdir())


def _say(model: PreRec, posterior: Posterior, checks: PredictiveChecks) -> None:
    from prerec_pyro.inference.posterior.report import findings, predictive_findings

    trained = model.sources.item_ids
    kind = "one that the model was trained on" if posterior.domain in trained else "new to the model"
    console.say(f"Posterior of {posterior.domain} ({kind}) by {posterior.method}\n")
    console.say("Can it be trusted?")
    found = findings(posterior)
    _say_verdicts(found)
    console.say("\nDoes it predict people it has not seen?")
    people = predictive_findings(checks)
    _say_verdicts(people)
    console.say("\nWhat the log says")
    for line in _findings(model, posterior):
        console.say(f"  {line}")
    bad = [verdict.check for verdict in (*found, *people) if verdict.state == "bad"]
    console.say(
        f"\nVerdict: {'look at ' + ', '.join(bad) + ' first' if bad else 'nothing speaks against these draws'}.\n"
    )


def _say_verdicts(found: list[Finding]) -> None:
    for verdict in found:
        console.say(f"  {_MARKS[verdict.state]:<5} {verdict.check}: {verdict.message}")


def _findings(model: PreRec, posterior: Posterior) -> list[str]:
    """Return lines on S as factors and odds, and on how far D moved."""
    import numpy as np

    from prerec_pyro.models.likelihoods.repeat_mixture import RepeatMixture

    lines: list[str] = []
    likelihood = model.graph.likelihood
    if "S" in posterior.draws and isinstance(likelihood, RepeatMixture):
        draws = likelihood.natural_units(posterior.draws["S"].flatten(0, 1).double())
        found = {name: value.numpy() for name, value in draws.items()}  # each (num_draws,)
        for name in ("match", "popularity"):
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
            f"D: {away} of {D.shape[1]} coordinates lie clear of 0 (by chance: {0.1 * D.shape[1]:.0f}); "
            f"the log took away {max(learnt, 0):.0%} of the prior's variance"
        )
    return lines


def _interval(values: Any, posterior: Posterior) -> str:
    import numpy as np

    if posterior.is_point:
        return f"{values.mean():.3g}"
    low, high = np.quantile(values, [0.05, 0.95])
    return f"{np.median(values):.3g} ({low:.3g} to {high:.3g})"


def _draw(posterior: Posterior, checks: PredictiveChecks, folder: Path) -> None:
    """Write the pictures."""
    from prerec_pyro.plots import posterior as plots_posterior
    from prerec_pyro.plots.base import save

    save(plots_posterior.plot_calibration(*checks.calibration(), checks.num_users), str(folder / "calibration.png"))
    counts = {"chosen": checks.chosen_popularity}
    counts |= {"drawn by the model": checks.drawn_popularity, "its first ten": checks.listed_popularity}
    save(plots_posterior.plot_popularity_check(counts), str(folder / "popularity.png"))
    if posterior.is_point:
        return
    save(plots_posterior.plot_intervals(_panels(posterior)), str(folder / "forest.png"))
    if posterior.method == "nuts":
        names = [name for name in posterior.summary().index if name.startswith("S")]
        site = "S" if names else next(iter(posterior.draws))
        values = posterior.draws[site][..., :8].numpy()
        names = names or [f"{site}[{i}]" for i in range(values.shape[-1])]
        save(plots_posterior.plot_traces(values, names), str(folder / "trace.png"))


def _panels(posterior: Posterior, most: int = 20) -> dict[str, pd.DataFrame]:
    """Return the intervals of each site, of wide ones those of the coordinates that are farthest from 0."""
    import numpy as np

    table = posterior.summary().rename(columns={"5%": "low", "95%": "high"})
    panels = {}
    for site in sorted(posterior.draws, key=lambda site: (site != "S", site)):
        part = table[table.index.str.startswith(f"{site}[")].copy()
        prior = posterior.prior[site].flatten(0, 1).numpy()
        part["prior_low"], part["prior_high"] = np.quantile(prior, [0.05, 0.95], axis=0)
        shown = part
        if len(part) > most:
            shown = part.loc[part["mean"].abs().sort_values(ascending=False).index[:most]]
        unit = "units of the spread" if site == "S" else "latent units"
        which = f", {len(shown)} largest of {len(part)}" if len(shown) < len(part) else ""
        panels[f"{site} of {posterior.domain}{which} ({unit})"] = shown
    return panels


def _compare(
    model: Path,
    posterior: Posterior,
    others: dict[Path, PreRec],
    encoded: EncodedDomain,
    settings: dict[str, Any],
) -> None:
    """Print ArviZ's comparison by leave-one-out on the same queries."""
    import numpy as np

    from prerec_pyro.inference.posterior.diagnostics import compare

    found = {model.name: posterior}
    for path, other in others.items():
        method = posterior.method if "D" in other.graph.edges else "delta"
        one = other.posterior(other.encode(encoded.domain), method, **settings)
        if not np.array_equal(one.events.numpy(), posterior.events.numpy()):
            raise InputError(
                f"--compare {path}: was trained on another split of the users; compare models of one split"
            )
        found[path.name] = one
    console.say("Leave-one-out on the evaluated queries, nats, best first")
    console.print_table(compare({name: one.to_arviz() for name, one in found.items()}))
