"""What the checks of a posterior come to, in plain words: trust it, or what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from prerec_pyro.inference.posterior import diagnostics
from prerec_pyro.inference.posterior.predictive_checks import LISTED, PredictiveChecks
from prerec_pyro.inference.posterior.result import Posterior

State = Literal["good", "fair", "bad", "note"]
GOOD_K, FAIR_K = 0.5, 0.7
GOOD_R, FAIR_R = 1.01, 1.05
ENOUGH_ESS = 100  # of each chain (Vehtari et al. 2021)
LOW_BFMI = 0.3
ELBO_APART, MEANS_APART = 2.0, 0.5
MISCALIBRATED = 0.05


@dataclass(frozen=True)
class Finding:
    """One check.

    Attributes
    ----------
    check
        What was looked at.
    state
        ``"good"``, ``"fair"``, ``"bad"``, or ``"note"`` where there is nothing to judge.
    says
        The finding and what follows, one sentence.
    """

    check: str
    state: State
    says: str


def findings(posterior: Posterior) -> list[Finding]:
    """Return what is known of how good the draws are."""
    found = [_evidence(posterior)]
    if posterior.is_point:
        return [*found, Finding("spread", "note", "a MAP is a point and says nothing of its own error; take laplace")]
    if posterior.method == "nuts":
        return [*found, *_of_chains(posterior)]
    if "elbo" in posterior.facts:
        found.append(_of_restarts(posterior))
    return [*found, _of_ratios(posterior)]


def _evidence(posterior: Posterior) -> Finding:
    facts = posterior.facts
    given, evaluated = facts["given_queries"], facts["evaluated_queries"]
    whose = {"train": "training users", "validation": "validation users", "test": "test users"}
    whose = whose.get(facts.get("users", ""), "users that were named")
    says = f"given {given:,} of the {facts['log_queries']:,} queries of the {whose}"
    if evaluated < given:
        says += (
            f"; evaluated on {evaluated:,} of them, each counted {facts['weight']:.1f} times, "
            f"with the gradient of all ({facts['rounds']} passes)"
        )
    return Finding("evidence", "note", says)


def _of_ratios(posterior: Posterior) -> Finding:
    ratios = (posterior.statistics["lp"] - posterior.statistics["log_q"])[0].double().numpy()
    k = diagnostics.k_hat(ratios)
    if k < GOOD_K:
        return Finding("k-hat", "good", f"{k:.2f}: the draws follow the posterior, trust them")
    if k < FAIR_K:
        return Finding("k-hat", "fair", f"{k:.2f}: means and intervals hold roughly; take nuts where it matters")
    follows = "take nuts, or fewer latents (--latents S)" if len(posterior.draws) > 1 else "take nuts"
    return Finding(
        "k-hat", "bad", f"{k:.2f}: the approximation misses the posterior, do not trust its tails; {follows}"
    )


def _of_restarts(posterior: Posterior) -> Finding:
    elbo, shift = posterior.facts["elbo"], posterior.facts["mean_shift"]
    if len(elbo) < 2:
        return Finding("restarts", "note", "one run only: whether another would agree is not known")
    apart = float(np.ptp(elbo))
    says = f"ELBOs of {len(elbo)} runs within {apart:.1f} nats, means within {shift:.2f} standard deviations"
    if apart < ELBO_APART and shift < MEANS_APART:
        return Finding("restarts", "good", f"{says}: they agree")
    return Finding("restarts", "bad", f"{says}: they do not agree; give it more --steps, or take laplace")


def _of_chains(posterior: Posterior) -> list[Finding]:
    table = posterior.summary()
    worst = table["r_hat"].idxmax() if table["r_hat"].notna().any() else table.index[0]
    r_hat = float(table["r_hat"].max())
    found = []
    if posterior.num_chains < 2:
        found.append(Finding("R-hat", "fair", f"{r_hat:.3f} from halves of one chain; run two chains or more"))
    else:
        state: State = "good" if r_hat <= GOOD_R else "fair" if r_hat <= FAIR_R else "bad"
        follows = {"good": "the chains agree", "fair": "nearly there, run longer for publication"}
        says = follows.get(state, "the chains disagree, run longer (--draws) or with more queries")
        found.append(Finding("R-hat", state, f"{r_hat:.3f} at worst, of {worst}: {says}"))
    for kind in ("bulk", "tail"):
        size, of = float(table[f"ess_{kind}"].min()), table[f"ess_{kind}"].idxmin()
        enough = size >= ENOUGH_ESS * posterior.num_chains
        what = "means" if kind == "bulk" else "intervals"
        says = f"{what} can be read" if enough else f"too few for {what}, run longer (--draws)"
        found.append(Finding(f"ESS {kind}", "good" if enough else "fair", f"{size:.0f} at least, of {of}: {says}"))
    hits = int(posterior.statistics["diverging"].sum())
    says = "none" if not hits else f"{hits}: the posterior has corners that the chains cannot turn; distrust its tails"
    found.append(Finding("divergences", "bad" if hits else "good", says))
    low = float(diagnostics.bfmi(posterior.statistics["energy"].double().numpy()).min())
    says = "the tails are reached" if low >= LOW_BFMI else "the tails are hardly reached, run longer"
    found.append(Finding("energy", "good" if low >= LOW_BFMI else "bad", f"BFMI {low:.2f} at least: {says}"))
    return found


def predictive_findings(checks: PredictiveChecks) -> list[Finding]:
    """Return what held-out users say of the predictions."""
    off = checks.miscalibration()
    # Choices of one user are no independent evidence: users count.
    noise = 1.36 / max(checks.num_users, 1) ** 0.5
    about = f"on {len(checks):,} choices of {checks.num_users:,} users that it was not given"
    says = f"claimed and found shares differ by {abs(off):.3f} at most {about}"
    if abs(off) <= max(MISCALIBRATED, noise):
        found = [Finding("calibration", "good", f"{says}: probabilities mean what they say")]
    else:
        sure = "it is too sure of what it lists first" if off < 0 else "it could be surer of what it lists first"
        found = [Finding("calibration", "fair", f"{says}: {sure}")]
    chosen, drawn, listed = (float(np.median(x)) for x in (checks.chosen, checks.drawn, checks.listed))
    apart = abs(np.log1p(drawn) - np.log1p(chosen))
    says = f"median popularity {chosen:.0f} of what was chosen, {drawn:.0f} of what the model draws"
    says += f", {listed:.0f} of its first {LISTED}"
    state: State = "good" if apart < np.log(1.5) else "fair"
    follows = "alike" if state == "good" else "the model leans to the " + ("popular" if drawn > chosen else "unpopular")
    return [*found, Finding("popularity", state, f"{says}: {follows}")]
