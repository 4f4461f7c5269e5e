"""Drift: gradients and modes by brute force, a distance whose p-values are uniform, logs that change or do not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from prerec_pyro.causal.drift import log_slice
from prerec_pyro.causal.drift.coordinates import Coordinates, principal
from prerec_pyro.causal.drift.drift import _distance, _noise, drift
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.errors import InputError
from prerec_pyro.inference.posterior.result import Posterior
from prerec_pyro.recommenders.prerec import PreRec
from tests.support.models import FIRST_DAY, PRIORS, prerec, shaken, small_domain

CUT = (FIRST_DAY + 8) * SECONDS_PER_DAY


@pytest.fixture(scope="module")
def shop() -> Domain:
    return small_domain("shop", num_items=15, num_users=240, seed=6)


@pytest.fixture(scope="module")
def changed(shop: Domain) -> Domain:
    return change(shop)


def change(shop: Domain) -> Domain:
    """From the cut on everybody takes the next item but six of the ring."""
    previous = np.concatenate([[0], shop.item_index[:-1]])
    late = (shop.timestamps >= CUT) & ~np.isin(np.arange(shop.num_interactions), shop.offsets)
    return replace(shop, item_index=np.where(late, (previous + 7) % shop.num_items, shop.item_index))


@pytest.fixture(scope="module")
def plain() -> PreRec:
    return prerec().fit([small_domain("a", num_items=15, num_users=40, seed=1)])


@pytest.fixture(scope="module")
def coordinates(model, shop) -> Coordinates:
    encoded = model.scorer(model.encode(shop)).encoded
    return Coordinates.of(model, encoded, 2)


@pytest.fixture(scope="module")
def windows(shop):
    return log_slice.between(shop, CUT, None)


def test_the_likelihood_is_that_of_the_scorer_and_the_gradient_its_own(model, shop, coordinates, windows):
    shift = torch.tensor([0.3, -0.2, 0.1, 0.4, 0.2, -0.1], dtype=torch.float64)
    assert coordinates.program.dtype == torch.float64
    value, slope = coordinates.gradient(shift, windows)
    place = {
        "S": coordinates.values["S"][0] + shift[:4],
        "D": coordinates.values["D"][0] + shift[4:] @ coordinates.basis.double(),
    }
    scorer = model.scorer(model.encode(shop), place)
    total = sum(
        scorer(batch).log_softmax(1).gather(1, batch.targets[:, None]).sum().item()
        for batch in log_slice.batches(coordinates.encoded, windows)
    )
    assert value == pytest.approx(total, rel=1e-5)
    for number in range(6):
        step = torch.zeros(6, dtype=torch.float64)
        step[number] = 0.02
        ends = [coordinates.gradient(shift + sign * step, windows)[0] for sign in (1, -1)]
        assert slope[number].item() == pytest.approx((ends[0] - ends[1]) / 0.04, rel=0.01, abs=0.05)


def test_groups_add_up(coordinates, windows):
    groups = np.array_split(np.random.default_rng(0).permutation(len(windows)), 7)
    parts = coordinates.grouped(windows, groups)
    whole = coordinates.gradient(torch.zeros(6), windows)[1]
    torch.testing.assert_close(parts.sum(0), whole, rtol=1e-4, atol=1e-3)


def test_the_hessian_is_the_change_of_the_gradient(coordinates, windows):
    hessian = coordinates.hessian(windows)
    torch.testing.assert_close(hessian, hessian.mT)
    assert torch.linalg.eigvalsh(hessian).min() > -1e-6
    step = 0.05 * coordinates.unit * torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, 1.0])
    ends = [coordinates.gradient(sign * step, windows)[1] for sign in (-1, 1)]
    torch.testing.assert_close(
        (ends[0] - ends[1]) / 2, hessian @ step, rtol=0.1, atol=0.05 * (hessian @ step).norm().item()
    )


def test_the_mode_is_where_the_posterior_is_highest(coordinates, windows):
    mode = coordinates.at_mode(windows)
    found = mode.center
    best, slope = coordinates._posterior(found - coordinates.center, windows)
    assert (slope.abs() * coordinates.unit).max() < 0.5, "flat to a fraction of a nat a prior standard deviation"
    torch.manual_seed(0)
    for scale in (0.02, 0.1, 0.5):
        for _ in range(5):
            shift = found - coordinates.center + scale * coordinates.unit * torch.randn(6, dtype=torch.float64)
            assert coordinates._posterior(shift, windows)[0] < best + 0.05


def test_units_are_those_of_the_prior(coordinates):
    expected = torch.tensor([1.0] * 4 + [PRIORS.D.scale] * 2)
    torch.testing.assert_close(coordinates.unit.float(), expected, rtol=0.1, atol=0)


def test_principal_directions():
    torch.manual_seed(0)
    vectors = torch.randn(200, 5) * torch.tensor([1.0, 9.0, 3.0, 0.1, 0.1]) + 7
    found = principal(vectors, 2)
    torch.testing.assert_close(found @ found.mT, torch.eye(2), atol=1e-5, rtol=0)
    assert found.abs().argmax(1).tolist() == [1, 2]


def test_p_values_are_uniform_where_nothing_has_changed():
    """Gradients of groups around H δ, δ a draw of what was known: Hotelling's T² all but for the known part."""
    rng, size, number = np.random.default_rng(0), 5, 60
    A = rng.standard_normal((size, size))
    hessian = torch.from_numpy(A @ A.T + np.eye(size))
    B = rng.standard_normal((size, size))
    spread = torch.from_numpy(B @ B.T + np.eye(size)) / number  # of one group
    for weight in (0.0, 0.3):
        covariance = weight * torch.linalg.inv(hessian) @ (number * spread) @ torch.linalg.inv(hessian)
        p = []
        for _ in range(600):
            moved = rng.multivariate_normal(np.zeros(size), (hessian @ covariance @ hessian).numpy()) / number
            groups = rng.multivariate_normal(moved, spread.numpy(), size=number)
            p.append(_distance(torch.from_numpy(groups), 0.0, hessian @ covariance @ hessian).p_value)
        assert stats.kstest(p, "uniform").pvalue > 0.01
        assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.03)


def test_noise_is_the_covariance_of_the_sum():
    rng = np.random.default_rng(1)
    sums = np.stack([rng.standard_normal((50, 2)).sum(0) for _ in range(2000)])
    found = np.mean([_noise(torch.from_numpy(rng.standard_normal((50, 2)))).numpy() for _ in range(200)], axis=0)
    np.testing.assert_allclose(found, np.cov(sums.T), atol=5)
    np.testing.assert_allclose(found, 50 * np.eye(2), atol=3)


def test_a_log_that_changes_is_told_from_one_that_does_not(plain, shop, changed):
    calm, alarm = drift(plain, shop, CUT, directions=2), drift(plain, changed, CUT, directions=2)
    assert not calm.drifted
    assert calm.p_value > 0.02
    assert alarm.drifted
    assert alarm.p_value < 1e-5
    assert alarm.distance > 2 * calm.distance
    assert "shop has drifted since" in alarm.sentence()
    assert "shop is not shown to have drifted since" in calm.sentence()
    assert calm.table["coordinate"].tolist() == [
        *(f"S {n}" for n in ("match", "popularity", "repeat", "background")),
        "D 1",
        "D 2",
    ]
    found = json.loads(json.dumps(alarm.to_json(), allow_nan=False))
    assert found["drifted"] is True
    assert len(found["coordinates"]) == 6
    assert alarm.to_markdown().count("\n| ") == 2 + 6


@pytest.mark.slow
def test_against_a_saved_posterior(plain, tmp_path):
    shop = small_domain("shop", num_items=15, num_users=240, seed=7)
    early = shop.timestamps < CUT
    number = np.add.reduceat(early, shop.offsets[:-1])
    before = replace(
        shop,
        user_ids=shop.user_ids[number > 0],
        offsets=np.concatenate([[0], number[number > 0].cumsum()]),
        item_index=shop.item_index[early],
        timestamps=shop.timestamps[early],
    )
    plain.posterior(before, "laplace", draws=60, queries=None).save(tmp_path / "shop.nc")
    known = Posterior.load(tmp_path / "shop.nc")
    calm, alarm = (drift(plain, log, CUT, known, directions=2) for log in (shop, change(shop)))
    assert calm.facts["posterior"] == "laplace"
    assert not calm.drifted
    assert alarm.drifted
    draws = known.draws["S"].flatten(0, 1)
    np.testing.assert_allclose(calm.table["before"][:4], draws.mean(0), atol=1e-5)
    np.testing.assert_allclose(calm.table["before_sd"][:4], draws.std(0), rtol=1e-3)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"alpha": 0}, "alpha is 0, expected a probability"),
        ({"directions": 9}, "directions is 9, expected 0 to 4"),
        ({"since": 0}, "no event of one part of the log"),
        ({"since": "tomorrow"}, "expected an ISO time"),
    ],
)
def test_what_means_nothing_is_refused(plain, shop, asked, message):
    asked = {"since": CUT, "directions": 2} | asked
    with pytest.raises(InputError, match=message):
        drift(plain, shop, **asked)


def test_few_users_are_too_few(plain, shop):
    late = int(np.sort(shop.timestamps)[-12])
    with pytest.raises(InputError, match="users have an event to predict in one part of the log, expected 24 or more"):
        drift(plain, shop, late, directions=2)


def test_posteriors_of_something_else_are_refused(plain, shop):
    draws = {"D": torch.randn(1, 9, 4), "S": torch.randn(1, 9, 4)}
    for posterior, message in (
        (Posterior("laplace", "other", draws), "is of domain 'other', not of 'shop'"),
        (Posterior("delta", "shop", {k: v[:, :1] for k, v in draws.items()}), "is a point"),
        (Posterior("laplace", "shop", {"D": draws["D"]}), "holds no draws of S"),
    ):
        with pytest.raises(InputError, match=message):
            drift(plain, shop, CUT, posterior)


def test_a_model_without_strengths_is_refused(shop):
    for graph, message in (({"strengths": False}, "has no S"), ({"confounders": False}, "PreRec_n")):
        model = shaken(prerec(graph).fit([small_domain()]))
        with pytest.raises(InputError, match=message):
            drift(model, shop, CUT)
