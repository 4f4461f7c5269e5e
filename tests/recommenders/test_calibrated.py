from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.prerec import PreRec
from tests.support.models import prerec, small_domain, training


@pytest.fixture(scope="module")
def model() -> PreRec:
    return prerec(training=training(epochs=2)).fit(
        [small_domain("a", num_users=40), small_domain("b", num_users=30, seed=1)]
    )


def test_it_serves_a_new_domain_by_the_S_of_its_log(model):
    shop = small_domain("new", num_users=40, seed=2)
    encoded = model.encode(shop)
    calibrated = CalibratedPreRec(model)
    assert calibrated.name == "prerec_calibrated"
    assert calibrated.calibration(encoded) is calibrated.calibration(encoded), "estimated once"
    S = calibrated.calibration(encoded).values[-1]
    assert S.abs().max() > 0.01
    found = calibrated.recommend(encoded, k=3)
    pd.testing.assert_frame_equal(found, model.recommend(encoded, k=3, do={"S": S}))


def test_users_that_may_not_be_read_are_not(model):
    shop = small_domain("new", num_users=40, seed=2)
    encoded = model.encode(shop)
    some = CalibratedPreRec(model, np.arange(5)).calibration(encoded)
    assert int(some.num_queries[-1]) == int((np.diff(shop.offsets)[:5] - 1).sum())


def test_a_trained_domain_keeps_what_it_has(model):
    encoded = model.encode(small_domain("a", num_users=40))
    calibrated = CalibratedPreRec(model)
    assert calibrated.calibration(encoded) is None
    pd.testing.assert_frame_equal(calibrated.recommend(encoded, k=3), model.recommend(encoded, k=3))


def test_no_network_moves(model):
    before = {name: value.clone() for name, value in model.graph.state_dict().items()}
    CalibratedPreRec(model).recommend(small_domain("new", num_users=40, seed=2), k=3)
    assert all(torch.equal(value, before[name]) for name, value in model.graph.state_dict().items())
