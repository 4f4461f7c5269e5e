"""Default arms of the effect report: new domains, trained domains, and models without free D."""

from __future__ import annotations

import pytest
import torch

from prerec_pyro.causal.arms import default_arms
from prerec_pyro.errors import InputError
from prerec_pyro.inference.prior.draws import prior_draws
from tests.support.models import prerec, small_domain


def test_a_new_domain_gets_draws_of_D(model, new_shop):
    arms = default_arms(model, new_shop, num_draws=3, seed=4)
    assert [arm.name for arm in arms] == ["do(D ~ prior)", "do(Z = 0)", "do(D ~ prior, Z = 0)"]
    drawn = prior_draws(model.graph, 3, seed=4)["D"]
    assert all(torch.equal(do["D"], row) for do, row in zip(arms[0].interventions, drawn, strict=True))
    assert [set(do) for do in arms[2].interventions] == [{"D", "Z"}] * 3
    assert len({tuple(do["D"].tolist()) for do in arms[2].interventions}) == 3


def test_a_trained_domain_becomes_the_average_domain(model, trained_shop):
    arms = default_arms(model, trained_shop)
    assert [(arm.name, arm.interventions) for arm in arms] == [
        ("do(D = 0)", ({"D": 0.0},)),
        ("do(Z = 0)", ({"Z": 0.0},)),
        ("do(D = 0, Z = 0)", ({"D": 0.0, "Z": 0.0},)),
    ]


def test_a_model_without_free_D_has_average_domains_only(new_shop):
    model = prerec(free=("V",)).fit([small_domain()])
    with pytest.raises(InputError, match="D was not free"):
        default_arms(model, new_shop, as_if=["small"])
