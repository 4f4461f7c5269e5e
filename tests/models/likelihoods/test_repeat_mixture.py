"""Repeat mixture: against loops, the beta posterior, and finite gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.batching.repeats import repeat_counts, repeats_in_catalogue
from prerec_pyro.models.likelihoods.repeat_mixture import (
    REPEAT_PSEUDO_COUNTS,
    MixtureLogOdds,
    mixture_log_probs,
    repeat_log_odds,
    repeat_log_probs,
    unseen_logsumexp,
)
from tests.support.models import brute_force_mixture


def draw_scores(seed: int, num_items: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return match, background, (query, item) pairs of the histories, and `repeat_counts`."""
    rng = np.random.default_rng(seed)
    history = rng.integers(0, num_items, (3, 6))
    positions = np.sort(rng.choice(history.size, 5, replace=False))
    pairs = torch.from_numpy(np.stack(repeats_in_catalogue(history, positions)))
    counts = torch.from_numpy(repeat_counts(history, positions)).double()
    return *torch.from_numpy(3 * rng.standard_normal((2, 5, num_items))), pairs, counts


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-4, 4), st.floats(-4, 4))
def test_it_is_the_mixture_of_its_components(seed: int, repeat: float, background: float) -> None:
    match, rest, pairs, counts = draw_scores(seed)
    is_seen = torch.zeros_like(match)
    is_seen[tuple(pairs)] = 1
    odds = MixtureLogOdds(repeat_log_odds(counts, repeat), torch.full((1, 1), background).double())
    found = mixture_log_probs(match, rest.clone(), odds, pairs)
    torch.testing.assert_close(found, brute_force_mixture(match, rest, is_seen, counts, repeat, background))
    torch.testing.assert_close(found.exp().sum(1), torch.ones(5).double())


def test_leading_dimensions_are_draws() -> None:
    match, background, pairs, counts = draw_scores(1)
    shifts = torch.tensor([-1.0, 0.0, 2.0]).double()[:, None, None]
    found = mixture_log_probs(
        match.expand(3, 5, 7),
        background.expand(3, 5, 7).clone(),
        MixtureLogOdds(repeat_log_odds(counts, shifts), shifts),
        pairs,
    )
    for draw in range(3):
        one = mixture_log_probs(
            match, background.clone(), MixtureLogOdds(repeat_log_odds(counts, shifts[draw]), shifts[draw]), pairs
        )
        torch.testing.assert_close(found[draw], one)


def test_gradients_are_those_of_differences() -> None:
    match, rest, pairs, counts = draw_scores(2)
    background = torch.full((1, 1), -0.4).double().requires_grad_()
    given = [match.requires_grad_(), rest.requires_grad_(), repeat_log_odds(counts).requires_grad_(), background]

    def scores(match, rest, repeat, background):
        return mixture_log_probs(match, rest.clone(), MixtureLogOdds(repeat, background), pairs)

    assert torch.autograd.gradcheck(scores, given)


def test_a_user_who_has_seen_all_items_repeats_with_the_repeat_rate() -> None:
    query, item = torch.zeros(4, dtype=torch.int64), torch.arange(4)
    repeat, background = torch.zeros(1, 1, requires_grad=True), torch.zeros(1, 1)
    found = mixture_log_probs(
        torch.randn(1, 4), torch.randn(1, 4), MixtureLogOdds(repeat, background), torch.stack([query, item])
    )
    torch.testing.assert_close(found.exp().sum(), torch.tensor(0.5))
    found.sum().backward()
    assert repeat.grad.isfinite().all()


@pytest.mark.parametrize("domain", [-2.0, 0.0, 3.0])
def test_the_repeat_rate_is_the_mean_of_a_beta_posterior(domain: float) -> None:
    counts = torch.tensor([[0.0, 0.0], [0.0, 63.0], [20.0, 43.0]])
    share = torch.sigmoid(repeat_log_odds(counts, domain))[:, 0]
    prior = math.exp(domain) * REPEAT_PSEUDO_COUNTS[0], REPEAT_PSEUDO_COUNTS[1]
    expected = [scipy.stats.beta(prior[0] + repeats, prior[1] + other).mean() for repeats, other in counts.tolist()]
    np.testing.assert_allclose(share, expected, rtol=1e-6)


def test_the_domain_counts_little_for_a_user_with_a_long_history() -> None:
    little, much = (
        repeat_log_odds(torch.tensor([[share, share]]), torch.tensor([-2.0, 2.0])[:, None, None]) for share in (1, 99)
    )
    assert little[1] - little[0] > 1 > 0.05 > much[1] - much[0] > 0


def test_very_different_scores_do_not_overflow() -> None:
    seen, query = torch.tensor([500.0, -500.0, 900.0]), torch.tensor([0, 0, 1])
    found = repeat_log_probs(seen, query, torch.full((2,), 50.0))
    torch.testing.assert_close(found, torch.tensor([0.0, -1000.0, 0.0]))


def test_the_sum_over_new_items_is_that_over_all_others() -> None:
    background, pairs = torch.randn(9).double(), torch.tensor([[0, 0, 2, *[3] * 9], [4, 7, 4, *range(9)]])
    found = unseen_logsumexp(background.logsumexp(0), background[pairs[1]], pairs[0], 4)
    new = torch.ones(4, 9, dtype=torch.bool)
    new[pairs[0], pairs[1]] = False
    expected = background.expand(4, 9).masked_fill(~new, -torch.inf).logsumexp(1)
    torch.testing.assert_close(found[:3], expected[:3])
    assert found[3] < expected[:3].min() - 20  # nothing is new but for rounding
