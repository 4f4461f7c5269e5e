"""`prediction`: S of a store from its features, against brute force and in cases with a known answer."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from prerec_pyro.inference.calibration.prediction import REACHES, SHARES, TRENDS, predict_effect_scales
from prerec_pyro.inference.calibration.store_features import STORE_FEATURES, UNITS
from prerec_pyro.models.likelihoods.repeat_mixture import EFFECTS

SPREAD = torch.tensor([0.7, 1.5])


def sources(number: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(number, 3, generator=generator)
    S = torch.stack([features[:, 0], -features[:, 1]], 1) + 0.3 * torch.randn(number, 2, generator=generator)
    return S * SPREAD, features


def brute_force(S: torch.Tensor, features: torch.Tensor, store: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Condition one joint Gaussian, whose level has a variance so wide that it is flat."""
    units, every, wide = (S / SPREAD).double().numpy(), torch.cat([features, store[None]]).double().numpy(), 1e6
    squares = ((every[:, None] - every) ** 2).mean(-1)
    sources = every[:-1]
    along = np.concatenate([sources, store.double().numpy()[None].clip(sources.min(0) - 1, sources.max(0) + 1)])
    along = along - sources.mean(0)
    best, found = -math.inf, None
    for reach, share, trend in itertools.product(REACHES, SHARES, TRENDS):
        joint = share * np.exp(-0.5 * squares / reach**2) + (1 - share) * np.eye(len(every)) + wide
        joint = joint + trend * along @ along.T / along.shape[1]
        own, cross = joint[:-1, :-1], joint[-1, :-1]
        evidence = sum(multivariate_normal(cov=own, allow_singular=True).logpdf(column) for column in units.T)
        if evidence > best:
            gain = np.linalg.solve(own, cross)
            best, found = evidence, (gain @ units, joint[-1, -1] - gain @ cross)
    assert found is not None
    mean, variance = found
    return mean * SPREAD.numpy(), np.sqrt(variance) * SPREAD.numpy()


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.integers(0, 1000))
def test_it_conditions_a_gaussian_process_with_a_flat_level(number: int, seed: int) -> None:
    S, features = sources(number, seed)
    store = torch.randn(3, generator=torch.Generator().manual_seed(seed + 1))
    found = predict_effect_scales(S, features, store, SPREAD)
    mean, std = brute_force(S, features, store)
    np.testing.assert_allclose(found.mean, mean, atol=2e-3)
    np.testing.assert_allclose(found.std, std, rtol=2e-3)


def test_a_store_is_predicted_to_be_like_the_sources_that_are_like_it() -> None:
    S, features = sources(40)
    store = torch.tensor([1.5, -1.0, 0.0])
    found = predict_effect_scales(S, features, store, SPREAD)
    assert abs(found.mean[0] / SPREAD[0] - 1.5) < 0.5
    assert abs(found.mean[1] / SPREAD[1] - 1.0) < 0.5
    assert (found.std < SPREAD).all()  # it knows more than how domains differ


def test_more_sources_of_one_kind_do_not_move_a_store_of_another() -> None:
    S, features = sources(8)
    store = torch.full((3,), 30.0)  # like none of them
    copies = features[:1] + 0.01 * torch.randn(20, 3, generator=torch.Generator().manual_seed(3))
    more = torch.cat([S, S[:1] + 0.01 * torch.randn(20, 2, generator=torch.Generator().manual_seed(4))])
    one = predict_effect_scales(S, features, store, SPREAD).mean
    many = predict_effect_scales(more, torch.cat([features, copies]), store, SPREAD).mean
    mean_moves = (more.mean(0) - S.mean(0)).abs()
    assert ((many - one).abs() < 0.5 * mean_moves).all()


def test_a_store_far_from_all_sources_is_as_uncertain_as_domains_differ() -> None:
    S, features = sources(40)
    found = predict_effect_scales(S, features, torch.full((3,), 1e3), SPREAD)
    assert (found.std >= SPREAD).all()


def test_a_trend_goes_on_beyond_the_sources_by_one_unit() -> None:
    S, features = sources(40)
    beyond, far = (torch.tensor([float(features[:, 0].max()) + more, 0.0, 0.0]) for more in (1.0, 50.0))
    found = predict_effect_scales(S, features, beyond, SPREAD).mean[0] / SPREAD[0]
    assert abs(found - beyond[0]) < 0.7
    assert predict_effect_scales(S, features, far, SPREAD).mean[0] / SPREAD[0] < beyond[0] + 1.0


def test_features_that_a_store_lacks_do_not_count() -> None:
    S, features = sources(10)
    store = torch.tensor([0.5, float("nan"), -0.2])
    left = predict_effect_scales(S, features[:, [0, 2]], store[[0, 2]], SPREAD)
    found = predict_effect_scales(S, features, store, SPREAD)
    torch.testing.assert_close(found.mean, left.mean)
    torch.testing.assert_close(found.std, left.std)


@pytest.mark.parametrize(("effect", "feature"), [("repeat", "repeats"), ("fading", "fading")])
def test_an_effect_that_a_feature_measures_goes_with_it_nat_by_nat(effect: str, feature: str) -> None:
    """Among sources that are all alike, and for a store that is unlike them in what is measured alone."""
    row, column = EFFECTS.index(effect), list(STORE_FEATURES).index(feature)
    S, features = torch.zeros(6, len(EFFECTS)), torch.zeros(6, len(STORE_FEATURES))
    S[:, row] = 0.4
    store = torch.zeros(len(STORE_FEATURES))
    store[column] = 2.0 / UNITS[column]  # two nats
    found = predict_effect_scales(S, features, store, torch.ones(len(EFFECTS))).mean
    wanted = torch.zeros(len(EFFECTS))
    wanted[row] = 2.4
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    store[column] = float("nan")  # a store without a log
    found = predict_effect_scales(S, features, store, torch.ones(len(EFFECTS))).mean
    assert found[row] == pytest.approx(0.4)
