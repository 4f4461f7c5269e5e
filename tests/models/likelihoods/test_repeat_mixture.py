"""Kinds of choice: against loops, the beta posterior, and gradients that are numbers."""

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
from tests.support.models import kinds_of_choice


def a_world(seed: int, num_items: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return match, background, (query, item) pairs met before and `repeat_counts`."""
    rng = np.random.default_rng(seed)
    history = rng.integers(0, num_items, (3, 6))
    positions = np.sort(rng.choice(history.size, 5, replace=False))
    pairs = torch.from_numpy(np.stack(repeats_in_catalogue(history, positions)))
    counts = torch.from_numpy(repeat_counts(history, positions)).double()
    return *torch.from_numpy(3 * rng.standard_normal((2, 5, num_items))), pairs, counts


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([None, -2.0, 0.7]), st.sampled_from([None, -1.0, 3.0]))
def test_it_is_the_mixture_of_the_kinds(seed, again, wander):
    match, background, pairs, counts = a_world(seed)
    is_met = torch.zeros_like(match)
    is_met[tuple(pairs)] = 1
    odds = MixtureLogOdds(
        None if again is None else repeat_log_odds(counts, again),
        None if wander is None else torch.full((1, 1), wander).double(),
    )
    found = mixture_log_probs(match, background.clone(), odds, pairs)
    if again is None and wander is None:
        assert torch.equal(found, match + background)
    else:
        torch.testing.assert_close(found, kinds_of_choice(match, background, is_met, counts, again, wander))
        torch.testing.assert_close(found.exp().sum(1), torch.ones(5).double())


def test_leading_dimensions_are_draws():
    match, background, pairs, counts = a_world(1)
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


@pytest.mark.parametrize("wander", [None, -0.4])
def test_gradients_are_those_of_differences(wander):
    match, background, pairs, counts = a_world(2)
    wander = None if wander is None else torch.full((1, 1), wander).double().requires_grad_()
    given = [match.requires_grad_(), background.requires_grad_(), repeat_log_odds(counts).requires_grad_()]

    def scores(match, background, again, *wander):
        return mixture_log_probs(match, background.clone(), MixtureLogOdds(again, wander[0] if wander else None), pairs)

    assert torch.autograd.gradcheck(scores, (*given, *([] if wander is None else [wander])))


def test_who_met_everything_takes_it_again():
    query, item = torch.zeros(4, dtype=torch.int64), torch.arange(4)
    again, wander = torch.zeros(1, 1, requires_grad=True), torch.zeros(1, 1)
    found = mixture_log_probs(
        torch.randn(1, 4), torch.randn(1, 4), MixtureLogOdds(again, wander), torch.stack([query, item])
    )
    torch.testing.assert_close(found.exp().sum(), torch.tensor(0.5))
    found.sum().backward()
    assert again.grad.isfinite().all()


@pytest.mark.parametrize("domain", [-2.0, 0.0, 3.0])
def test_a_habit_is_the_mean_of_a_beta_posterior(domain):
    counts = torch.tensor([[0.0, 0.0], [0.0, 63.0], [20.0, 43.0]])
    share = torch.sigmoid(repeat_log_odds(counts, domain))[:, 0]
    prior = math.exp(domain) * REPEAT_PSEUDO_COUNTS[0], REPEAT_PSEUDO_COUNTS[1]
    expected = [scipy.stats.beta(prior[0] + again, prior[1] + other).mean() for again, other in counts.tolist()]
    np.testing.assert_allclose(share, expected, rtol=1e-6)


def test_of_a_user_of_whom_much_was_seen_the_domain_says_little():
    little, much = (
        repeat_log_odds(torch.tensor([[share, share]]), torch.tensor([-2.0, 2.0])[:, None, None]) for share in (1, 99)
    )
    assert little[1] - little[0] > 1 > 0.05 > much[1] - much[0] > 0


def test_very_different_scores_do_not_overflow():
    met, query = torch.tensor([500.0, -500.0, 900.0]), torch.tensor([0, 0, 1])
    found = repeat_log_probs(met, query, torch.full((2,), 50.0))
    torch.testing.assert_close(found, torch.tensor([0.0, -1000.0, 0.0]))


def test_the_sum_of_new_items_is_that_of_the_others():
    background, pairs = torch.randn(9).double(), torch.tensor([[0, 0, 2, *[3] * 9], [4, 7, 4, *range(9)]])
    found = unseen_logsumexp(background.logsumexp(0), background[pairs[1]], pairs[0], 4)
    new = torch.ones(4, 9, dtype=torch.bool)
    new[pairs[0], pairs[1]] = False
    expected = background.expand(4, 9).masked_fill(~new, -torch.inf).logsumexp(1)
    torch.testing.assert_close(found[:3], expected[:3])
    assert found[3] < expected[:3].min() - 20  # nothing is new but for rounding
