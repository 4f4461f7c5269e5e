"""The full back-door adjustment as a recommender."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from prerec_pyro import BackdoorAdjustedPreRec, CalibratedPreRec
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.protocol import evaluate
from prerec_pyro.inference.prior.draws import prior_draws
from tests.support.models import DIM, prerec, small_domain


@pytest.mark.parametrize("sampling", ["monte-carlo", "sobol"])
def test_scores_are_logs_of_averaged_probabilities(model, new_shop, sampling):
    adjusted = BackdoorAdjustedPreRec(model, num_draws=4, sampling=sampling, seed=2)
    draws = prior_draws(model.graph, 4, sampling=sampling, seed=2)["D"]
    user = new_shop.user_ids[0]
    pairs = pd.DataFrame({"user_id": user, "item_id": new_shop.item_ids})
    parts = [np.exp(model.score(new_shop, pairs, do={"D": D})) for D in draws]
    found = np.exp(adjusted.score(new_shop, pairs))
    np.testing.assert_allclose(found, sum(parts) / 4, rtol=1e-4)
    assert found.sum() == pytest.approx(1.0, abs=1e-5)
    assert adjusted.name == "prerec_adjusted"


def test_it_recommends_and_can_be_evaluated(model, new_shop, everybody):
    adjusted = BackdoorAdjustedPreRec(model, num_draws=4)
    lists = adjusted.recommend(new_shop, k=3)
    assert lists["user_id"].nunique() == new_shop.num_users
    assert adjusted.embed(new_shop).shape == (new_shop.num_items, DIM)
    measured = evaluate(adjusted, model.encode(new_shop), everybody, k_percent=20.0).ranking.compute()
    plain = evaluate(model, model.encode(new_shop), everybody, k_percent=20.0).ranking.compute()
    assert measured["mrr"] != plain["mrr"]


def test_an_intervention_on_D_leaves_nothing_to_adjust_for(model, new_shop):
    """Under do(D) all draws of D give the same scores."""
    adjusted = BackdoorAdjustedPreRec(model, num_draws=3)
    found = adjusted.recommend(new_shop, k=3, do={"D": 0.5})
    expected = model.recommend(new_shop, k=3, do={"D": 0.5})
    pd.testing.assert_frame_equal(found[["user_id", "item_id"]], expected[["user_id", "item_id"]])


def test_draws_of_a_posterior_replace_the_prior(model, new_shop):
    draws = {"D": torch.randn(2, DIM), "S": torch.randn(2, 6)}
    adjusted = BackdoorAdjustedPreRec(model, draws=draws)
    user = pd.DataFrame({"user_id": new_shop.user_ids[0], "item_id": new_shop.item_ids})
    parts = [np.exp(model.score(new_shop, user, do={"D": draws["D"][i], "S": draws["S"][i]})) for i in range(2)]
    np.testing.assert_allclose(np.exp(adjusted.score(new_shop, user)), sum(parts) / 2, rtol=1e-4)


def test_a_calibrated_model_keeps_its_calibration(model, new_shop):
    calibrated = CalibratedPreRec(model)
    one = BackdoorAdjustedPreRec(calibrated, draws={"D": torch.zeros(1, DIM)})
    assert one.name == "prerec_calibrated_adjusted"
    found, expected, plain = (each.recommend(new_shop, k=10) for each in (one, calibrated, model))
    assert (found["item_id"] == expected["item_id"]).mean() > 0.95  # equal scores may swap
    np.testing.assert_allclose(found["score"], expected["score"], rtol=1e-4, atol=1e-4)
    assert np.abs(found["score"] - plain["score"]).max() > 0.3


def test_a_graph_without_D_is_refused():
    with pytest.raises(InputError, match="prior draws of D: of D and S the graph of this model has none"):
        BackdoorAdjustedPreRec(prerec("unconfounded").fit([small_domain()]))
