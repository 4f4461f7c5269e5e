"""The effect report: arms, paired differences, tenths of the catalogue, single users."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from prerec_pyro.causal.effect import FACTUAL, Arm, default_arms, effect_report
from prerec_pyro.causal.measurement.affected_users import overlap
from prerec_pyro.causal.measurement.estimates import METRICS
from prerec_pyro.causal.measurement.measurement import Measurement
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.bootstrap import paired_bootstrap
from prerec_pyro.evaluation.protocol import evaluate
from prerec_pyro.inference.prior.draws import prior_draws
from tests.support.models import prerec, small_domain

ASKED = {"k_percent": 20.0, "list_size": 5, "draws": 200}


@pytest.fixture(scope="module")
def report(model, new_shop, everybody):
    return model.effect_report(new_shop, users=everybody, **ASKED)


class _Under:
    name = "under"

    def __init__(self, model, do):
        self.model, self.do = model, do

    def scorer(self, encoded):
        return self.model.scorer(encoded, self.do)


def test_a_new_domain_is_asked_with_draws_of_D(model, new_shop):
    arms = default_arms(model, new_shop, num_draws=3, seed=4)
    assert [arm.name for arm in arms] == ["do(D ~ prior)", "do(Z = 0)", "do(D ~ prior, Z = 0)"]
    drawn = prior_draws(model.graph, 3, seed=4)["D"]
    assert all(torch.equal(do["D"], row) for do, row in zip(arms[0].interventions, drawn, strict=True))
    assert [set(do) for do in arms[2].interventions] == [{"D", "Z"}] * 3
    assert len({tuple(do["D"].tolist()) for do in arms[2].interventions}) == 3


def test_a_trained_domain_is_asked_as_an_average_one(model, trained_shop):
    arms = default_arms(model, trained_shop)
    assert [(arm.name, arm.interventions) for arm in arms] == [
        ("do(D = 0)", ({"D": 0.0},)),
        ("do(Z = 0)", ({"Z": 0.0},)),
        ("do(D = 0, Z = 0)", ({"D": 0.0, "Z": 0.0},)),
    ]


def test_a_domain_can_be_asked_about_as_if_it_were_another(model, new_shop, everybody):
    found = model.effect_report(new_shop, as_if=["b", "a"], users=everybody, **ASKED)
    names = [FACTUAL, "do(D = b)", "do(D = a)", "do(Z = 0)", "do(D = b, Z = 0)", "do(D = a, Z = 0)"]
    assert list(found.estimates) == names
    encoded = model.encode(new_shop)
    under = evaluate(_Under(model, {"D": model.sources.nodes["D"][1]}), encoded, everybody, k_percent=20.0)
    assert found.estimates["do(D = b)"].level["mrr"].value == pytest.approx(under.ranking.compute()["mrr"])
    with pytest.raises(InputError, match=r"as if it were 'c': the model was not trained on that; expected .* a, b"):
        model.effect_report(new_shop, as_if=["c"])


def test_differences_are_paired_query_by_query(model, new_shop, everybody, report):
    encoded = model.encode(new_shop)
    plain, without = (evaluate(_Under(model, do), encoded, everybody, k_percent=20.0) for do in ({}, {"Z": 0.0}))
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
        evaluate(_Under(model, do), encoded, everybody, k_percent=20.0).ranking.compute()["r_ndcg"]
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
    asked = Measurement(users=new_shop.user_position([one["user_id"]]), **ASKED)
    parts = [
        asked.lists(lambda batch, do=do: [model.scorer(encoded, do)(batch)], 1, encoded)[1][0]
        for do in ({}, {"Z": 0.0})
    ]
    same = [len(set(a) & set(b)) / 5 for a, b in zip(parts[0].shown, parts[1].shown, strict=True)]
    assert one["overlap"] == pytest.approx(np.mean(same))
    ratio = np.log(parts[1].target_rank / parts[0].target_rank)
    assert one["moved"] == pytest.approx(np.exp(np.abs(ratio).mean()))


def test_overlap_of_lists():
    one = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    other = np.array([[3, 1, 2], [4, 9, 8], [1, 2, 3]])
    assert overlap(one, other) == pytest.approx([1, 1 / 3, 0])


def test_it_can_be_written_down(report):
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


def test_arms_of_ones_own(model, new_shop, everybody):
    arms = [Arm("as popular as each other", ({"Z": "mean"},)), Arm("half", ({"Z": "x0.5"},))]
    found = effect_report(model, new_shop, arms, measurement=Measurement(users=everybody, **ASKED))
    assert list(found.estimates) == [FACTUAL, "as popular as each other", "half"]


@pytest.mark.parametrize("name", ["counterfactual", "interventional"])
def test_meanings_differ_in_a_trained_domain(model, trained_shop, name):
    asked = Measurement(users=np.arange(trained_shop.num_users), **ASKED)
    found = effect_report(model, trained_shop, semantics=name, measurement=asked)
    encoded = model.encode(trained_shop)
    scorer = model.scorer(encoded, {"D": 0}, name)
    _, (lists,) = asked.lists(lambda batch: [scorer(batch)], 1, encoded)
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
def test_what_means_nothing_is_refused(model, new_shop, arms, as_if, message):
    with pytest.raises(InputError, match=message):
        effect_report(model, new_shop, arms, as_if=as_if)


def test_prerec_n_has_no_confounders():
    model = prerec({"confounders": False}).fit([small_domain()])
    with pytest.raises(InputError, match="the effect report: this model is PreRec_n"):
        model.effect_report(small_domain("new", seed=3))


def test_a_model_whose_domains_are_all_average_ones(new_shop):
    model = prerec(free=("V",)).fit([small_domain()])
    with pytest.raises(InputError, match="D was not free"):
        model.effect_report(new_shop, as_if=["small"])
