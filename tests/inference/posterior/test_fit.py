"""Posteriors of a small domain: agreement with brute force and between methods, contents, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prerec_pyro.errors import InputError
from prerec_pyro.inference.calibration.prediction import PredictedPrior, Prediction
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.inference.posterior.diagnostics import convergence, k_hat
from prerec_pyro.inference.posterior.fit import infer_posterior
from prerec_pyro.inference.posterior.subsample import sample_log
from prerec_pyro.inference.trained_domains import TrainedDomains
from tests.support.batches import effects
from tests.support.models import seen_matrix, small_encoded, small_graph

ENCODED = small_encoded(num_items=15, num_users=40)
ALL_USERS = np.arange(40)
BETWEEN_DOMAINS = Prediction(torch.zeros(4), torch.ones(4))  # in units of spread
PREDICTED = Prediction(torch.tensor([-0.9, 1.2, 0.8, -1.0]), torch.tensor([0.7, 0.9, 1.2, 0.8]))


def infer(method: str, encoded=ENCODED, graph=None, **settings: object):
    # With D → V and V → U, D enters the histories too, and given so small a log the posterior is far from Gaussian.
    return infer_posterior(
        graph or small_graph(graph="extended"), TrainedDomains(), encoded, ALL_USERS, method, **settings
    )


def posterior_of_S_on_a_grid(graph, prior: Prediction) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of S by brute force: the density of the mixture as it is defined, on a grid.

    With one interest S has four coordinates.

    The repeat rate depends on S_3 alone, and nothing else does: the posterior is that of S_3 times that of the others.
    """
    sample = sample_log(ENCODED, ALL_USERS, max_log=None, queries=None)
    scorer, (s1, s2, s3, s4) = InterventionalScorer(graph, ENCODED, Intervention({})), graph.likelihood.spread.tolist()
    axis = np.linspace(-6, 6, 49)
    p1, p2, p3, p4 = (-0.5 * ((axis - m) / s) ** 2 for m, s in zip(*(part.tolist() for part in prior), strict=True))
    w_r, w_o = float(graph.likelihood.w_r), float(graph.likelihood.w_o)
    log_p, log_p3 = p1[:, None, None] + p2[:, None] + p4, p3
    new = np.exp(w_o + s4 * axis)
    background_rate = new / (1 + new)
    for batch in sample.batches(sample.given):
        match, popularity = (part.double().numpy() for part in effects(scorer, batch))
        seen = seen_matrix(batch).numpy() > 0
        for query, target in enumerate(batch.targets.tolist()):
            repeats, other = batch.repeat_counts[query].tolist()
            prior = 0.3 * np.exp(w_r + s3 * axis)
            rate = (repeats + prior) / (repeats + prior + other + 5.0)
            again = seen[query, target]
            log_p3 += np.log(rate if again else 1 - rate)
            own = seen[query] == again
            m, p = match[query, own], np.exp(s2 * axis)[:, None] * popularity[query, own]  # (49, items)
            at = np.flatnonzero(own).tolist().index(target)
            matched = (0.3 if again else 1.0) * np.exp(s1 * axis)[:, None, None] * m + p  # (49, 49, items)
            followed = np.exp(matched - matched.max(-1, keepdims=True))
            followed = followed[..., at] / followed.sum(-1)  # (49, 49)
            if again:
                log_p += np.log(followed)[..., None]
                continue
            alone = np.exp(p - p.max(-1, keepdims=True))
            alone = alone[..., at] / alone.sum(-1)  # (49,)
            log_p += np.log((1 - background_rate) * followed[..., None] + background_rate * alone[:, None])

    def normalised(log_density: np.ndarray) -> np.ndarray:
        density = np.exp(log_density - log_density.max())
        return density / density.sum()

    joint = normalised(log_p)
    margins = np.stack([joint.sum((1, 2)), joint.sum((0, 2)), normalised(log_p3), joint.sum((0, 1))])
    assert margins[:, [0, -1]].max() < 1e-4, "the grid is wide enough"
    mean = margins @ axis
    return mean, np.sqrt(margins @ axis**2 - mean**2)


@pytest.mark.parametrize("prior", [BETWEEN_DOMAINS, PREDICTED], ids=["between domains", "predicted"])
def test_nuts_agrees_with_brute_force(prior: Prediction) -> None:
    graph = small_graph(graph="extended", num_interests=1).eval()
    mean, sd = posterior_of_S_on_a_grid(graph, prior)
    prior_S = None if prior is BETWEEN_DOMAINS else PredictedPrior.of(graph.priors.S, prior, torch.ones(4))
    found = infer("nuts", graph=graph, latents=("S",), draws=300, chains=2, warmup=100, prior_S=prior_S)
    S = found.draws["S"].double().numpy()
    error = sd / np.sqrt(convergence(S)["ess_bulk"])
    assert (np.abs(S.mean((0, 1)) - mean) < 4 * error).all()
    np.testing.assert_allclose(S.std((0, 1)), sd, rtol=0.2)
    assert (sd < 0.85 * prior.std.numpy()).sum() >= 3, "the choices say something"


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
        graph = small_graph(graph="extended")
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
    assert found.draws["S"].shape == (1, 30, 6)
    assert found.log_likelihood.shape == found.replicated.shape == (1, 30, n)
    assert found.prior["D"].shape == (1, 30, 4)
    assert torch.equal(found.observed, torch.from_numpy(ENCODED.domain.item_index[found.events].astype(np.int64)))
    for draw in (0, 29):  # the scorer that ranks items gives the same log-likelihood
        values = {site: found.draws[site][0, draw] for site in ("D", "S")}
        graph = small_graph(graph="extended").eval()
        scorer = InterventionalScorer(graph, ENCODED, Intervention.check(values, graph))
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
    graph = small_graph(graph="unconfounded")
    found = infer("delta", graph=graph)
    assert found.draws == {}
    assert found.log_likelihood.shape == (1, 1, found.facts["given_queries"])
    assert found.summary().empty
    with pytest.raises(InputError, match="the graph of this model has no D and no S; use 'delta'"):
        infer("laplace", graph=graph)


def test_the_papers_graph_has_a_posterior_of_D_alone() -> None:
    graph = small_graph(graph="paper")
    assert set(infer("laplace", graph=graph, draws=5).draws) == {"D"}
    with pytest.raises(InputError, match=r"latents: S .*D$"):
        infer("laplace", graph=graph, latents=("S",))
