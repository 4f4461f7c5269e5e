"""The popularity dial: the observed stop is the plain recommendation, and lower stops show less popular items."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from prerec_pyro.causal.dial import popularity_dial
from prerec_pyro.causal.measurement.estimates import METRICS
from prerec_pyro.causal.measurement.measurement import Measurement
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.bootstrap import paired_bootstrap
from prerec_pyro.evaluation.protocol import evaluate
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from tests.support.models import prerec, small_domain

OPTIONS = {"k_percent": 20.0, "list_size": 5, "draws": 200}


def stop(dial, value: float) -> pd.Series:
    return dial.table.set_index("value").loc[value]


@pytest.fixture(scope="module")
def dial(model, new_shop, everybody):
    return model.popularity_dial(new_shop, (0, 0.5, 2), users=everybody, **OPTIONS)


def test_the_observed_stop_equals_evaluate_bit_for_bit(model, new_shop, everybody):
    """With lists of 20 as in `evaluate`, and ties broken alike."""
    found = model.popularity_dial(new_shop, [0], users=everybody, k_percent=20.0, draws=10)
    plain = evaluate(model, model.encode(new_shop), everybody, k_percent=20.0)
    row = plain.rows("test")[0]
    for name in METRICS:
        assert stop(found, 1.0)[name] == pytest.approx(row[name], rel=1e-12), name
        for suffix in ("", "_low", "_high"):
            assert stop(found, 1.0)[f"{name}_change{suffix}"] == 0.0, "the reference does not differ from itself"


@pytest.mark.parametrize("shop", ["trained_shop", "new_shop"])
def test_the_observed_stop_is_the_plain_recommendation_with_the_edge_from_popularity_to_items(
    request, model_with_edge, shop
):
    domain = request.getfixturevalue(shop)
    users = np.arange(domain.num_users)
    found = model_with_edge.popularity_dial(domain, [0], users=users, k_percent=20.0, draws=10)
    row = evaluate(model_with_edge, model_with_edge.encode(domain), users, k_percent=20.0).rows("test")[0]
    assert stop(found, 1.0)["mrr"] == pytest.approx(row["mrr"], rel=1e-12)


def test_the_interventional_dial_drops_the_items_noise_at_every_stop(model_with_edge, trained_shop):
    users = Measurement(users=np.arange(trained_shop.num_users), **OPTIONS)
    options = {"semantics": "interventional", "measurement": users}
    found = popularity_dial(model_with_edge, trained_shop, [0], **options)
    plain = popularity_dial(model_with_edge, trained_shop, [0], measurement=users)
    assert stop(found, 1.0)["mrr"] != stop(plain, 1.0)["mrr"]
    encoded = model_with_edge.encode(trained_shop)
    for value in (0.0, 1.0):
        scorer = model_with_edge.scorer(encoded, {"Z": f"x{value:g}"})
        _, lists = users.rank(lambda batch, scorer=scorer: [scorer(batch)], 1, encoded)
        assert stop(found, value)["mrr"] == pytest.approx(lists[0].ranking.per_query("mrr").mean())


def test_without_popularity_the_shown_items_are_less_popular(dial):
    shown = dial.table["mean_popularity"].tolist()
    assert dial.table["value"].tolist() == [0.0, 0.5, 1.0, 2.0]
    assert shown == sorted(shown)
    assert stop(dial, 0.0)["mean_popularity_change_high"] < 0 < stop(dial, 2.0)["mean_popularity_change"]


def test_intervals_are_those_of_the_paired_bootstrap(model, new_shop, everybody, dial):
    encoded = model.encode(new_shop)
    plain = evaluate(model, encoded, everybody, k_percent=20.0)
    half = evaluate(_Half(model), encoded, everybody, k_percent=20.0)
    gain = half.ranking.per_query("r_ndcg") - plain.ranking.per_query("r_ndcg")
    (expected,) = paired_bootstrap(gain[:, None], plain.users, draws=200)
    row = stop(dial, 0.5)
    assert row["r_ndcg_change"] == pytest.approx(expected.difference)
    assert row["r_ndcg_change_low"] == pytest.approx(expected.low)
    assert row["r_ndcg_change_high"] == pytest.approx(expected.high)


class _Half:
    name = "half"

    def __init__(self, model):
        self.model = model

    def scorer(self, encoded):
        return self.model.scorer(encoded, {"Z": "x0.5"})


def test_every_number_has_an_interval_around_it(dial):
    for name in METRICS:
        for suffix in ("", "_change"):
            one = dial.table[[f"{name}{suffix}_low", f"{name}{suffix}", f"{name}{suffix}_high"]].to_numpy()
            assert np.isfinite(one).all(), name
            assert (np.diff(one, axis=1) >= -1e-12).all(), name


def test_the_dial_as_json_markdown_and_repr(dial):
    found = json.loads(json.dumps(dial.to_json(), allow_nan=False))
    assert found["facts"]["num_users"] == 60
    assert [row["value"] for row in found["stops"]] == [0.0, 0.5, 1.0, 2.0]
    text = dial.to_markdown()
    assert "| 1 (observed) |" in text
    assert f"| {found['stops'][0]['mrr']:.4f} ± " in text
    assert text.count("\n|") == 2 + 4
    head, *stops = repr(dial).splitlines()
    assert head.startswith("Dial of prerec on new: ")
    assert [line.split(":")[0].strip() for line in stops] == ["Z x 0", "Z x 1", "Z x 2"]


def test_a_calibrated_model_has_a_dial(model, new_shop, everybody):
    calibrated = CalibratedPreRec(model)
    found = calibrated.popularity_dial(new_shop, [0], users=everybody, **OPTIONS)
    row = evaluate(calibrated, model.encode(new_shop), everybody, k_percent=20.0).rows("test")[0]
    assert found.facts["model"] == "prerec_calibrated"
    assert stop(found, 1.0)["r_ndcg"] == pytest.approx(row["r_ndcg"], rel=1e-12)


def test_other_nodes_can_be_set_at_all_stops(model, new_shop, everybody):
    options = {"measurement": Measurement(users=everybody, **OPTIONS)}
    found = popularity_dial(model, new_shop, [0], do={"U": 0}, **options)
    assert found.table["mrr"].nunique() == 2
    with pytest.raises(InputError, match="sets Z itself; take Z out of do"):
        popularity_dial(model, new_shop, [0], do={"Z": 0}, **options)


def test_one_user_has_no_interval(model, new_shop):
    found = model.popularity_dial(new_shop, [0], users=np.array([3]), **OPTIONS)
    assert found.table["coverage_low"].isna().all()
    assert "±" not in found.to_markdown().split("\n\n")[-1]


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (["loud"], {}, "values must be numbers"),
        ([float("nan")], {}, "values must be finite"),
        ([0], {"list_size": 0}, "list_size is 0, expected 1 or more"),
        ([0], {"draws": 0}, "draws is 0"),
        ([0], {"users": np.array([], dtype=int)}, "there is no query; choose another split"),
    ],
)
def test_invalid_options_are_refused(model, new_shop, values, options, message):
    with pytest.raises(InputError, match=message):
        model.popularity_dial(new_shop, values, **(OPTIONS | options))


def test_without_confounders_there_is_no_popularity():
    model = prerec("unconfounded").fit([small_domain()])
    with pytest.raises(InputError, match="the popularity dial: the graph of this model, unconfounded, has no node Z"):
        model.popularity_dial(small_domain("new", seed=3))
