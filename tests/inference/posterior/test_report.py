"""Findings on draws and on predictions for held-out users."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from prerec_pyro.inference.posterior.predictive_checks import PredictiveChecks
from prerec_pyro.inference.posterior.report import findings, predictive_findings
from prerec_pyro.inference.posterior.result import Posterior

FACTS = {"log_queries": 500, "given_queries": 400, "evaluated_queries": 100, "weight": 4.0, "rounds": 3}


def states(posterior: Posterior) -> dict[str, str]:
    return {finding.check: finding.state for finding in findings(posterior)}


def message(posterior: Posterior, check: str) -> str:
    return next(finding.message for finding in findings(posterior) if finding.check == check)


def chains(**changes: torch.Tensor) -> Posterior:
    generator = torch.Generator().manual_seed(0)
    S = torch.randn(4, 300, 4, generator=generator)
    statistics = {
        "diverging": torch.zeros(4, 300, dtype=torch.bool),
        "energy": torch.randn(4, 300, generator=generator),
    }
    draws = {"S": changes.pop("S", S)}
    return Posterior("nuts", "shop", draws, statistics=statistics | changes, facts=FACTS)


def gaussian(scale: float, **facts: object) -> Posterior:
    """Draws of Normal(0, scale) where the posterior is Normal(0, 1)."""
    x = torch.randn(1, 4000, 4, generator=torch.Generator().manual_seed(0)).double()
    statistics = {"lp": -0.5 * (scale * x).square().sum(-1), "log_q": -0.5 * x.square().sum(-1)}
    return Posterior("normal", "shop", {"S": scale * x}, statistics=statistics, facts=FACTS | facts)


def test_good_chains_are_trusted() -> None:
    assert states(chains()) == {
        "evidence": "note",
        "R-hat": "good",
        "ESS bulk": "good",
        "ESS tail": "good",
        "divergences": "good",
        "energy": "good",
    }
    evidence = message(chains(), "evidence")
    assert "given 400 of the 500 queries" in evidence
    assert "evaluated on 100 of them, each counted 4.0 times" in evidence


def test_problems_of_chains_are_named() -> None:
    apart = torch.randn(4, 300, 4, generator=torch.Generator().manual_seed(0))
    apart[0, :, 2] += 2
    assert states(chains(S=apart))["R-hat"] == "bad"
    assert "for S[repeat]" in message(chains(S=apart), "R-hat")
    assert "run longer" in message(chains(S=apart), "R-hat")
    walk = torch.randn(4, 300, 4, generator=torch.Generator().manual_seed(1)).cumsum(1)
    assert states(chains(S=walk))["ESS bulk"] == "fair"
    hits = torch.zeros(4, 300, dtype=torch.bool)
    hits[1, :7] = True
    assert "7: " in message(chains(diverging=hits), "divergences")
    slow = torch.randn(4, 300, generator=torch.Generator().manual_seed(1)).cumsum(1)
    assert states(chains(energy=slow))["energy"] == "bad"


def test_one_chain_is_not_enough() -> None:
    one = chains()
    halved = dataclasses.replace(
        one, draws={"S": one.draws["S"][:1]}, statistics={k: v[:1] for k, v in one.statistics.items()}
    )
    assert states(halved)["R-hat"] == "fair"
    assert "run two chains" in message(halved, "R-hat")


@pytest.mark.parametrize(("scale", "state"), [(1.05, "good"), (0.35, "bad")])
def test_k_hat_decides_on_gaussians(scale: float, state: str) -> None:
    found = gaussian(scale)
    assert states(found)["k-hat"] == state
    assert "restarts" not in states(found)
    assert ("use nuts" in message(found, "k-hat")) == (state == "bad")


def test_restarts_that_disagree_are_reported() -> None:
    agree = gaussian(1.05, elbo=[-10.0, -10.3, -10.1], mean_shift=0.1)
    apart = gaussian(1.05, elbo=[-10.0, -19.0, -10.1], mean_shift=0.1)
    moved = gaussian(1.05, elbo=[-10.0, -10.2, -10.1], mean_shift=1.4)
    assert [states(one)["restarts"] for one in (agree, apart, moved)] == ["good", "bad", "bad"]
    assert states(gaussian(1.05, elbo=[-10.0], mean_shift=0.0))["restarts"] == "note"


def test_a_MAP_has_a_note_instead_of_checks() -> None:
    S = torch.zeros(1, 1, 4)
    found = Posterior("delta", "shop", {"S": S}, statistics={"lp": torch.zeros(1, 1)}, facts=FACTS)
    assert states(found) == {"evidence": "note", "spread": "note"}


def checks(power: float, drawn: float) -> PredictiveChecks:
    level = np.random.default_rng(0).random(2000) ** power
    counts = np.full(2000, 10.0)
    return PredictiveChecks(level, np.ones(2000), counts, np.full(2000, drawn), counts[:, None], 1500, 20)


def test_predictions_for_held_out_users_are_judged() -> None:
    right, popular = predictive_findings(checks(1.0, 10.0))
    assert (right.state, popular.state) == ("good", "good")
    assert "at face value" in right.message
    too_sure, leaning = predictive_findings(checks(0.6, 30.0))
    assert "overconfident" in too_sure.message
    assert "prefers popular" in leaning.message
    unsure, other = predictive_findings(checks(1.6, 2.0))
    assert "underconfident" in unsure.message
    assert "prefers unpopular" in other.message
