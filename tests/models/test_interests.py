"""Interests of a history: against loops over queries, and the ways to compute them against each other."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch, candidates_batch, catalogue_batch
from prerec_pyro.models.interests import CONTRAST, FADING, Interests, Reading
from tests.support.graphs import all_windows, make_batch, make_encoded

ENCODED = make_encoded("interests").with_other_windows(())
DIM, ITEMS = 5, ENCODED.num_items
EXACT = {"rtol": 1e-9, "atol": 1e-9}

seeds, most = st.integers(0, 2**32 - 1), st.integers(1, 8)
fadings, contrasts = st.floats(0.0, 3.0), st.floats(0.05, 20.0)


def draw(seed: int, *, at_ends: bool = False) -> tuple[Tensor, Batch]:
    """Return V of unit length and queries against all items; with `at_ends` one at the end of each history."""
    rng = np.random.default_rng(seed)
    history = rng.integers(0, ITEMS, (4, rng.integers(2, 7)))
    if at_ends:
        positions = np.arange(1, 5) * history.shape[1] - 1
    else:
        positions = np.sort(rng.choice(history.size, 6, replace=False))
    batch = candidates_batch(ENCODED, history, positions, np.zeros(len(positions), np.int64))
    return unit_vectors(rng, ITEMS, DIM), batch


def unit_vectors(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal(shape)), dim=-1)


def reading(fading: float, contrast: float) -> Reading:
    return Reading(*(torch.full((1, 1), value, dtype=torch.float64) for value in (fading, contrast)))


def weighted_history(batch: Batch, query: int, fading: float, most: int) -> tuple[list[int], np.ndarray]:
    """Return the last items of a query, and their weights."""
    row, last = divmod(int(batch.positions[query]), batch.history.shape[1])
    items = batch.history[row, : last + 1].tolist()[-most:]
    weights = np.array([math.exp(-fading * age) for age in range(len(items))][::-1])
    return items, weights / weights.sum()


def mean_by_hand(V: Tensor, batch: Batch, fading: float, most: int) -> Tensor:
    rows = []
    for query in range(batch.num_queries):
        items, weights = weighted_history(batch, query, fading, most)
        rows.append(sum(weight * V[item] for item, weight in zip(items, weights, strict=True)))
    return torch.stack(rows)


def spread_by_hand(V: Tensor, batch: Batch, fading: float, contrast: float, most: int) -> Tensor:
    rows = []
    for query in range(batch.num_queries):
        items, weights = weighted_history(batch, query, fading, most)
        products = np.array([[float(V[item] @ candidate) for candidate in V] for item in items])
        best = contrast * products.max(0)
        pooled = (np.log(weights @ np.exp(contrast * products - best)) + best) / contrast
        rows.append(torch.from_numpy(pooled - weights @ products))
    return torch.stack(rows)


@settings(max_examples=60, deadline=None)
@given(seeds, most, fadings, st.booleans())
def test_the_mean_is_that_of_a_loop(seed: int, most: int, fading: float, at_ends: bool) -> None:
    V, batch = draw(seed, at_ends=at_ends)
    history, rate = V[batch.history], reading(fading, 1.0).fading
    expected = mean_by_hand(V, batch, fading, most)
    for only_last in {False, at_ends}:
        found = Interests(most).mean(history, batch.positions, rate, only_last=only_last)
        torch.testing.assert_close(found, expected, **EXACT)


@settings(max_examples=60, deadline=None)
@given(seeds, most, fadings, contrasts)
def test_the_spread_is_that_of_a_loop(seed: int, most: int, fading: float, contrast: float) -> None:
    V, batch = draw(seed)
    found = Interests(most).spread(V, reading(fading, contrast), batch)
    assert found.target is None
    assert found.candidates.min() >= 0
    expected = spread_by_hand(V, batch, fading, contrast, most)
    torch.testing.assert_close(found.candidates, expected, rtol=1e-7, atol=1e-7)


def test_the_spread_of_long_vectors_is_that_of_a_loop() -> None:
    """Products reach 120; float32 holds exponentials of up to 88. Each candidate is mixed about its own best match."""
    V, batch = draw(3)
    V = ((V + 2.0) * torch.linspace(1.0, 1.3, ITEMS)[:, None]).float()
    assert 100 < 6.0 * (V @ V.mT).max() < 250
    mine = Interests(20).spread(V, Reading(*(part.float() for part in reading(0.3, 6.0))), batch).candidates
    theirs = spread_by_hand(V.double(), batch, 0.3, 6.0, 20)
    torch.testing.assert_close(mine.double(), theirs, rtol=1e-4, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(seeds, fadings, contrasts)
def test_where_all_interests_are_one_there_is_no_spread(seed: int, fading: float, contrast: float) -> None:
    """One interest; a history of one item; a history of one item again and again."""
    V, batch = draw(seed)
    first = dataclasses.replace(batch, positions=torch.arange(4) * batch.history.shape[1])
    again = dataclasses.replace(batch, history=batch.history[:, :1].expand(-1, batch.history.shape[1]))
    for number, where in ((1, batch), (6, first), (6, again)):
        found = Interests(number).spread(V, reading(fading, contrast), where).candidates
        torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-12)


def test_without_contrast_the_mean_counts_and_with_much_the_nearest_interest() -> None:
    V, batch = draw(0)
    many, fading = Interests(4), 0.3
    none = many.spread(V, reading(fading, 1e-6), batch).candidates
    torch.testing.assert_close(none, torch.zeros_like(none), rtol=0, atol=1e-4)
    much = many.spread(V, reading(fading, 40.0), batch).candidates
    for query in range(batch.num_queries):
        items, weights = weighted_history(batch, query, fading, 4)
        products = V[items] @ V.mT  # (num_interests, num_items)
        nearest = products.max(0).values - torch.from_numpy(weights) @ products
        torch.testing.assert_close(much[query], nearest, rtol=0, atol=0.05)  # log(weight) / contrast
    some = many.spread(V, reading(fading, 3.0), batch).candidates
    assert (some <= many.spread(V, reading(fading, 6.0), batch).candidates + 1e-9).all(), "the spread grows with it"


def test_training_agrees_with_the_full_catalogue() -> None:
    """Sampled negatives and targets have the spread that they have among all items."""
    V = unit_vectors(np.random.default_rng(1), ITEMS, DIM)
    windows = all_windows(ENCODED)
    whole, sampled = catalogue_batch(ENCODED, windows)[0], make_batch(ENCODED, windows, num_negatives=9)
    many, how = Interests(3), reading(0.4, 2.0)
    everything = many.spread(V, how, whole).candidates
    found = many.spread(V[sampled.items], how, sampled)
    torch.testing.assert_close(found.candidates, everything[:, sampled.items[sampled.negatives]], **EXACT)
    torch.testing.assert_close(found.target, everything.gather(1, whole.targets[:, None])[:, 0], **EXACT)
    assert everything.max() > 0.2


def test_leading_dimensions_are_draws() -> None:
    V = unit_vectors(np.random.default_rng(2), 3, ITEMS, DIM)
    fading, contrast = (torch.tensor(values).double()[:, None, None] for values in ([0.1, 0.5, 2.0], [1.0, 3.0, 0.2]))
    many, sampled = Interests(5), make_batch(ENCODED)
    spread = many.spread(V[:, sampled.items], Reading(fading, contrast), sampled)
    history = V[:, sampled.items][:, sampled.history]
    mean = many.mean(history, sampled.positions, fading, only_last=False)
    for number in range(3):
        how = Reading(fading[number], contrast[number])
        one = many.spread(V[number, sampled.items], how, sampled)
        torch.testing.assert_close(spread.candidates[number], one.candidates, **EXACT)
        torch.testing.assert_close(spread.target[number], one.target, **EXACT)
        alone = many.mean(history[number], sampled.positions, how.fading, only_last=False)
        torch.testing.assert_close(mean[number], alone, **EXACT)


def test_gradients_are_those_of_differences() -> None:
    V, batch = draw(4)
    late = dataclasses.replace(batch, positions=torch.arange(1, 5) * batch.history.shape[1] - 1)
    given = [V.requires_grad_(), *(part.requires_grad_() for part in reading(0.3, 2.0))]
    many = Interests(4)
    assert torch.autograd.gradcheck(lambda V, *how: many.spread(V, Reading(*how), late).candidates, given)


def test_a_domain_moves_how_its_histories_are_read() -> None:
    """Effect scales are e-folds of the rate and of the contrast; at 0 they are those before training."""
    many = Interests(4)
    at_zero, moved = (many.reading(torch.full((1, 1), by), torch.full((1, 1), -by)) for by in (0.0, 0.5))
    for value, start in ((at_zero.fading, FADING), (at_zero.contrast, CONTRAST)):
        assert value.item() == pytest.approx(start)
    assert moved.fading.item() == pytest.approx(FADING * math.exp(0.5))
    assert moved.contrast.item() == pytest.approx(CONTRAST * math.exp(-0.5))


def test_the_length_of_U_grows_with_the_number_of_interests() -> None:
    interests = Interests(6)
    factor = interests.sharpness(torch.tensor([0, 3, 8 + 1, 8 + 7]), length=8)
    expected = torch.tensor([1 / 4, 4 / 4, 2 / 4, 6 / 4]) ** interests.growth  # at most six interests are read
    torch.testing.assert_close(factor[:, 0], expected)
