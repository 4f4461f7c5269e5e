"""Coordinates of D and S: gradients, curvature and modes by brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prerec_pyro.causal.drift import log_slice
from prerec_pyro.causal.drift.coordinates import Coordinates, principal_directions
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.inference.calibration.stores import prior_of_store
from tests.support.models import FIRST_DAY, PRIORS, small_domain


@pytest.fixture(scope="module")
def shop() -> Domain:
    return small_domain("shop", num_items=15, num_users=240, seed=6)


@pytest.fixture(scope="module")
def coordinates(model, shop) -> Coordinates:
    encoded = model.scorer(model.encode(shop)).encoded
    return Coordinates.around_model(model, encoded, 2)


@pytest.fixture(scope="module")
def windows(shop):
    return log_slice.between(shop, (FIRST_DAY + 8) * SECONDS_PER_DAY, None)


def test_the_likelihood_equals_the_scorers_and_the_gradient_its_differences(model, shop, coordinates, windows):
    shift = torch.tensor([0.3, -0.2, 0.1, 0.4, -0.3, 0.2, 0.2, -0.1], dtype=torch.float64)
    assert coordinates.program.dtype == torch.float64
    value, slope = coordinates.gradient(shift, windows)
    place = {
        "S": coordinates.values["S"][0] + shift[:6],
        "D": coordinates.values["D"][0] + shift[6:] @ coordinates.basis.double(),
    }
    scorer = model.scorer(model.encode(shop), place)
    total = sum(
        scorer(batch).log_softmax(1).gather(1, batch.targets[:, None]).sum().item()
        for batch in log_slice.batches(coordinates.encoded, windows)
    )
    assert value == pytest.approx(total, rel=1e-5)
    for number in range(8):
        step = torch.zeros(8, dtype=torch.float64)
        step[number] = 0.02
        ends = [coordinates.gradient(shift + sign * step, windows)[0] for sign in (1, -1)]
        assert slope[number].item() == pytest.approx((ends[0] - ends[1]) / 0.04, rel=0.01, abs=0.05)


def test_groups_add_up(coordinates, windows):
    groups = np.array_split(np.random.default_rng(0).permutation(len(windows)), 7)
    parts = coordinates.group_gradients(windows, groups)
    whole = coordinates.gradient(torch.zeros(8), windows)[1]
    torch.testing.assert_close(parts.sum(0), whole, rtol=1e-4, atol=1e-3)


def test_the_hessian_is_the_change_of_the_gradient(coordinates, windows):
    hessian = coordinates.hessian(windows)
    torch.testing.assert_close(hessian, hessian.mT)
    assert torch.linalg.eigvalsh(hessian).min() > -1e-6
    step = 0.05 * coordinates.unit * torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0])
    ends = [coordinates.gradient(sign * step, windows)[1] for sign in (-1, 1)]
    torch.testing.assert_close(
        (ends[0] - ends[1]) / 2, hessian @ step, rtol=0.1, atol=0.05 * (hessian @ step).norm().item()
    )


def test_the_mode_maximises_the_posterior(coordinates, windows):
    mode = coordinates.at_mode(windows)
    found = mode.center
    best, slope = coordinates._log_posterior(found - coordinates.center, windows)
    assert (slope.abs() * coordinates.unit).max() < 0.5, "flat to half a nat per prior standard deviation"
    torch.manual_seed(0)
    for scale in (0.02, 0.1, 0.5):
        for _ in range(5):
            shift = found - coordinates.center + scale * coordinates.unit * torch.randn(8, dtype=torch.float64)
            assert coordinates._log_posterior(shift, windows)[0] < best + 0.05


def test_units_are_prior_standard_deviations(model, shop, coordinates):
    """Those of S of a new store are those of its prediction."""
    predicted = prior_of_store(model.graph, model.sources, model.encode(shop))
    assert predicted is not None
    expected = torch.cat([predicted.std, torch.tensor([PRIORS.D.scale] * 2)])
    torch.testing.assert_close(coordinates.center[:6].float(), predicted.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(coordinates.unit.float(), expected, rtol=0.1, atol=0)


def test_principal_directions():
    torch.manual_seed(0)
    vectors = torch.randn(200, 5) * torch.tensor([1.0, 9.0, 3.0, 0.1, 0.1]) + 7
    found = principal_directions(vectors, 2)
    torch.testing.assert_close(found @ found.mT, torch.eye(2), atol=1e-5, rtol=0)
    assert found.abs().argmax(1).tolist() == [1, 2]
