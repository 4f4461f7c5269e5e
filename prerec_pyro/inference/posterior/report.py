"""Findings of the checks of a posterior in plain words: trust it, or what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from prerec_pyro.inference.posterior import diagnostics
from prerec_pyro.inference.posterior.predictive_checks import LIST_LENGTH, PredictiveChecks
from prerec_pyro.inference.posterior.result import Posterior

State = Literal["good", "fair", "bad", "note"]
GOOD_K, FAIR_K = 0.5, 0.7
GOOD_R_HAT, FAIR_R_HAT = 1.01, 1.05
MIN_ESS = 100  # for each chain (Vehtari et al. 2021)
MIN_BFMI = 0.3
MAX_ELBO_RANGE, MAX_MEAN_SHIFT = 2.0, 0.5  # nats, standard deviations
MAX_MISCALIBRATION = 0.05
MAX_POPULARITY_RATIO = 1.5
_USERS = {"train": "training users", "validation": "validation users", "test": "test users"}


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes
    ----------
    check
        Name of the check.
    state
        ``"good"``, ``"fair"``, ``"bad"``, or ``"note"`` for a fact that is neither.
    message
        The finding and what follows from it, in one sentence.
    """

    check: str
    state: State
    message: str


def findings(posterior: Posterior) -> list[Finding]:
    """Return the findings on the quality of the draws.

    Examples
    --------
    >>> import torch
    >>> facts = {"log_queries": 500, "given_queries": 400, "evaluated_queries": 400}
    >>> posterior = Posterior("delta", "shop", {"S": torch.zeros(1, 1, 4)}, facts=facts)
    >>> for finding in findings(posterior):
    ...     print(f"{finding.check} ({finding.state}): {finding.message}")
    evidence (note): given 400 of the 500 queries of the users that were named
    spread (note): a MAP is a point and says nothing of its own error; use laplace
    """
    evidence = _evidence(posterior)
    if posterior.is_point:
        return [evidence, Finding("spread", "note", "a MAP is a point and says nothing of its own error; use laplace")]
    if posterior.method == "nuts":
        return [evidence, *_convergence(posterior), _divergences(posterior), _energy(posterior)]
    restarts = [_restarts(posterior)] if "elbo" in posterior.facts else []
    return [evidence, *restarts, _importance_ratios(posterior)]


def _evidence(posterior: Posterior) -> Finding:
    facts = posterior.facts
    given, evaluated = facts["given_queries"], facts["evaluated_queries"]
    users = _USERS.get(facts.get("users", ""), "users that were named")
    message = f"given {given:,} of the {facts['log_queries']:,} queries of the {users}"
    if evaluated < given:
        message += (
            f"; evaluated on {evaluated:,} of them, each counted {facts['weight']:.1f} times, "
            f"with the gradient of all ({facts['rounds']} passes)"
        )
    return Finding("evidence", "note", message)


def _importance_ratios(posterior: Posterior) -> Finding:
    ratios = (posterior.statistics["lp"] - posterior.statistics["log_q"])[0].double().numpy()
    k = diagnostics.k_hat(ratios)
    if k < GOOD_K:
        return Finding("k-hat", "good", f"{k:.2f}: the draws follow the posterior, trust them")
    if k < FAIR_K:
        return Finding("k-hat", "fair", f"{k:.2f}: means and intervals hold roughly; use nuts where precision matters")
    advice = "use nuts, or fewer latents (--latents S)" if len(posterior.draws) > 1 else "use nuts"
    return Finding("k-hat", "bad", f"{k:.2f}: the approximation misses the posterior, do not trust its tails; {advice}")


def _restarts(posterior: Posterior) -> Finding:
    elbo, shift = posterior.facts["elbo"], posterior.facts["mean_shift"]
    if len(elbo) < 2:
        return Finding("restarts", "note", "a single run: nothing shows whether another one would agree")
    elbo_range = float(np.ptp(elbo))
    message = f"ELBOs of {len(elbo)} runs within {elbo_range:.1f} nats, means within {shift:.2f} standard deviations"
    if elbo_range < MAX_ELBO_RANGE and shift < MAX_MEAN_SHIFT:
        return Finding("restarts", "good", f"{message}: they agree")
    return Finding("restarts", "bad", f"{message}: they do not agree; use more --steps, or laplace")


def _convergence(posterior: Posterior) -> list[Finding]:
    """Return the findings on R-hat and on bulk and tail ESS of chains."""
    table = posterior.summary()
    r_hat = float(table["r_hat"].max())
    worst = table["r_hat"].idxmax() if table["r_hat"].notna().any() else table.index[0]
    if posterior.num_chains < 2:
        message = f"{r_hat:.3f} from the halves of one chain; run two chains or more"
        convergence = Finding("R-hat", "fair", message)
    elif r_hat <= GOOD_R_HAT:
        convergence = Finding("R-hat", "good", f"{r_hat:.3f} at worst, for {worst}: the chains agree")
    elif r_hat <= FAIR_R_HAT:
        message = f"{r_hat:.3f} at worst, for {worst}: nearly converged, run longer for publication"
        convergence = Finding("R-hat", "fair", message)
    else:
        advice = "run longer (--draws) or with more queries"
        convergence = Finding("R-hat", "bad", f"{r_hat:.3f} at worst, for {worst}: the chains disagree, {advice}")
    found = [convergence]
    for kind, quantity in (("bulk", "means"), ("tail", "intervals")):
        ess = table[f"ess_{kind}"]
        size, site = float(ess.min()), ess.idxmin()
        enough = size >= MIN_ESS * posterior.num_chains
        follows = f"enough for {quantity}" if enough else f"too few for {quantity}, run longer (--draws)"
        message = f"{size:.0f} at least, for {site}: {follows}"
        found.append(Finding(f"ESS {kind}", "good" if enough else "fair", message))
    return found


def _divergences(posterior: Posterior) -> Finding:
    count = int(posterior.statistics["diverging"].sum())
    if not count:
        return Finding("divergences", "good", "none")
    message = f"{count}: the chains cannot enter some regions of the posterior; do not trust its tails"
    return Finding("divergences", "bad", message)


def _energy(posterior: Posterior) -> Finding:
    lowest = float(diagnostics.bfmi(posterior.statistics["energy"].double().numpy()).min())
    if lowest >= MIN_BFMI:
        return Finding("energy", "good", f"BFMI {lowest:.2f} at least: the chains reach the tails")
    return Finding("energy", "bad", f"BFMI {lowest:.2f} at least: the chains hardly reach the tails, run longer")


def predictive_findings(checks: PredictiveChecks) -> list[Finding]:
    """Return the findings on the predictions for held-out users: calibration and popularity."""
    return [_calibration(checks), _popularity(checks)]


def _calibration(checks: PredictiveChecks) -> Finding:
    difference = checks.miscalibration()
    # Choices of one user are not independent, so the noise depends on the number of users.
    noise = 1.36 / max(checks.num_users, 1) ** 0.5
    evidence = f"on {len(checks):,} choices of {checks.num_users:,} users that it was not given"
    message = f"claimed and observed shares differ by {abs(difference):.3f} at most {evidence}"
    if abs(difference) <= max(MAX_MISCALIBRATION, noise):
        return Finding("calibration", "good", f"{message}: the probabilities can be taken at face value")
    bias = "overconfident" if difference < 0 else "underconfident"
    return Finding("calibration", "fair", f"{message}: the model is {bias} in the items that it lists first")


def _popularity(checks: PredictiveChecks) -> Finding:
    medians = (checks.chosen_popularity, checks.drawn_popularity, checks.listed_popularity)
    chosen, drawn, listed = (float(np.median(counts)) for counts in medians)
    message = f"median popularity {chosen:.0f} of chosen items, {drawn:.0f} of items that the model draws, "
    message += f"{listed:.0f} of its first {LIST_LENGTH}"
    if abs(np.log1p(drawn) - np.log1p(chosen)) < np.log(MAX_POPULARITY_RATIO):
        return Finding("popularity", "good", f"{message}: they agree")
    side = "popular" if drawn > chosen else "unpopular"
    return Finding("popularity", "fair", f"{message}: the model prefers {side} items")
