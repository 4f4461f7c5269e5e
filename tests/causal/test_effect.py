"""Effect report: paired differences, tenths of the catalogue, single users."""

from __future__ import annotations

import json

import numpy as np
import pytest

from prerec_pyro.causal.arms import FACTUAL, Arm, default_arms
from prerec_pyro.causal.effect import effect_report
from prerec_pyro.causal.measurement.estimates import METRICS
from prerec_pyro.causal.measurement.measurement import Measurement
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.bootstrap import paired_bootstrap
from prerec_pyro.evaluation.protocol import evaluate
from tests.support.models import prerec, small_domain

OPTIONS = {"k_percent": 20.0, "list_size": 5, "draws": 200}


@pytest.fixture(scope="module")
def report(model, new_shop, everybody):
    return model.effect_report(new_shop, users=everybody, **OPTIONS)


class _Intervened:
    """The model under an intervention."""

    name = "intervened"

    def __init__(self, model, do):
        self.model, self.do = model, do

    def scorer(self, encoded):
        return self.model.scorer(encoded, self.do)


def test_a_domain_can_take_the_D_of_a_trained_domain(model, new_shop, everybody):
    found = model.effect_report(new_shop, as_if=["b", "a"], users=everybody, **OPTIONS)
    names = [FACTUAL, "do(D = b)", "do(D = a)", "do(Z = 0)", "do(D = b, Z = 0)", "do(D = a, Z = 0)"]
    assert list(found.estimates) == names
    encoded = model.encode(new_shop)
    under = evaluate(_Intervened(model, {"D": model.sources.nodes["D"][1]}), encoded, everybody, k_percent=20.0)
    assert found.estimates["do(D = b)"].level["mrr"].value == pytest.approx(under.ranking.compute()["mrr"])
    with pytest.raises(InputError, match=r"as_if 'c': the model was not trained on this domain; expected .* a, b"):
        model.effect_report(new_shop, as_if=["c"])


def test_differences_are_paired_query_by_query(model, new_shop, everybody, report):
    encoded = model.encode(new_shop)
    plain, without = (evaluate(_Intervened(model, do), encoded, everybody, k_percent=20.0) for do in ({}, {"Z": 0.0}))
    gain = without.ranking.per_query("recall") - plain.ranking.per_query("recall")
    (expected,) = paired_bootstrap(gain[:, None], plain.users, draws=200)
    one = report.estimates["do(Z = 0)"].change["recall"]
    assert (one.value, one.low, one.high) == pytest.approx((expected.difference, expected.low, expected.high))
    level = report.estimates[FACTUAL].level["recall"]
    assert level.value == pytest.approx(plain.ranking.compute()["recall"])
    assert all(one.value == one.low == one.high == 0 for one in report.estimates[FACTUAL].change.values())


def test_an_arm_of_several_draws_is_their_mean(model, new_shop, everybody, report):
    encoded = model.encode(new_shop)
    parts = [
        evaluate(_Intervened(model, do), encoded, everybody, k_percent=20.0).ranking.compute()["r_ndcg"]
        for do in default_arms(model, new_shop)[0].interventions
    ]
    assert report.estimates["do(D ~ prior)"].level["r_ndcg"].value == pytest.approx(np.mean(parts))


def test_tenths_of_the_catalogue(report, new_shop, everybody):
    table = report.by_popularity
    assert table.groupby("arm")["share"].sum().to_numpy() == pytest.approx(1.0)
    assert table.groupby("arm")["num_queries"].sum().unique().tolist() == [report.facts["num_queries"]]
    for arm, rows in table.groupby("arm"):
        hits = (rows["recall"].fillna(0) * rows["num_queries"]).sum() / rows["num_queries"].sum()
        assert hits == pytest.approx(report.estimates[arm].level["recall"].value)
    at = table.set_index(["arm", "group"])["share"]
    assert at["do(Z = 0)", 10] < at[FACTUAL, 10], "without popularity the most popular are shown less"
    assert at["do(Z = 0)", 10] - at[FACTUAL, 10] == pytest.approx(
        table.set_index(["arm", "group"])["share_change"]["do(Z = 0)", 10]
    )


def test_single_users(model, new_shop, everybody, report):
    rows = report.users[report.users["arm"] == "do(Z = 0)"]
    assert set(rows["user_id"]) == set(new_shop.user_ids)
    assert rows["overlap"].is_monotonic_increasing, "the most affected first"
    assert (rows["moved"] >= 1).all()
    change = (rows["r_ndcg_change"] * rows["num_queries"]).sum() / rows["num_queries"].sum()
    assert change == pytest.approx(report.estimates["do(Z = 0)"].change["r_ndcg"].value)
    one = rows.iloc[0]
    encoded = model.encode(new_shop)
    measurement = Measurement(users=new_shop.user_position([one["user_id"]]), **OPTIONS)
    parts = [
        measurement.rank(lambda batch, do=do: [model.scorer(encoded, do)(batch)], 1, encoded)[1][0]
        for do in ({}, {"Z": 0.0})
    ]
    same = [len(set(a) & set(b)) / 5 for a, b in zip(parts[0].shown, parts[1].shown, strict=True)]
    assert one["overlap"] == pytest.approx(np.mean(same))
    ratio = np.log(parts[1].target_rank / parts[0].target_rank)
    assert one["moved"] == pytest.approx(np.exp(np.abs(ratio).mean()))


def test_the_report_as_json_markdown_and_repr(report):
    found = json.loads(json.dumps(report.to_json(most_affected=3), allow_nan=False))
    assert list(found["arms"]) == list(report.estimates)
    arm = found["arms"]["do(Z = 0)"]
    assert set(arm["level"]) == set(METRICS)
    assert len(arm["most_affected"]) == 3
    assert 0 <= arm["users"]["share_unchanged"] <= 1
    assert "users" not in found["arms"][FACTUAL]
    text = report.to_markdown(most_affected=2)
    assert f"| do(Z = 0) | {arm['change']['recall']['value']:+.4f} ± " in text
    assert "Most affected by do(D ~ prior, Z = 0):" in text
    assert f"| {arm['most_affected'][0]['user_id']} | " in text
    head, *arms = repr(report).splitlines()
    assert head.startswith("Effect of prerec on new: ")
    assert [line.split(": ")[0].strip() for line in arms] == list(report.estimates)[1:]


def test_custom_arms(model, new_shop, everybody):
    arms = [Arm("equally popular", ({"Z": "mean"},)), Arm("half", ({"Z": "x0.5"},))]
    found = effect_report(model, new_shop, arms, measurement=Measurement(users=everybody, **OPTIONS))
    assert list(found.estimates) == [FACTUAL, "equally popular", "half"]


@pytest.mark.parametrize("semantics", ["counterfactual", "interventional"])
def test_semantics_differ_in_a_trained_domain(model, trained_shop, semantics):
    measurement = Measurement(users=np.arange(trained_shop.num_users), **OPTIONS)
    found = effect_report(model, trained_shop, semantics=semantics, measurement=measurement)
    encoded = model.encode(trained_shop)
    scorer = model.scorer(encoded, {"D": 0}, semantics)
    _, (lists,) = measurement.rank(lambda batch: [scorer(batch)], 1, encoded)
    assert found.estimates["do(D = 0)"].level["mrr"].value == pytest.approx(lists.ranking.per_query("mrr").mean())


@pytest.mark.parametrize(
    ("arms", "as_if", "message"),
    [
        ([], (), "expected one arm or more"),
        ([Arm("empty", ())], (), "each with an intervention"),
        ([Arm("a", ({"Z": 0},)), Arm("a", ({"D": 0},))], (), "two arms have the same name"),
        ([Arm(FACTUAL, ({"Z": 0},))], (), "two arms have the same name"),
        ([Arm("a", ({"Q": 0},))], (), "there is no such node"),
        ([Arm("a", ({"Z": 0},))], ("a",), "give arms or as_if, not both"),
    ],
)
def test_invalid_arms_are_refused(model, new_shop, arms, as_if, message):
    with pytest.raises(InputError, match=message):
        effect_report(model, new_shop, arms, as_if=as_if)


def test_without_confounders_there_is_nothing_to_report():
    model = prerec("unconfounded").fit([small_domain()])
    with pytest.raises(InputError, match="the effect report: the graph of this model, unconfounded, has no node"):
        model.effect_report(small_domain("new", seed=3))
