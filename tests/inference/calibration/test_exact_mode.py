"""The posterior mode of S from a few hundred rivals of each choice, against the exact one over all items."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from prerec_pyro.data.batching.batch import query_batches
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.inference.calibration import evidence as module
from prerec_pyro.inference.calibration.evidence import gather
from prerec_pyro.inference.calibration.fit import posterior_mode
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.inference.posterior.program import DomainProgram
from prerec_pyro.inference.prior.synthetic_domain import draw_domain
from prerec_pyro.models.graphs.extended import ExtendedGraph
from tests.support.models import graph_config

WIDTH = 16
TRUE_S = torch.tensor([[0.4, -0.5, 0.5, -0.6, 0.5, 0.4]]).double()


def sharp_graph(sharpness: float) -> ExtendedGraph:
    """A graph whose U·V has its mass on a few near items: uniform draws of rivals miss them."""
    torch.manual_seed(0)
    config = graph_config("extended", latent_dim=WIDTH, sharpness=sharpness)
    graph = ExtendedGraph(config, num_domains=1, text_dim=WIDTH)
    with torch.no_grad():
        graph.f_e.linear.weight.copy_(torch.eye(WIDTH))
        for parameter in (*graph.f_pop.parameters(), graph.W_z):
            parameter.add_(0.2 * torch.randn_like(parameter))
        graph.likelihood.w_o -= 1.0
    return graph.eval()


def store_of(graph: ExtendedGraph, num_items: int, num_users: int) -> EncodedDomain:
    """Return a store whose users choose as the graph says, with effect scales that are not its prior mean."""
    texts = np.random.default_rng(0).standard_normal((num_items, WIDTH)).astype(np.float32)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    latents = {"D": torch.zeros(1, WIDTH).double(), "S": TRUE_S}
    return draw_domain(graph, latents, texts, num_users=num_users, num_days=6, seed=0)[0]


def exact_mode(graph: ExtendedGraph, encoded: EncodedDomain) -> tuple[np.ndarray, DomainProgram, list]:
    """Return the mode by gradients of the graph itself over all items, and the program that has them."""
    program = DomainProgram(graph, {"D": torch.zeros(1, WIDTH)}, torch.float64)
    everybody = np.arange(encoded.domain.num_users)
    batches = [program.ready(batch) for batch, _ in query_batches(encoded, everybody, max_scores=1 << 21)]
    found = minimize(lambda S: loss(S, program, batches), np.zeros(6), jac=True, method="L-BFGS-B")
    return found.x, program, batches


def loss(S: np.ndarray, program: DomainProgram, batches: list) -> tuple[float, np.ndarray]:
    total, slope, _ = program.gradient({"S": torch.from_numpy(S)[None]}, batches)
    return -total + 0.5 * float(S @ S), S - slope["S"][0].numpy()


def assert_near_the_exact_mode(
    num_items: int, num_users: int, sharpness: float, uniform: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mode is near the exact one; that from `uniform` draws alone is not, so it is not easy to find."""
    graph = sharp_graph(sharpness)
    encoded = store_of(graph, num_items, num_users)
    exact, program, batches = exact_mode(graph, encoded)
    scorer = InterventionalScorer(graph, encoded, Intervention({}))

    def estimated() -> np.ndarray:
        found = gather(scorer, encoded, np.arange(num_users))
        assert found.weight.shape[1] <= 513 < num_items
        return posterior_mode(graph, found, start=torch.zeros(6, dtype=torch.float64)).numpy()

    ours, at_exact = estimated(), loss(exact, program, batches)[0]
    assert loss(np.zeros(6), program, batches)[0] > at_exact + 5, "there is something to estimate"
    np.testing.assert_allclose(ours, exact, atol=0.1)
    assert loss(ours, program, batches)[0] < at_exact + 0.2
    for name, number in (("NEAR", 0), ("POPULAR", 0), ("DRAWN", uniform)):
        monkeypatch.setattr(module, name, number)
    missed = estimated()
    assert loss(missed, program, batches)[0] > at_exact + 1, "uniform draws miss the near items"
    assert missed[0] > exact[0] + 0.1, "and the match is trusted too much"


def test_on_a_catalogue_of_1000_items(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_near_the_exact_mode(1000, 50, 10.0, 64, monkeypatch)


@pytest.mark.slow
def test_on_a_catalogue_of_50000_items(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_near_the_exact_mode(50_000, 40, 14.0, 512, monkeypatch)


def test_the_prior_of_S_is_a_standard_normal() -> None:
    """Which `loss` writes as half the square of S."""
    prior = sharp_graph(10.0).priors.S(torch.zeros(1, 6))
    assert float(prior.log_prob(torch.ones(1, 6)) - prior.log_prob(torch.zeros(1, 6))) == pytest.approx(-3.0)
    assert math.isfinite(float(prior.log_prob(torch.zeros(1, 6))))
