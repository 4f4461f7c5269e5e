"""Drift reports on logs that change and on logs that do not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from prerec_pyro.causal.drift.drift import drift_report
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.errors import InputError
from prerec_pyro.inference.posterior.result import Posterior
from prerec_pyro.models.likelihoods.repeat_mixture import EFFECTS
from prerec_pyro.recommenders.prerec import PreRec
from tests.support.models import FIRST_DAY, prerec, shaken, small_domain

CUT = (FIRST_DAY + 8) * SECONDS_PER_DAY


@pytest.fixture(scope="module")
def shop() -> Domain:
    return small_domain("shop", num_items=15, num_users=240, seed=6)


@pytest.fixture(scope="module")
def changed(shop: Domain) -> Domain:
    return change(shop)


def change(shop: Domain) -> Domain:
    """Return the log in which from the cut on each choice is seven items further on the ring than the previous one."""
    previous = np.concatenate([[0], shop.item_index[:-1]])
    late = (shop.timestamps >= CUT) & ~np.isin(np.arange(shop.num_interactions), shop.offsets)
    return replace(shop, item_index=np.where(late, (previous + 7) % shop.num_items, shop.item_index))


@pytest.fixture(scope="module")
def plain() -> PreRec:
    return prerec().fit([small_domain("a", num_items=15, num_users=40, seed=1)])


def test_only_the_log_that_changes_raises_an_alarm(plain, shop, changed):
    calm, alarm = drift_report(plain, shop, CUT, directions=2), drift_report(plain, changed, CUT, directions=2)
    assert not calm.drifted
    assert calm.p_value > 0.02
    assert alarm.drifted
    assert alarm.p_value < 1e-3
    assert alarm.distance > 2 * calm.distance
    assert "shop has drifted since" in alarm.sentence()
    assert "shop is not shown to have drifted since" in calm.sentence()
    assert calm.table["coordinate"].tolist() == [
        *(f"S {name}" for name in EFFECTS),
        "D 1",
        "D 2",
    ]
    found = json.loads(json.dumps(alarm.to_json(), allow_nan=False))
    assert found["drifted"] is True
    assert len(found["coordinates"]) == 8
    assert alarm.to_markdown().count("\n| ") == 2 + 8
    assert repr(alarm).startswith(f"Drift(domain='shop', since='{CUT}', drifted=True, ")


@pytest.mark.slow
def test_against_a_saved_posterior(plain, tmp_path):
    shop = small_domain("shop", num_items=15, num_users=240, seed=7)
    early = shop.timestamps < CUT
    number = np.add.reduceat(early, shop.offsets[:-1])
    before = replace(
        shop,
        user_ids=shop.user_ids[number > 0],
        offsets=np.concatenate([[0], number[number > 0].cumsum()]),
        item_index=shop.item_index[early],
        timestamps=shop.timestamps[early],
    )
    plain.posterior(before, "laplace", draws=60, queries=None).save(tmp_path / "shop.nc")
    known = Posterior.load(tmp_path / "shop.nc")
    calm, alarm = (drift_report(plain, log, CUT, known, directions=2) for log in (shop, change(shop)))
    assert calm.facts["posterior"] == "laplace"
    assert not calm.drifted
    assert alarm.drifted
    draws = known.draws["S"].flatten(0, 1)
    np.testing.assert_allclose(calm.table["before"][:6], draws.mean(0), atol=1e-5)
    np.testing.assert_allclose(calm.table["before_sd"][:6], draws.std(0), rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0}, "alpha is 0, expected a probability"),
        ({"directions": 9}, "directions is 9, expected 0 to 4"),
        ({"since": 0}, "no event of one part of the log"),
        ({"since": "tomorrow"}, "expected an ISO time"),
    ],
)
def test_invalid_options_are_refused(plain, shop, options, message):
    options = {"since": CUT, "directions": 2} | options
    with pytest.raises(InputError, match=message):
        drift_report(plain, shop, **options)


def test_too_few_users_are_refused(plain, shop):
    late = int(np.sort(shop.timestamps)[-12])
    with pytest.raises(InputError, match="users have an event to predict in one part of the log, expected 32 or more"):
        drift_report(plain, shop, late, directions=2)


def test_unsuitable_posteriors_are_refused(plain, shop):
    draws = {"D": torch.randn(1, 9, 4), "S": torch.randn(1, 9, 6)}
    for posterior, message in (
        (Posterior("laplace", "other", draws), "is of domain 'other', not of 'shop'"),
        (Posterior("delta", "shop", {k: v[:, :1] for k, v in draws.items()}), "is a point"),
        (Posterior("laplace", "shop", {"D": draws["D"]}), "holds no draws of S"),
    ):
        with pytest.raises(InputError, match=message):
            drift_report(plain, shop, CUT, posterior)


def test_coordinates_without_effect_are_refused(shop):
    model = prerec().fit([small_domain("a", num_items=15, num_users=40, seed=1)])
    with torch.no_grad():
        model.graph.W_z.zero_()
    with pytest.raises(InputError, match="S popularity has no effect on the choices in this model"):
        drift_report(model, shop, CUT, directions=2)


@pytest.mark.parametrize(("graph", "missing"), [("paper", "S"), ("unconfounded", "S")])
def test_a_model_without_effect_scales_is_refused(shop, graph, missing):
    model = shaken(prerec(graph).fit([small_domain()]))
    with pytest.raises(InputError, match=f"the graph of this model, {graph}, has no node .*{missing}"):
        drift_report(model, shop, CUT)
