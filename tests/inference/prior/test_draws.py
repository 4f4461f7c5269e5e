"""Draws from the priors of D and S: moments, seeds, Sobol points, refusals."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from prerec_pyro.errors import InputError
from prerec_pyro.inference.prior.draws import prior_draws
from prerec_pyro.models.priors import Laplace, Normal, Priors, StudentT
from tests.support.models import DIM, PRIORS, small_graph


@pytest.mark.parametrize("sampling", ["monte-carlo", "sobol"])
def test_draws_have_the_moments_of_the_prior(sampling: str) -> None:
    draws = prior_draws(small_graph(), 4096, nodes=("D", "S"), sampling=sampling)
    assert (draws["D"].shape, draws["S"].shape) == ((4096, DIM), (4096, 6))
    for node, scale in (("D", PRIORS.D.scale), ("S", 1.0)):
        assert draws[node].mean(0).abs().max() < 0.07 * scale
        torch.testing.assert_close(draws[node].std(0), torch.full((draws[node].shape[1],), scale), rtol=0.05, atol=0)


def test_sobol_points_average_better_than_random_ones() -> None:
    errors = {
        sampling: torch.stack(
            [prior_draws(small_graph(), 64, sampling=sampling, seed=seed)["D"].mean(0) for seed in range(10)]
        ).std()
        for sampling in ("monte-carlo", "sobol")
    }
    assert errors["sobol"] < errors["monte-carlo"] / 3


def test_auto_falls_back_to_random_draws_for_a_prior_without_an_inverse() -> None:
    graph = small_graph(priors=dataclasses.replace(PRIORS, D=StudentT(df=4, scale=0.5)))
    auto, random = (prior_draws(graph, 8, sampling=sampling)["D"] for sampling in ("auto", "monte-carlo"))
    assert torch.equal(auto, random)
    with pytest.raises(InputError, match="the prior of D has no inverse"):
        prior_draws(graph, 8, sampling="sobol")
    for prior in (Normal(0.5), Laplace(0.5)):
        prior_draws(small_graph(priors=dataclasses.replace(PRIORS, D=prior)), 8, sampling="sobol")


@pytest.mark.parametrize("sampling", ["monte-carlo", "sobol"])
def test_draws_of_D_and_S_are_independent(sampling: str) -> None:
    draws = prior_draws(small_graph(), 4096, nodes=("D", "S"), sampling=sampling)
    correlation = torch.corrcoef(torch.cat([draws["D"], draws["S"]], dim=1).mT)
    assert (correlation - torch.eye(len(correlation))).abs().max() < 0.1


@pytest.mark.parametrize("sampling", ["monte-carlo", "sobol"])
def test_the_seed_decides_the_draws_and_no_other_random_number(sampling: str) -> None:
    graph = small_graph()
    state = torch.get_rng_state()
    one, same, other = (prior_draws(graph, 4, sampling=sampling, seed=seed)["D"] for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="num_draws is 0"):
        prior_draws(small_graph(), 0)
    with pytest.raises(InputError, match="expected 'auto', 'monte-carlo' or 'sobol'"):
        prior_draws(small_graph(), 4, sampling="halton")
    with pytest.raises(InputError, match="prior draws of Q: expected some of D, S"):
        prior_draws(small_graph(), 4, nodes=("Q",))
    with pytest.raises(InputError, match="of D and S the graph of this model has none"):
        prior_draws(small_graph(graph="unconfounded", priors=Priors()), 4)
