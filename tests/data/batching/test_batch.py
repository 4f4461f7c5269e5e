from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch, candidates_batch, catalogue_batch, epoch, query_batches
from prerec_pyro.data.batching.windows import Windows
from prerec_pyro.data.encoded import EncodedDomain
from tests.support.graphs import all_windows, make_batch, make_encoded

WORLDS = {
    "timed": make_encoded("timed", lengths=(70, 9, 1, 5, 2, 7)),
    "untimed": make_encoded("untimed", lengths=(70, 9, 1, 5, 2, 7), timed=False),
}


@pytest.fixture(params=list(WORLDS))
def world(request: pytest.FixtureRequest) -> EncodedDomain:
    return WORLDS[request.param]


def brute(encoded: EncodedDomain, windows: Windows) -> list[tuple[int, list[int]]]:
    """(target event, events read) of every query, window by window, straight from the log."""
    found = []
    for start, length, number in zip(windows.start, windows.length, windows.num_queries, strict=True):
        for position in range(length - number, length):
            found.append((int(start + position + 1), list(range(start, start + position + 1))))
    return found


def prefix(batch: Batch, query: int) -> list[int]:
    """Item indices that a causal pass reads for a query."""
    row, column = divmod(int(batch.positions[query]), batch.history.shape[1])
    return batch.items[batch.history[row, : column + 1]].tolist()


def factors_of(encoded: EncodedDomain, item: int, slot: int) -> np.ndarray:
    return encoded.popularity.factors(encoded.popularity.counts(np.array([item]), slot), np.array([slot]))[0]


def tensors(batch: Batch) -> dict[str, Tensor]:
    named = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return {name: value for name, value in named.items() if isinstance(value, Tensor)}


def test_histories_targets_and_slots_follow_the_log(world: EncodedDomain) -> None:
    windows = all_windows(world)
    training = make_batch(world, windows)
    catalogue, events = catalogue_batch(world, windows)
    items, expected = world.domain.item_index, brute(world, windows)
    assert events.tolist() == catalogue.events.tolist() == [target for target, _ in expected]
    for batch in (training, catalogue):
        assert batch.num_queries == len(expected)
        assert batch.items[batch.targets].tolist() == [items[target] for target, _ in expected]
        for query, (_, read) in enumerate(expected):
            assert prefix(batch, query) == items[read].tolist()
            assert batch.items[batch.last_items[query]] == items[read[-1]]
        torch.testing.assert_close(batch.texts, world.texts[batch.items])
        assert 0 <= batch.history.min() <= batch.history.max() < len(batch.items)  # padding is valid, too


def test_repeats_are_the_candidates_that_the_query_reads(world: EncodedDomain) -> None:
    windows = all_windows(world)
    catalogue, _ = catalogue_batch(world, windows)
    for batch in (make_batch(world, windows), catalogue):
        candidates = batch.items if batch.negatives is None else batch.items[batch.negatives]
        read = [set(prefix(batch, query)) for query in range(batch.num_queries)]
        expected = [(q, c) for q, seen in enumerate(read) for c, item in enumerate(candidates.tolist()) if item in seen]
        assert sorted(map(tuple, batch.repeats.T.tolist())) == expected
        if batch.target_repeats is not None:
            targets = batch.items[batch.targets].tolist()
            assert batch.target_repeats.tolist() == [item in seen for item, seen in zip(targets, read, strict=True)]


def test_each_pair_has_the_popularity_factors_of_its_time(world: EncodedDomain) -> None:
    windows = all_windows(world)
    catalogue, _ = catalogue_batch(world, windows)
    training = make_batch(world, windows)
    for batch in (training, catalogue):
        rows = torch.arange(len(batch.items)) if batch.negatives is None else batch.negatives
        for query, (target, _) in enumerate(brute(world, windows)):
            slot = int(world.slots[target])
            if batch.target_level is not None:
                own = batch.factors[batch.target_level[query]]
                np.testing.assert_array_equal(own, factors_of(world, world.domain.item_index[target], slot))
            for column, item in enumerate(batch.items[rows].tolist()):
                level = batch.candidate_level[batch.slot[query], column]
                np.testing.assert_array_equal(batch.factors[level], factors_of(world, item, slot))


def test_levels_are_the_distinct_counts_of_a_slot(world: EncodedDomain) -> None:
    batch, _ = catalogue_batch(world, all_windows(world))
    slots = np.unique([world.slots[target] for target, _ in brute(world, all_windows(world))])
    for row, slot in enumerate(slots):
        counts = world.popularity.counts(np.arange(world.num_items), slot)
        np.testing.assert_array_equal(batch.counts[row], counts)
        same = counts[:, None] == counts
        np.testing.assert_array_equal(batch.candidate_level[row][:, None] == batch.candidate_level[row], same)
    assert len(batch.factors) == sum(len(np.unique(row)) for row in batch.counts.numpy())


def test_a_small_catalogue_competes_whole(world: EncodedDomain) -> None:
    windows = all_windows(world)
    whole, _ = catalogue_batch(world, windows, domain=1, first_row=9)
    for asked in (world.num_items, world.num_items + 5):
        batch = make_batch(world, windows[:2], num_negatives=asked, domain=1, first_row=9)
        assert batch.negatives is None
        assert batch.is_training and not whole.is_training
        assert batch.items.tolist() == list(range(world.num_items))
        assert batch.prior_weight.tolist() == [1.0] * world.num_items, "each item stands for itself"
        assert (batch.domain, batch.num_domain_items) == (1, world.num_items)
        assert batch.num_queries < batch.num_domain_queries == whole.num_queries
        some, _ = catalogue_batch(world, windows[:2], domain=1, first_row=9)
        for name in ("item_rows", "texts", "history", "positions", "targets", "slot", "candidate_level", "factors"):
            torch.testing.assert_close(getattr(batch, name), getattr(some, name), rtol=0, atol=0)
        torch.testing.assert_close(batch.repeats, some.repeats, rtol=0, atol=0)
    assert len(make_batch(world, num_negatives=world.num_items - 1).negatives) == world.num_items - 1


def test_rows_point_into_the_table_of_all_domains(timed: EncodedDomain) -> None:
    batch = make_batch(timed, first_row=100, domain=1)
    assert (batch.item_rows - batch.items).unique().tolist() == [100]
    assert batch.domain == 1
    assert batch.items.unique().numel() == len(batch.items)
    history = np.arange(3)[None]
    other = candidates_batch(timed, history, np.array([2]), np.array([5]), domain=1, first_row=100)
    assert other.item_rows.tolist() == list(range(100, 100 + timed.num_items))
    assert (other.targets, other.negatives, other.prior_weight, other.domain) == (None, None, None, 1)


def test_prior_weights_are_unbiased(timed: EncodedDomain) -> None:
    draws, rng = 2000, np.random.default_rng(0)
    windows = all_windows(timed)[:1]
    total = torch.zeros(timed.num_items)
    for _ in range(draws):
        batch = make_batch(timed, windows, seed=rng)
        total[batch.items] += batch.prior_weight
        assert batch.prior_weight.sum().item() == pytest.approx(timed.num_items, rel=1e-5)
        is_negative = torch.isin(torch.arange(len(batch.items)), batch.negatives)
        assert ((batch.prior_weight > 0) == is_negative).all()
    # Every item counts once on average; the standard error of a mean is 0.03.
    np.testing.assert_allclose(total / draws, 1.0, atol=0.12)


def test_negatives_are_uniform_whatever_was_sold() -> None:
    world, rng = make_encoded(num_items=10, sold=2), np.random.default_rng(0)
    drawn = [
        batch.items[batch.negatives] for batch in (make_batch(world, num_negatives=9, seed=rng) for _ in range(2000))
    ]
    share = torch.bincount(torch.cat(drawn), minlength=10) / (9 * 2000)
    np.testing.assert_allclose(share, 0.1, atol=0.012)


def test_a_batch_does_not_grow_with_the_catalogue() -> None:
    small, large = (make_encoded(num_items=n, sold=10) for n in (10, 20_000))
    assert small.domain.item_index.tolist() == large.domain.item_index.tolist()
    for world in (small, large):
        batch = make_batch(world, num_negatives=7)
        rows = batch.history.numel() + batch.num_queries + 7
        assert len(batch.items) <= rows
        assert len(batch.factors) <= batch.candidate_level.numel() + batch.num_queries
        assert sum(value.numel() for value in tensors(batch).values()) <= rows * 30


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(WORLDS)), st.integers(1, 200), st.integers(0, 1000))
def test_an_epoch_holds_every_query_once(name: str, max_tokens: int, seed: int) -> None:
    world = WORLDS[name]
    users, rng = np.array([0, 1, 2, 4]), np.random.default_rng(seed)
    options = {"domain": 3, "first_row": 5, "num_negatives": 4}
    batches = [make() for make in epoch(world, users, **options, max_tokens=max_tokens, rng=rng)]
    ends = [(prefix(b, q)[-1], int(b.items[b.targets[q]])) for b in batches for q in range(b.num_queries)]
    items, offsets = world.domain.item_index, world.domain.offsets
    pairs = [(items[e - 1], items[e]) for u in users for e in range(offsets[u] + 1, offsets[u + 1])]
    assert sorted(ends) == sorted(pairs)
    for batch in batches:
        assert len(batch.history) == 1 or batch.history.numel() <= max_tokens
        assert batch.num_domain_queries == len(pairs)
        assert (batch.num_domain_items, batch.domain, len(batch.negatives)) == (world.num_items, 3, 4)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(WORLDS)), st.integers(1, 3000), st.integers(1, 300))
def test_query_batches_hold_every_query_once_in_bounded_memory(name: str, max_scores: int, max_tokens: int) -> None:
    world = WORLDS[name]
    users = np.array([0, 3, 5])
    events = []
    for batch, targets in query_batches(world, users, max_scores=max_scores, max_tokens=max_tokens):
        events += targets.tolist()
        assert len(batch.history) == 1 or batch.num_queries * world.num_items <= max_scores
        assert len(batch.history) == 1 or batch.history.numel() <= max_tokens
        assert batch.targets.tolist() == world.domain.item_index[targets].tolist()
        for query, event in enumerate(targets):
            first = max(world.domain.offsets[world.domain.user_of_event[event]], event - 64)
            assert prefix(batch, query) == world.domain.item_index[first:event].tolist()
    offsets = world.domain.offsets
    assert sorted(events) == [e for u in users for e in range(offsets[u] + 1, offsets[u + 1])]


def test_batches_move_between_devices_whole(timed: EncodedDomain) -> None:
    catalogue, _ = catalogue_batch(timed, all_windows(timed))
    for batch in (make_batch(timed), catalogue):
        moved = batch.to("meta")
        assert all(value.device.type == "meta" for value in tensors(moved).values())
        assert tensors(moved).keys() == tensors(batch).keys()
        assert all(value.device.type == "cpu" for value in tensors(batch).values())
        assert (moved.domain, moved.num_domain_items, moved.num_domain_queries) == (
            batch.domain,
            batch.num_domain_items,
            batch.num_domain_queries,
        )
