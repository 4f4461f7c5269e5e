"""Serving a domain at its posterior mean."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
import torch

from prerec_pyro.data.batching.batch import query_batches
from prerec_pyro.data.splits import split_users
from prerec_pyro.errors import InputError
from prerec_pyro.inference.posterior.result import Posterior
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.posterior_mean import PosteriorMeanPreRec
from prerec_pyro.recommenders.prerec import PreRec
from tests.support.models import DIM, prerec, small_domain, training

SHOP = small_domain("new", num_users=40, seed=2)


@pytest.fixture(scope="module")
def model() -> PreRec:
    return prerec(training=training(epochs=2)).fit(
        [small_domain("a", num_users=40), small_domain("b", num_users=30, seed=1)]
    )


@pytest.fixture(scope="module")
def posterior(model) -> Posterior:
    return model.posterior(SHOP, "laplace", draws=20)


def scores(recommender, domain=SHOP) -> torch.Tensor:
    encoded = recommender.encode(domain)
    scorer = recommender.scorer(encoded)
    users = split_users(domain).validation
    return torch.cat([scorer(batch) for batch, _ in query_batches(encoded, users)])


def test_D_and_S_are_served_at_the_mean_of_the_posterior(model, posterior):
    at_mean = PosteriorMeanPreRec(model, posterior)
    assert at_mean.name == "prerec_informed"
    found = at_mean.recommend(SHOP, k=3)
    mean = posterior.mean()
    pd.testing.assert_frame_equal(found, model.recommend(SHOP, k=3, do={"D": mean["D"], "S": mean["S"]}))
    assert not torch.allclose(scores(at_mean), scores(model)), "the posterior changes the scores"


def test_S_of_a_calibration_is_kept(model, posterior):
    calibrated = CalibratedPreRec(model)
    at_mean = PosteriorMeanPreRec(calibrated, posterior)
    expected = calibrated.scorer(model.encode(SHOP)).given({"D": posterior.mean()["D"]})
    batch = next(query_batches(model.encode(SHOP), split_users(SHOP).validation))[0]
    torch.testing.assert_close(at_mean.scorer(model.encode(SHOP))(batch), expected(batch))
    assert not torch.allclose(scores(at_mean), scores(calibrated))
    assert not torch.allclose(scores(at_mean), scores(PosteriorMeanPreRec(model, posterior)))


def test_an_intervention_overrides_the_posterior(model, posterior):
    do = {"D": 0.0, "S": 0.0}
    found = PosteriorMeanPreRec(model, posterior).recommend(SHOP, k=3, do=do)
    pd.testing.assert_frame_equal(found, model.recommend(SHOP, k=3, do=do))


def test_a_trained_domain_is_served_at_its_posterior(model):
    shop = small_domain("a", num_users=40)
    found = model.posterior(shop, "delta")
    expected = model.scorer(model.encode(shop)).given(found.mean())
    batch = next(query_batches(model.encode(shop), split_users(shop).test))[0]
    torch.testing.assert_close(PosteriorMeanPreRec(model, found).scorer(model.encode(shop))(batch), expected(batch))


def test_the_model_does_not_change(model, posterior):
    before = {name: value.clone() for name, value in model.graph.state_dict().items()}
    plain = scores(model)
    PosteriorMeanPreRec(model, posterior).recommend(SHOP, k=3)
    assert all(torch.equal(value, before[name]) for name, value in model.graph.state_dict().items())
    assert torch.equal(scores(model), plain)


def test_another_domain_is_refused(model, posterior):
    with pytest.raises(InputError, match="of domain 'new', not of 'other'"):
        PosteriorMeanPreRec(model, posterior).recommend(small_domain("other", num_users=40, seed=3), k=3)


def test_a_posterior_of_another_shape_is_refused(model, posterior):
    wide = dataclasses.replace(posterior, draws={"D": torch.zeros(1, 20, DIM + 1)})
    with pytest.raises(InputError, match="a draw has shape"):
        PosteriorMeanPreRec(model, wide).scorer(model.encode(SHOP))


def test_a_posterior_that_adds_nothing_is_refused(model, posterior):
    only_S = model.posterior(SHOP, "delta", latents=("S",))
    with pytest.raises(InputError, match="is of S, and prerec_calibrated has that already"):
        PosteriorMeanPreRec(CalibratedPreRec(model), only_S)
