"""Confidence in lists: by hand over draws, sure where nothing varies, and honest where draws are exchangeable."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.causal.measurement.measurement import Measurement
from prerec_pyro.causal.reliability import reliability
from prerec_pyro.causal.uncertainty import COLUMNS, domain_draws, membership, uncertain_lists
from prerec_pyro.data.batching.batch import query_batches
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.metrics import RankingMetrics, target_ranks
from tests.support.models import DIM, prerec, small_domain


@pytest.fixture(scope="module")
def draws(model, new_shop):
    return domain_draws(model, new_shop, num_draws=16, seed=1)


def test_lists_are_those_of_recommend_with_two_columns_more(model, new_shop, draws):
    found = uncertain_lists(model, new_shop, draws=draws, k=4)
    assert tuple(found.columns) == COLUMNS
    pd.testing.assert_frame_equal(found[list(COLUMNS[:4])], model.recommend(new_shop, k=4))
    assert found[["p_top_k", "confidence"]].apply(lambda column: column.between(0, 1)).all().all()
    assert found["p_top_k"].nunique() > 5
    mean = found.groupby("user_id")["p_top_k"].transform("mean")
    np.testing.assert_allclose(found["confidence"], mean, rtol=1e-6)


@pytest.mark.parametrize("seen", ["drop", "keep"])
def test_the_probability_is_the_share_of_draws_whose_list_has_the_item(model, new_shop, draws, seen):
    users = new_shop.user_ids[:7].tolist()
    found = uncertain_lists(model, new_shop, users, draws=draws, k=3, seen=seen).set_index(["user_id", "item_id"])
    counts = pd.Series(0, index=found.index)
    for number in range(16):
        do = {"D": draws["D"][number], "S": draws["S"][number]}
        lists = model.recommend(new_shop, users, k=3, do=do, seen=seen).set_index(["user_id", "item_id"]).index
        counts += found.index.isin(lists)
    np.testing.assert_allclose(found["p_top_k"], counts / 16, atol=1e-6)


def test_where_nothing_is_unknown_every_list_is_sure(model, new_shop):
    same = {"D": torch.zeros(5, DIM), "S": torch.zeros(5, 4)}
    found = uncertain_lists(model, new_shop, draws=same, k=3)
    assert (found["p_top_k"] == 1).all()
    assert (found["confidence"] == 1).all()


def test_wider_priors_are_less_sure(model, new_shop, draws):
    sure = {site: 0.1 * value for site, value in draws.items()}
    one, other = (uncertain_lists(model, new_shop, draws=d, k=5)["confidence"].mean() for d in (sure, draws))
    assert one > other


def test_lists_cut_short_are_rated_on_what_they_hold(model, new_shop, draws):
    """Whoever has met all items but two gets two, however they rank."""
    items = new_shop.item_ids[:-2]
    history = pd.DataFrame({"user_id": "x", "item_id": items})
    found = uncertain_lists(model, new_shop, histories=history, draws=draws, k=5)
    assert len(found) == 2
    assert (found["p_top_k"] == 1).all()


def test_draws_of_a_posterior_serve_a_trained_domain(model, trained_shop):
    with pytest.raises(InputError, match=r"the model was trained on it, .* give draws of it"):
        uncertain_lists(model, trained_shop)
    posterior = model.posterior(trained_shop, "laplace", draws=20, queries=None)
    found = uncertain_lists(model, trained_shop, draws=posterior.thinned(8), k=3)
    assert found["confidence"].between(0, 1).all()


@settings(deadline=None, max_examples=30)
@given(num_draws=st.integers(1, 5), num_items=st.integers(1, 8), seed=st.integers(0, 999))
def test_membership_adds_up_to_the_length_of_the_list(num_draws, num_items, seed):
    torch.manual_seed(seed)
    scores = torch.randn(num_draws, 3, num_items)
    k = 1 + seed % num_items
    found = membership(scores, k)
    torch.testing.assert_close(found.sum(1), torch.full((3,), float(k)))
    best = scores.argsort(dim=2, descending=True)[:, :, :k]
    for item in range(num_items):
        expected = (best == item).any(2).float().mean(0)
        torch.testing.assert_close(found[:, item], expected)


def test_a_model_or_a_question_that_means_nothing(model, new_shop):
    with pytest.raises(InputError, match="PreRec_n"):
        uncertain_lists(prerec({"confounders": False}).fit([small_domain()]), new_shop)
    for asked, message in (({"k": 0}, "k is 0"), ({"seen": "some"}, "expected 'drop' or 'keep'")):
        with pytest.raises(InputError, match=message):
            uncertain_lists(model, new_shop, **asked)
    with pytest.raises(InputError, match="one draw or more"):
        membership([], 3)


@pytest.fixture(scope="module")
def curves(model, new_shop, everybody):
    draws = domain_draws(model, new_shop, num_draws=64, seed=2)
    asked = Measurement(users=everybody, list_size=5, draws=200)
    return reliability(model, new_shop, draws=draws, bins=4, measurement=asked).set_index(["curve", "bin"])


def test_confidence_is_honest_about_draws_it_has_not_seen(curves):
    """Both halves are draws from the same prior."""
    rows = curves.loc["stability"]
    np.testing.assert_allclose(rows["expected"], rows["observed"], atol=0.06)
    assert rows["expected"].is_monotonic_increasing
    assert rows["observed"].iloc[-1] > rows["observed"].iloc[0]


def test_bins_hold_as_many_queries_each_and_all_of_them(curves, model, new_shop):
    queries = int(np.maximum(np.diff(new_shop.offsets) - 1, 0).sum())
    for curve in ("stability", "hits", "confidence"):
        sizes = curves.loc[curve]["num_queries"]
        assert sizes.sum() == queries
        assert sizes.max() - sizes.min() <= 1
    for end, sign in (("low", -1), ("high", 1)):
        assert (sign * (curves[end] - curves["observed"]) >= -1e-12).all()


def test_hits_are_those_of_the_list(curves, model, new_shop, everybody):
    encoded = model.encode(new_shop)
    scorer, metrics = model.scorer(encoded), RankingMetrics(20, 25.0)  # 5 of 20 items
    for batch, _ in query_batches(encoded, everybody):
        metrics.update(*target_ranks(scorer(batch), batch.targets))
    for curve in ("hits", "confidence"):
        rows = curves.loc[curve]
        hits = (rows["observed"] * rows["num_queries"]).sum() / rows["num_queries"].sum()
        assert hits == pytest.approx(metrics.compute()["recall"], abs=0.02)  # ties


@pytest.mark.parametrize(
    ("asked", "message"), [({"bins": 0}, "bins is 0"), ({"draws": {"D": torch.zeros(3, DIM)}}, "4 or more")]
)
def test_reliability_refuses_what_means_nothing(model, new_shop, asked, message):
    with pytest.raises(InputError, match=message):
        reliability(model, new_shop, **asked)
