"""Domains drawn from the program: the posterior of D covers the D that they were drawn with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.inference.posterior.fit import infer_posterior
from prerec_pyro.inference.posterior.program import DomainProgram
from prerec_pyro.inference.posterior.subsample import sample_log
from prerec_pyro.inference.prior.synthetic_domain import draw_domain, draw_latents
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.config import ExtendedConfig
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.priors import Normal, Priors

DIM, NUM_ITEMS, NUM_USERS, NUM_DAYS = 4, 20, 30, 5
W_Z = torch.tensor([0.6, -0.9, 0.8, -0.4])


def networks(num_interests: int = 20) -> ExtendedGraph:
    torch.manual_seed(0)
    shape = {"latent_dim": DIM, "num_layers": 1, "feedforward": 1, "dropout": 0, "history_dropout": 0}
    config = ExtendedConfig(**shape, sharpness=3, num_interests=num_interests)
    graph = ExtendedGraph(config, num_domains=1, text_dim=DIM, priors=Priors(D=Normal(0.5), W_z=Normal(1.0))).eval()
    with torch.no_grad():
        for block in graph.f_seq.blocks:
            block.contract.weight += 0.5 * torch.randn_like(block.contract.weight)
    return graph


def domain(number: int, latents: dict[str, torch.Tensor], graph: ExtendedGraph) -> tuple[EncodedDomain, float]:
    texts = np.random.default_rng(number).normal(size=(NUM_ITEMS, DIM)).astype(np.float32) / DIM**0.5
    return draw_domain(graph, latents, texts, num_users=NUM_USERS, num_days=NUM_DAYS, seed=number)


@pytest.mark.parametrize(("num_interests", "num_effects"), [(20, 6), (1, 4)])
def test_the_finished_log_has_the_density_of_its_draw(num_interests: int, num_effects: int) -> None:
    """Popularity, repeats and histories computed from the finished log equal those at the time of each draw."""
    graph = networks(num_interests)
    torch.manual_seed(1)
    latents = draw_latents(graph)
    shapes = {site: tuple(value.shape) for site, value in latents.items()}
    assert shapes == {"D": (1, 4), "S": (1, num_effects), "W_z": (4,)}
    encoded, drawn = domain(0, latents, graph)
    assert (encoded.domain.num_users, encoded.num_items) == (NUM_USERS, NUM_ITEMS)
    sample = sample_log(encoded, np.arange(NUM_USERS), max_log=None, queries=None)
    assert sample.num_given == NUM_USERS * (NUM_DAYS - 1)
    program = DomainProgram(graph, {}, torch.float64)
    recomputed = sum(
        float(program.log_likelihood(latents, program.ready(b)).sum()) for b in sample.batches(sample.given)
    )
    assert recomputed == pytest.approx(drawn, abs=1e-6)


def covered(graph: ExtendedGraph, number: int, method: str, **settings: object) -> tuple[np.ndarray, np.ndarray]:
    """Return whether the 90 % intervals of D contain the truth, and the error of its mean in standard deviations."""
    sources = TrainedDomains(nodes={"W_z": W_Z})
    generator = torch.Generator().manual_seed(number)
    D = 0.5 * torch.randn(1, DIM, generator=generator, dtype=torch.float64)
    S = torch.zeros(1, graph.domain_widths["S"]).double()
    encoded, _ = domain(number, {"D": D, "S": S, "W_z": W_Z.double()}, graph)
    options = {"latents": ("D",), "queries": None, "seed": number} | settings
    table = infer_posterior(graph, sources, encoded, np.arange(NUM_USERS), method, **options).summary()
    true = D[0].numpy()
    return ((table["5%"] <= true) & (true <= table["95%"])).to_numpy(), (
        (table["mean"] - true) / table["sd"]
    ).to_numpy()


def test_intervals_of_D_cover_it() -> None:
    """A small version of benchmarks/ranking/calibration_of_posteriors.py: 15 domains, 60 numbers.

    With one interest: with several, D acts by way of the blocks alone, and a Gaussian fits its posterior less well.
    """
    found = [covered(networks(1), number, "laplace", draws=200) for number in range(15)]
    inside, z = (np.concatenate(part) for part in zip(*found, strict=True))
    assert 0.78 < inside.mean() < 0.99
    assert 0.75 < z.std() < 1.3
    assert abs(z.mean()) < 0.4


@pytest.mark.slow
@pytest.mark.parametrize("num_interests", [20, 1])
def test_intervals_of_nuts_cover_in_85_to_95_percent(num_interests: int) -> None:
    settings = {"draws": 200, "chains": 1, "warmup": 100}
    found = [covered(networks(num_interests), number, "nuts", **settings) for number in range(60)]
    inside, z = (np.concatenate(part) for part in zip(*found, strict=True))
    print(f"coverage {inside.mean():.3f}, sd of z {z.std():.2f}, {len(z)} numbers")
    assert 0.85 < inside.mean() < 0.95
    assert 0.85 < z.std() < 1.15
