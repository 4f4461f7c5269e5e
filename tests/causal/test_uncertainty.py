"""Uncertain lists: p_top_k equals a count over draws, and is 1 where the draws are equal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.causal.uncertainty import COLUMNS, domain_draws, membership, uncertain_lists
from prerec_pyro.errors import InputError
from prerec_pyro.inference.calibration.stores import prior_of_store
from tests.support.models import DIM, prerec, small_domain


@pytest.fixture(scope="module")
def draws(model, new_shop):
    return domain_draws(model, new_shop, num_draws=16, seed=1)


def test_lists_are_those_of_recommend_with_two_more_columns(model, new_shop, draws):
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


def test_where_all_draws_are_equal_every_list_is_certain(model, new_shop):
    predicted = model.predicted(model.encode(new_shop)).values[-1:]  # (1, 6), where the model serves lists
    same = {"D": torch.zeros(5, DIM), "S": predicted.expand(5, -1)}
    found = uncertain_lists(model, new_shop, draws=same, k=3)
    assert (found["p_top_k"] == 1).all()
    assert (found["confidence"] == 1).all()


def test_S_is_drawn_around_what_the_store_predicts(model, new_shop):
    prior = prior_of_store(model.graph, model.sources, model.encode(new_shop))
    assert prior is not None
    S = domain_draws(model, new_shop, num_draws=256)["S"]
    torch.testing.assert_close(S.mean(0), prior.mean, atol=0.05, rtol=0.05)
    torch.testing.assert_close(S.std(0), prior.std, atol=0.05, rtol=0.1)


def test_wider_priors_give_less_confidence(model, new_shop, draws):
    narrow = {site: value.mean(0) + 0.1 * (value - value.mean(0)) for site, value in draws.items()}
    one, other = (uncertain_lists(model, new_shop, draws=d, k=5)["confidence"].mean() for d in (narrow, draws))
    assert one > other


def test_confidence_of_a_short_list_is_the_mean_over_its_items(model, new_shop, draws):
    """A user whose history holds all items except two gets these two in every draw."""
    items = new_shop.item_ids[:-2]
    history = pd.DataFrame({"user_id": "x", "item_id": items})
    found = uncertain_lists(model, new_shop, histories=history, draws=draws, k=5)
    assert len(found) == 2
    assert (found["p_top_k"] == 1).all()


def test_a_trained_domain_needs_draws_of_its_posterior(model, trained_shop):
    with pytest.raises(InputError, match=r"the model was trained on it, .* give draws of the posterior"):
        uncertain_lists(model, trained_shop)
    posterior = model.posterior(trained_shop, "laplace", draws=20, queries=None)
    found = uncertain_lists(model, trained_shop, draws=posterior.thinned(8), k=3)
    assert found["confidence"].between(0, 1).all()


@settings(deadline=None, max_examples=30)
@given(num_draws=st.integers(1, 5), num_items=st.integers(1, 8), seed=st.integers(0, 999))
def test_membership_sums_to_the_length_of_the_list(num_draws, num_items, seed):
    torch.manual_seed(seed)
    scores = torch.randn(num_draws, 3, num_items)
    k = 1 + seed % num_items
    found = membership(scores, k)
    torch.testing.assert_close(found.sum(1), torch.full((3,), float(k)))
    best = scores.argsort(dim=2, descending=True)[:, :, :k]
    for item in range(num_items):
        expected = (best == item).any(2).float().mean(0)
        torch.testing.assert_close(found[:, item], expected)


def test_invalid_models_and_options_are_refused(model, new_shop):
    with pytest.raises(InputError, match="the graph of this model, unconfounded, has no node D"):
        uncertain_lists(prerec("unconfounded").fit([small_domain()]), new_shop)
    for options, message in (({"k": 0}, "k is 0"), ({"seen": "some"}, "expected 'drop' or 'keep'")):
        with pytest.raises(InputError, match=message):
            uncertain_lists(model, new_shop, **options)
    with pytest.raises(InputError, match="one draw or more"):
        membership([], 3)
