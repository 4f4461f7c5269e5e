"""The effect of each family of priors on a MAP in a model with a known answer, y = W_z + noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO
from scipy import optimize, stats
from torch import Tensor, nn

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.inference.guides.map_guide import map_guide, trained_nodes
from prerec_pyro.models.graphs.paper import PaperGraph
from prerec_pyro.models.priors import (
    GaussianMixture,
    HalfCauchy,
    HalfNormal,
    Horseshoe,
    Laplace,
    LogNormal,
    Normal,
    Prior,
    Priors,
    StudentT,
)
from prerec_pyro.training.objective import optimizers
from tests.support.models import TEXT_DIM, graph_config, small_encoded, small_sources, training

NOISE = 0.5
Y = np.array([0.05, -0.2, 0.4, -0.8, 1.5, 6.0])


class NormalMeans(nn.Module):
    """The graph's own nodes, each measured once with noise: ``y ~ Normal(W_z, NOISE)``, or of every row of D."""

    def __init__(self, prior: Prior, node: str, y: np.ndarray) -> None:
        super().__init__()
        self.node, self.y = node, torch.from_numpy(np.atleast_2d(y)).float()
        rows, width = self.y.shape
        config = graph_config("paper", latent_dim=width, num_heads=1)
        priors = dataclasses.replace(Priors(), **{node: prior})
        self.graph = PaperGraph(config, num_domains=rows, text_dim=TEXT_DIM, priors=priors)

    def forward(self, batch: Batch) -> None:
        with pyro.poutine.scale(scale=1.0 / batch.num_domain_queries):
            pyro.plate("items", len(batch.items), dim=-1)  # the guide makes one
            if self.node == "D":
                value, measured = self.graph.domain(batch.domain).D.unsqueeze(-2), self.y[batch.domain]
            else:
                value, measured = getattr(self.graph.weights(), self.node), self.y[0]
            pyro.sample("y", dist.Normal(value, NOISE).to_event(1), obs=measured)


def fit(prior: Prior, y: np.ndarray, node: str = "W_z", steps: int = 200, rate: float = 0.2) -> Any:
    """Fit the guide by the optimiser of training; return the guide."""
    program = NormalMeans(prior, node, y)
    free = ("D",) if node == "D" else ()
    guide = map_guide(program, 1, free)
    source = small_sources(small_encoded())[0]
    first = source.first_batch(training())
    batches = [dataclasses.replace(first, domain=k, num_domain_queries=3) for k in range(len(program.y))]
    torch.manual_seed(0)
    guide(batches[0])
    draws = {"num_particles": 16, "vectorize_particles": True} if program.graph.hypers else {}
    elbo = Trace_ELBO(max_plate_nesting=1, **draws)(program, guide)
    rates = dict.fromkeys(("popularity_rate", "domain_rate", "scale_rate"), rate)
    (optimizer,) = optimizers(program, guide, training(**rates))
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(elbo(batch) for batch in batches).backward()
        optimizer.step()
        decay.step()
    return guide


def values(guide: Any) -> Mapping[str, np.ndarray]:
    return {name: value.numpy() for name, value in trained_nodes(guide).items()}


def map_of(y: float, log_prior: Any, starts: Iterable[float] = (0.0,)) -> float:
    """argmax over w of log N(y; w, NOISE) + log prior, from the best of some starts."""

    def loss(w: np.ndarray) -> float:
        return float((y - w[0]) ** 2 / (2 * NOISE**2) - log_prior(w[0]))

    runs = [optimize.minimize(loss, [s], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12}) for s in starts]
    return float(min(runs, key=lambda run: run.fun).x[0])


@pytest.mark.parametrize(
    ("prior", "reference"),
    [
        (Normal(0.7), stats.norm(0, 0.7)),
        (StudentT(df=3, scale=0.7), stats.t(3, 0, 0.7)),
        (Laplace(0.7), stats.laplace(0, 0.7)),
    ],
)
@pytest.mark.parametrize("node", ["W_z", "D"])
def test_the_map_is_that_of_the_density_by_another_library(prior: Prior, reference: Any, node: str) -> None:
    y = np.stack([Y, -Y[::-1]]) if node == "D" else Y
    found = values(fit(prior, y, node))[node]
    expected = np.vectorize(lambda one: map_of(one, reference.logpdf))(y)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_normal_shrinks_all_alike_laplace_to_zero_and_student_t_the_far_ones_less() -> None:
    normal, laplace, student = (values(fit(p, Y))["W_z"] for p in (Normal(0.7), Laplace(0.7), StudentT(3, 0.7)))
    np.testing.assert_allclose(normal, Y * 0.7**2 / (0.7**2 + NOISE**2), atol=1e-2)
    threshold = NOISE**2 / 0.7
    np.testing.assert_allclose(laplace, np.sign(Y) * np.maximum(np.abs(Y) - threshold, 0), atol=1e-2)
    assert (np.abs(laplace[np.abs(Y) < threshold]) < 1e-2).all()
    far = np.abs(Y).argmax()
    assert Y[far] - student[far] < 0.1 * (Y[far] - normal[far])
    assert np.abs(student[0]) < np.abs(normal[0])


def evidence(y: np.ndarray, scale: float) -> float:
    return float(stats.norm(0, np.hypot(NOISE, scale)).logpdf(y).sum())


@pytest.mark.parametrize(
    ("hyper", "reference", "wide"),
    [
        (LogNormal(1.0, 1.0), stats.lognorm(s=1.0, scale=1.0), 0.7),
        (HalfNormal(2.0), stats.halfnorm(scale=2.0), 3.0),
        (HalfCauchy(1.0), stats.halfcauchy(scale=1.0), 0.7),
    ],
)
def test_a_random_scale_stands_where_the_evidence_is_largest(hyper: Any, reference: Any, wide: float) -> None:
    y = np.random.default_rng(1).normal(0, np.hypot(wide, NOISE), (2, 60))
    guide = fit(Normal(hyper), y, "D", steps=300)
    found = values(guide)
    best = optimize.minimize_scalar(
        lambda s: -evidence(y, np.exp(s)) - reference.logpdf(np.exp(s)), bounds=(-4, 3), method="bounded"
    )
    scale = np.exp(best.x)
    assert abs(np.log(scale / wide)) < 0.3, "it is near what the values were drawn with"
    assert found["D_scale"] == pytest.approx(scale, rel=0.03)
    weight = scale**2 / (scale**2 + NOISE**2)
    np.testing.assert_allclose(found["D"], weight * y, atol=0.15)
    (part,) = (part for part in guide if hasattr(part, "locs"))
    spread = NOISE * np.sqrt(weight)  # of each row alone: neither the other's batch nor the scale of a query counts
    np.testing.assert_allclose(part.scales.D.detach().mean(1), spread, rtol=0.05)


def horseshoe(y: float, tau: float) -> tuple[float, float]:
    """Return the value of a coordinate and its local scale, where its evidence is largest."""

    def loss(log_local: float) -> float:
        local = np.exp(log_local)
        return -stats.norm(0, np.hypot(NOISE, tau * local)).logpdf(y) - stats.halfcauchy.logpdf(local)

    grid = np.linspace(-6, 6, 61)
    start = grid[np.argmin([loss(x) for x in grid])]
    local = np.exp(optimize.minimize_scalar(loss, bounds=(start - 0.2, start + 0.2), method="bounded").x)
    return y * (tau * local) ** 2 / ((tau * local) ** 2 + NOISE**2), local


def test_horseshoe_shrinks_the_small_ones_more_and_the_large_ones_less() -> None:
    tau = 0.3
    found = values(fit(Horseshoe(tau), Y, steps=400))
    expected = np.array([horseshoe(y, tau)[0] for y in Y])
    np.testing.assert_allclose(found["W_z"], expected, atol=0.08)
    ridge = Y * 0.7**2 / (0.7**2 + NOISE**2)
    small, large = np.abs(Y) < NOISE, np.abs(Y) > 3 * NOISE
    assert (np.abs(found["W_z"][small]) < 0.3 * np.abs(ridge[small])).all()
    assert (np.abs(Y - found["W_z"])[Y > 5] < 0.1 * np.abs(Y - ridge)[Y > 5]).all()
    assert large.any()


def test_the_scale_of_a_horseshoe_can_be_learnt() -> None:
    """Few far ones among many small: the small ones go to 0, and the far ones stay where they are."""
    y = np.concatenate([np.random.default_rng(0).normal(0, NOISE, 57), [8.0, -9.0, 10.0]])
    found = values(fit(Horseshoe(HalfCauchy(1.0)), y, steps=400))
    assert set(found) == {"W_z", "W_z_scale", "W_z_local"}
    assert np.median(np.abs(found["W_z"][:57])) < 0.1 * np.median(np.abs(y[:57]))
    np.testing.assert_allclose(found["W_z"][57:], y[57:], atol=0.3)


def test_in_a_mixture_each_row_goes_to_the_kind_that_is_nearest() -> None:
    prior = GaussianMixture(weights=(0.5, 0.5), means=(-1.0, 1.0), scales=(0.1, 0.1))
    y = np.array([[0.4, 1.2, 0.7], [-0.3, 0.1, -0.9]])
    found = values(fit(prior, y, "D"))["D"]
    weight = 0.1**2 / (0.1**2 + NOISE**2)
    for row, kind in ((0, 1.0), (1, -1.0)):
        np.testing.assert_allclose(found[row], (1 - weight) * kind + weight * y[row], atol=0.01)


def test_a_callable_of_the_users_own_is_followed() -> None:
    found = values(fit(lambda loc: dist.Cauchy(loc, 0.7).to_event(1), Y))["W_z"]
    expected = [map_of(y, stats.cauchy(0, 0.7).logpdf, (0.0, y)) for y in Y]
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_a_random_scale_of_the_users_own_is_sampled() -> None:
    class Ranged:
        def hypers(self, loc: Tensor) -> dict[str, Any]:
            from prerec_pyro.models.priors import Hyper

            return {"width": Hyper(dist.Uniform(loc.new_tensor(0.1), 2.0), True, loc.new_tensor(1.0))}

        def __call__(self, loc: Tensor, width: Tensor | None = None) -> dist.TorchDistribution:
            return dist.Normal(loc, 1.0 if width is None else width.unsqueeze(-1)).to_event(1)

    y = np.random.default_rng(1).normal(0, np.hypot(0.8, NOISE), 60)
    found = values(fit(Ranged(), y))
    best = optimize.minimize_scalar(lambda s: -evidence(y, s), bounds=(0.1, 2.0), method="bounded").x
    assert found["W_z_width"] == pytest.approx(best, rel=0.05)
