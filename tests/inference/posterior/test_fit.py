"""Posteriors of a small domain: agreement with brute force and between methods, contents, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prerec_pyro.errors import InputError
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.inference.posterior.diagnostics import convergence, k_hat
from prerec_pyro.inference.posterior.fit import infer_posterior
from prerec_pyro.inference.posterior.subsample import sample_log
from prerec_pyro.inference.trained_domains import TrainedDomains
from tests.support.models import small_encoded, small_graph

ENCODED = small_encoded(num_items=15, num_users=40)
ALL_USERS = np.arange(40)


def infer(method: str, encoded=ENCODED, graph=None, **settings: object):
    # With the edge V → U, D enters the histories too, and given so small a log the posterior is far from Gaussian.
    return infer_posterior(
        graph or small_graph(item_to_user=False), TrainedDomains(), encoded, ALL_USERS, method, **settings
    )


def grid_of_S(graph) -> tuple[np.ndarray, np.ndarray]:
    """Return means and standard deviations of S_1 and S_2 by brute force, from the scores that rank items."""
    sample = sample_log(ENCODED, ALL_USERS, max_log=None, queries=None)
    batches, axis = list(sample.batches(sample.given)), np.linspace(-8, 4, 41)
    log_p = np.zeros((41, 41))
    for i, first in enumerate(axis):
        for j, second in enumerate(axis):
            S = torch.tensor([first, second, 0.0, 0.0], dtype=torch.float32)
            scorer = InterventionalScorer(graph, ENCODED, Intervention.check({"S": S}, latent_dim=4))
            fit = sum(float(scorer(b).log_softmax(1).gather(1, b.targets[:, None]).double().sum()) for b in batches)
            log_p[i, j] = fit - 0.5 * (first**2 + second**2)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    margins = np.stack([p.sum(1), p.sum(0)])
    mean = margins @ axis
    return mean, np.sqrt(margins @ axis**2 - mean**2)


def test_nuts_agrees_with_brute_force() -> None:
    """With a single softmax the choices inform the first two numbers of S; the other two keep their prior."""
    graph = small_graph(repeats=False, wandering=False).eval()
    mean, sd = grid_of_S(graph)
    found = infer("nuts", graph=graph, latents=("S",), draws=300, chains=2, warmup=100)
    S = found.draws["S"].double().numpy()
    error = np.append(sd, [1, 1]) / np.sqrt(convergence(S)["ess_bulk"])
    assert (np.abs(S.mean((0, 1)) - np.append(mean, [0, 0])) < 4 * error).all()
    np.testing.assert_allclose(S.std((0, 1)), np.append(sd, [1, 1]), rtol=0.2)
    assert sd.max() < 0.85, "the choices inform S"


@pytest.mark.slow
def test_the_methods_agree() -> None:
    by_method = {m: infer(m, draws=300, chains=2, restarts=1) for m in ("nuts", "laplace", "normal", "low_rank")}
    exact = by_method.pop("nuts").summary()
    for method, found in by_method.items():
        table = found.summary()
        error = ((table["mean"] - exact["mean"]) / exact["sd"]).abs()
        assert error.max() < 0.6, method
        assert ((table["sd"] / exact["sd"]).between(0.6, 1.5)).all(), method
        log_ratios = (found.statistics["lp"] - found.statistics["log_q"])[0].double().numpy()
        assert k_hat(log_ratios) < 0.7, method
    assert (exact["r_hat"] < 1.05).all()


def test_a_part_of_the_log_finds_the_mode_given_all_of_it() -> None:
    encoded, users = small_encoded(num_items=15, num_users=120), np.arange(120)

    def infer(method: str, **settings: object):
        graph = small_graph(item_to_user=False)
        return infer_posterior(graph, TrainedDomains(), encoded, users, method, **settings)

    whole, part = infer("delta", queries=None), infer("delta", queries=160)
    assert part.facts["evaluated_queries"] < 180 < 400 < part.facts["given_queries"] == whole.facts["given_queries"]
    assert part.facts["weight"] == pytest.approx(part.facts["given_queries"] / part.facts["evaluated_queries"])
    assert part.facts["rounds"] >= 2
    sd = infer("laplace", queries=None).summary()["sd"]
    smaller = infer("delta", max_log=160, queries=None)
    error, error_of_smaller = (
        ((one.summary()["value"] - whole.summary()["value"]) / sd).abs().max() for one in (part, smaller)
    )
    assert error < 0.35
    assert error_of_smaller > 0.7, "a smaller log has another mode"


def test_contents_of_a_posterior() -> None:
    found = infer("laplace", draws=30)
    n = found.facts["evaluated_queries"]
    assert found.draws["D"].shape == (1, 30, 4)
    assert found.draws["S"].shape == (1, 30, 4)
    assert found.log_likelihood.shape == found.replicated.shape == (1, 30, n)
    assert found.prior["D"].shape == (1, 30, 4)
    assert torch.equal(found.observed, torch.from_numpy(ENCODED.domain.item_index[found.events].astype(np.int64)))
    for draw in (0, 29):  # the scorer that ranks items gives the same log-likelihood
        values = {site: found.draws[site][0, draw] for site in ("D", "S")}
        graph = small_graph(item_to_user=False).eval()
        scorer = InterventionalScorer(graph, ENCODED, Intervention.check(values, latent_dim=4))
        sample = sample_log(ENCODED, ALL_USERS, max_log=50_000, queries=1000)
        fits = [scorer(b).log_softmax(1).gather(1, b.targets[:, None])[:, 0] for b in sample.batches(sample.given)]
        torch.testing.assert_close(torch.cat(fits), found.log_likelihood[0, draw], rtol=1e-4, atol=1e-4)


def test_the_same_seed_gives_the_same_draws() -> None:
    for method in ("laplace", "normal", "nuts"):
        small = {"draws": 10, "chains": 1, "steps": 20, "warmup": 20, "restarts": 1}
        one, same, other = (infer(method, seed=seed, **small) for seed in (1, 1, 2))
        for site in one.draws:
            assert torch.equal(one.draws[site], same.draws[site]), method
            assert not torch.equal(one.draws[site], other.draws[site]), method


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("magic", {}, "expected one of delta, laplace"),
        ("laplace", {"draw": 5}, "settings are draws, chains"),
        ("laplace", {"draws": 0}, "draws: Input should be greater"),
        ("laplace", {"latents": ("Q",)}, "Q is unknown; this model has D, S"),
        ("laplace", {"latents": ()}, "none is left"),
    ],
)
def test_invalid_arguments_are_refused(method: str, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        infer(method, **settings)


def test_a_log_without_choices_is_refused() -> None:
    with pytest.raises(InputError, match="no training user has two events"):
        infer_posterior(small_graph(), TrainedDomains(), ENCODED, np.zeros(0, np.int64), "laplace")


def test_a_model_without_confounders_has_only_a_point() -> None:
    graph = small_graph(confounders=False)
    found = infer("delta", graph=graph)
    assert found.draws == {}
    assert found.log_likelihood.shape == (1, 1, found.facts["given_queries"])
    assert found.summary().empty
    with pytest.raises(InputError, match="PreRec_n"):
        infer("laplace", graph=graph)
