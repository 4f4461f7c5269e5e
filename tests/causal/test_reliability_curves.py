"""Reliability curves: confidence is reliable where draws are exchangeable, and hits are those of the lists."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prerec_pyro.causal.measurement.measurement import Measurement
from prerec_pyro.causal.reliability_curves import reliability
from prerec_pyro.causal.uncertainty import domain_draws
from prerec_pyro.data.batching.batch import query_batches
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.metrics import RankingMetrics, target_ranks
from tests.support.models import DIM


@pytest.fixture(scope="module")
def curves(model, new_shop, everybody):
    draws = domain_draws(model, new_shop, num_draws=64, seed=2)
    measurement = Measurement(users=everybody, list_size=5, draws=200)
    return reliability(model, new_shop, draws=draws, bins=4, measurement=measurement).set_index(["curve", "bin"])


def test_confidence_is_reliable_for_held_out_draws(curves):
    """Both halves are draws from the same prior."""
    rows = curves.loc["stability"]
    np.testing.assert_allclose(rows["expected"], rows["observed"], atol=0.06)
    assert rows["expected"].is_monotonic_increasing
    assert rows["observed"].iloc[-1] > rows["observed"].iloc[0]


def test_bins_hold_equal_numbers_of_queries_and_all_of_them(curves, model, new_shop):
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
        assert hits == pytest.approx(metrics.compute()["recall"], abs=0.02)  # the lists break ties at random


@pytest.mark.parametrize(
    ("options", "message"), [({"bins": 0}, "bins is 0"), ({"draws": {"D": torch.zeros(3, DIM)}}, "4 or more")]
)
def test_invalid_options_are_refused(model, new_shop, options, message):
    with pytest.raises(InputError, match=message):
        reliability(model, new_shop, **options)
