from __future__ import annotations

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

from prerec_pyro.data.splits import split_users
from prerec_pyro.errors import InputError
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.inference.posterior.diagnostics import convergence, k_hat
from prerec_pyro.inference.posterior.fit import infer_posterior
from prerec_pyro.inference.posterior.gaussian import Schedule, laplace, variational
from prerec_pyro.inference.posterior.mode import Mode, _climb
from prerec_pyro.inference.posterior.nuts import run_chains
from prerec_pyro.inference.posterior.subsample import sample_log
from prerec_pyro.inference.trained_domains import TrainedDomains
from tests.support.models import PRIORS, prerec, shaken, small_domain, small_encoded, small_graph


class LinearGaussian(nn.Module):
    """y ~ Normal(A x, 1), x ~ Normal(0, 1): the posterior is a Gaussian that can be written down."""

    sites = ("x",)

    def __init__(self, A: Tensor, y: Tensor) -> None:
        super().__init__()
        self.A, self.y = A, y
        self.units = {"x": (torch.zeros(A.shape[1]), torch.ones(A.shape[1]))}

    def latents(self) -> dict[str, Tensor]:
        zero, one = (value.double() for value in self.units["x"])
        back = torch.distributions.AffineTransform(zero, one, event_dim=1).inv
        prior = dist.Normal(torch.zeros(self.A.shape[1], dtype=torch.float64), 1.0).to_event(1)
        return {"x": zero + one * pyro.sample("x_unit", dist.TransformedDistribution(prior, [back]))}

    def forward(self) -> dict[str, Tensor]:
        found = self.latents()
        pyro.sample("y", dist.Normal(self.A @ found["x"], 1.0).to_event(1), obs=self.y)
        return found

    def start(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        zero, one = self.units["x"]
        return {"x_unit": (values["x"] - zero) / one}

    def posterior(self) -> tuple[Tensor, Tensor]:
        covariance = torch.linalg.inv(torch.eye(self.A.shape[1]).double() + self.A.mT @ self.A)
        return covariance @ self.A.mT @ self.y, covariance


@pytest.fixture
def linear() -> tuple[LinearGaussian, Mode]:
    generator = torch.Generator().manual_seed(1)
    A = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    program = LinearGaussian(A, torch.randn(6, generator=generator, dtype=torch.float64))
    guide, values, _ = _climb(program, {"x": torch.zeros(3, dtype=torch.float64)})
    return program, Mode(guide, values, 0, 0.0)


def test_laplace_is_exact_where_the_posterior_is_a_gaussian(linear: tuple[LinearGaussian, Mode]) -> None:
    program, mode = linear
    mean, covariance = program.posterior()
    torch.testing.assert_close(mode.values["x"], mean, rtol=0, atol=1e-5)
    found = laplace(mode).get_posterior()
    torch.testing.assert_close(found.mean, mean, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.covariance_matrix, covariance, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", ["normal", "low_rank"])
def test_variational_inference_finds_the_gaussian_that_it_can(linear: tuple[LinearGaussian, Mode], kind: str) -> None:
    """Independent normals have the mean and the conditional variances; a low rank also what is correlated."""
    program, mode = linear
    mean, covariance = program.posterior()
    schedule = Schedule(steps=500, rate=0.05, restarts=2, rank=3)
    guide, facts = variational(program, mode, kind, schedule, seed=0)
    torch.manual_seed(0)
    with torch.no_grad():
        draws = torch.stack([_at(program, guide) for _ in range(4000)])
    sd = covariance.diagonal().sqrt()
    np.testing.assert_allclose(draws.mean(0), mean, atol=0.15 * float(sd.min()))
    expected = torch.linalg.inv(covariance).diagonal().rsqrt() if kind == "normal" else sd
    np.testing.assert_allclose(draws.std(0), expected, rtol=0.12)
    assert facts["mean_shift"] < 0.3
    assert np.ptp(facts["elbo"]) < 0.3


def _at(program: LinearGaussian, guide: nn.Module) -> Tensor:
    with pyro.poutine.replay(trace=pyro.poutine.trace(guide).get_trace()):
        return program.latents()["x"]


def test_nuts_is_exact_where_the_posterior_is_a_gaussian(linear: tuple[LinearGaussian, Mode]) -> None:
    program, mode = linear
    mean, covariance = program.posterior()
    chains = run_chains(program, mode, num_chains=2, num_draws=250, num_warmup=100, seed=0)
    zero, one = program.units["x"]
    draws = zero + one * chains.points["x_unit"]
    assert draws.shape == (2, 250, 3)
    said = convergence(draws.numpy())
    assert (said["r_hat"] < 1.04).all()
    error = covariance.diagonal().sqrt().numpy() / np.sqrt(said["ess_bulk"])
    assert (np.abs((draws.mean((0, 1)) - mean).numpy()) < 4 * error).all()
    np.testing.assert_allclose(np.cov(draws.flatten(0, 1).mT), covariance, atol=0.05)
    assert chains.energy.shape == chains.diverging.shape == (2, 250)
    assert not chains.diverging.any()
    # Energy is potential and kinetic: three halves of what three Gaussian coordinates have, each.
    assert chains.energy.std() == pytest.approx(3**0.5, rel=0.15)


# A small world -------------------------------------------------------------------------------------------------------
ENCODED = small_encoded(num_items=15, num_users=40)
EVERYBODY = np.arange(40)


def infer(method: str, encoded=ENCODED, graph=None, **settings: object):
    # Where histories are read as items D enters them too, and in so small a log the posterior is far from Gaussian.
    return infer_posterior(
        graph or small_graph(item_to_user=False), TrainedDomains(), encoded, EVERYBODY, method, **settings
    )


def grid_of_S(graph) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of S_1 and S_2 by brute force, from the scores that lists are made of."""
    sample = sample_log(ENCODED, EVERYBODY, max_log=None, queries=None)
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
    """Without repeats and wandering S has two numbers that the choices tell of; the other two keep their prior."""
    graph = small_graph(repeats=False, wandering=False).eval()
    mean, sd = grid_of_S(graph)
    found = infer("nuts", graph=graph, latents=("S",), draws=300, chains=2, warmup=100)
    S = found.draws["S"].double().numpy()
    error = np.append(sd, [1, 1]) / np.sqrt(convergence(S)["ess_bulk"])
    assert (np.abs(S.mean((0, 1)) - np.append(mean, [0, 0])) < 4 * error).all()
    np.testing.assert_allclose(S.std((0, 1)), np.append(sd, [1, 1]), rtol=0.2)
    assert sd.max() < 0.85, "the choices say something"


@pytest.mark.slow
def test_the_methods_agree() -> None:
    by_method = {m: infer(m, draws=300, chains=2, restarts=1) for m in ("nuts", "laplace", "normal", "low_rank")}
    exact = by_method.pop("nuts").summary()
    for method, found in by_method.items():
        table = found.summary()
        off = ((table["mean"] - exact["mean"]) / exact["sd"]).abs()
        assert off.max() < 0.6, method
        assert ((table["sd"] / exact["sd"]).between(0.6, 1.5)).all(), method
        log_ratios = (found.statistics["lp"] - found.statistics["log_q"])[0].double().numpy()
        assert k_hat(log_ratios) < 0.7, method
    assert (exact["r_hat"] < 1.05).all()


def test_a_part_of_the_log_finds_the_mode_of_the_whole() -> None:
    encoded, everybody = small_encoded(num_items=15, num_users=120), np.arange(120)

    def infer(method: str, **settings: object):
        graph = small_graph(item_to_user=False)
        return infer_posterior(graph, TrainedDomains(), encoded, everybody, method, **settings)

    whole, part = infer("delta", queries=None), infer("delta", queries=160)
    assert part.facts["evaluated_queries"] < 180 < 400 < part.facts["given_queries"] == whole.facts["given_queries"]
    assert part.facts["weight"] == pytest.approx(part.facts["given_queries"] / part.facts["evaluated_queries"])
    assert part.facts["rounds"] >= 2
    spread = infer("laplace", queries=None).summary()["sd"]
    off = (part.summary()["value"] - whole.summary()["value"]) / spread
    assert off.abs().max() < 0.35
    naive = infer("delta", max_log=160, queries=None)
    assert ((naive.summary()["value"] - whole.summary()["value"]) / spread).abs().max() > 0.7, "less log, other mode"


def test_what_a_posterior_holds() -> None:
    found = infer("laplace", draws=30)
    n = found.facts["evaluated_queries"]
    assert found.draws["D"].shape == (1, 30, 4)
    assert found.draws["S"].shape == (1, 30, 4)
    assert found.log_likelihood.shape == found.replicated.shape == (1, 30, n)
    assert found.prior["D"].shape == (1, 30, 4)
    assert torch.equal(found.observed, torch.from_numpy(ENCODED.domain.item_index[found.events].astype(np.int64)))
    for draw in (0, 29):  # the log-likelihood is that of the scorer that serves lists
        values = {site: found.draws[site][0, draw] for site in ("D", "S")}
        graph = small_graph(item_to_user=False).eval()
        scorer = InterventionalScorer(graph, ENCODED, Intervention.check(values, latent_dim=4))
        sample = sample_log(ENCODED, EVERYBODY, max_log=50_000, queries=1000)
        fits = [scorer(b).log_softmax(1).gather(1, b.targets[:, None])[:, 0] for b in sample.batches(sample.given)]
        torch.testing.assert_close(torch.cat(fits), found.log_likelihood[0, draw], rtol=1e-4, atol=1e-4)


def test_a_trained_domain_keeps_its_items_and_a_new_one_has_none() -> None:
    model = shaken(prerec(free=("V",)).fit([small_domain("a"), small_domain("b", seed=1)]))
    trained = model.posterior(small_domain("b", seed=1), "delta", users="train")
    assert trained.domain == "b"
    encoded = model.encoded(small_domain("b", seed=1)).whitened(model.whitening)
    users = np.setdiff1d(encoded.domain.user_of_event[trained.events], [])
    assert set(users) <= set(split_users(encoded.domain, 0).train), "only training users are read"
    new = infer_posterior(model.graph, TrainedDomains(), encoded, users, "delta")
    assert torch.equal(trained.events, new.events)
    assert (trained.log_likelihood - new.log_likelihood).abs().max() > 0.1
    model.sources.nodes["V_decentered"] *= 0
    without = model.posterior(encoded, "delta", users="train")
    torch.testing.assert_close(without.log_likelihood, new.log_likelihood, rtol=1e-3, atol=1e-3)


def test_a_trained_domain_is_judged_by_users_that_it_was_not_trained_on() -> None:
    model = prerec().fit([small_domain("a")])
    for name, users in (("a", "validation"), ("new", "train")):
        encoded = model.encoded(small_domain(name))
        found = model.posterior(encoded, "delta")
        assert found.facts["users"] == users
        whose = set(encoded.domain.user_of_event[found.events])
        assert whose <= set(split_users(encoded.domain, 0).users(users))
        checks = model.check_posterior(encoded, found)
        assert len(checks) > 5


def test_only_what_is_asked_for_is_random() -> None:
    model = prerec(priors=PRIORS).fit([small_domain("a")])
    found = model.posterior(small_domain("a"), "laplace", latents=("S",), draws=5)
    assert set(found.draws) == {"S"}


def test_the_same_seed_gives_the_same_draws() -> None:
    for method in ("laplace", "normal", "nuts"):
        small = {"draws": 10, "chains": 1, "steps": 20, "warmup": 20, "restarts": 1}
        one, same, other = (infer(method, seed=seed, **small) for seed in (1, 1, 2))
        for site in one.draws:
            assert torch.equal(one.draws[site], same.draws[site]), method
            assert not torch.equal(one.draws[site], other.draws[site]), method


@pytest.mark.parametrize(
    ("method", "settings", "says"),
    [
        ("magic", {}, "expected one of delta, laplace"),
        ("laplace", {"draw": 5}, "settings are draws, chains"),
        ("laplace", {"draws": 0}, "draws: Input should be greater"),
        ("laplace", {"latents": ("Q",)}, "Q is none; this model has D, S"),
        ("laplace", {"latents": ()}, "none is left"),
    ],
)
def test_what_means_nothing_is_refused(method: str, settings: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        infer(method, **settings)


def test_a_log_without_choices_is_refused() -> None:
    with pytest.raises(InputError, match="no training user with two events"):
        infer_posterior(small_graph(), TrainedDomains(), ENCODED, np.zeros(0, np.int64), "laplace")


def test_of_a_model_without_confounders_there_is_only_the_point() -> None:
    graph = small_graph(confounders=False)
    found = infer("delta", graph=graph)
    assert found.draws == {}
    assert found.log_likelihood.shape == (1, 1, found.facts["given_queries"])
    assert found.summary().empty
    with pytest.raises(InputError, match="PreRec_n"):
        infer("laplace", graph=graph)
