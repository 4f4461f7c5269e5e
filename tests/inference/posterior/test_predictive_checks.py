"""Predictive checks: calibration of right and wrong models, ranks, averages over draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from prerec_pyro.inference.posterior.fit import infer_posterior
from prerec_pyro.inference.posterior.predictive_checks import PredictiveChecks, _check_batch, held_out_checks
from prerec_pyro.inference.posterior.program import DomainProgram
from prerec_pyro.inference.posterior.result import Posterior
from prerec_pyro.inference.posterior.subsample import sample_log
from prerec_pyro.inference.prior.synthetic_domain import draw_domain, draw_latents
from prerec_pyro.inference.trained_domains import TrainedDomains
from tests.support.models import small_encoded, small_graph

ENCODED = small_encoded(num_items=15, num_users=40)


def point_posterior(latents: dict[str, torch.Tensor]) -> Posterior:
    draws = {site: value[None].float() for site, value in latents.items()}  # D and S are (1, n): one chain, one draw
    return Posterior("delta", "drawn", draws)


def checks_of(sharpness: float = 1.0) -> PredictiveChecks:
    """Checks of the latents that a domain was drawn with, with U·V multiplied by `sharpness`."""
    graph = small_graph(num_domains=1).eval()
    torch.manual_seed(0)
    latents = draw_latents(graph)
    texts = np.random.default_rng(0).normal(size=(25, 6)).astype(np.float32) / 6**0.5
    encoded, _ = draw_domain(graph, latents, texts, num_users=250, num_days=4, seed=0)
    latents["S"][0, 0] += np.log(sharpness) / float(graph.likelihood.spread[0])
    return held_out_checks(graph, TrainedDomains(), encoded, point_posterior(latents), np.arange(250), queries=10_000)


def test_levels_are_uniform_if_the_model_is_right() -> None:
    right = checks_of()
    assert len(right) == 750
    assert kstest(right.level, "uniform").pvalue > 0.01
    assert abs(right.miscalibration()) < 0.06
    assert np.median(right.drawn_popularity) == pytest.approx(np.median(right.chosen_popularity), abs=4)


def test_an_overconfident_model_falls_below_the_diagonal() -> None:
    assert checks_of(sharpness=8.0).miscalibration() < -0.1
    assert checks_of(sharpness=0.2).miscalibration() > checks_of().miscalibration()


def test_level_and_rank_by_hand() -> None:
    p = torch.tensor([[0.5, 0.2, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25]], dtype=torch.float64)
    counts = torch.tensor([[4, 3, 2, 1], [8, 7, 6, 5]])
    levels = [_check_batch(p, torch.tensor([1, 3]), counts, torch.Generator().manual_seed(s))[0] for s in range(300)]
    first, second = torch.stack(levels).unbind(1)
    assert 0.5 <= float(first.min()) < 0.51 and 0.89 < float(first.max()) <= 0.9, (
        "0.5 above the item, and 0.4 with its tie"
    )
    assert float(second.min()) < 0.05 and float(second.max()) > 0.95
    _, rank, chosen, drawn, listed = _check_batch(p, torch.tensor([1, 3]), counts, torch.Generator())
    assert rank.tolist() == [2, 1]
    assert chosen.tolist() == [3, 5]
    assert drawn.shape == (2,)
    assert sorted(listed[0].tolist()) == [1, 2, 3, 4]


def test_probabilities_are_averaged_over_draws() -> None:
    graph = small_graph().eval()
    found = infer_posterior(graph, TrainedDomains(), ENCODED, np.arange(20), "laplace", draws=6)
    users = np.arange(20, 40)
    checks = held_out_checks(graph, TrainedDomains(), ENCODED, found, users, queries=10_000, num_draws=6)
    assert checks.num_draws == 6
    assert checks.num_users <= 20
    program, sample = DomainProgram(graph, {}), sample_log(ENCODED, users, max_log=None, queries=10_000)
    rank = []
    for batch in sample.batches(sample.evaluated):
        ready, draws = program.ready(batch), found.draws
        p = torch.stack([program.choice({s: v[:, i] for s, v in draws.items()}, ready).probs for i in range(6)]).mean(0)
        rank.append(1 + (p > p.gather(1, batch.targets[:, None]) + 1e-7).sum(1))
    np.testing.assert_allclose(checks.rank, torch.cat(rank), atol=1)
