from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.batching.batch import candidates_batch, catalogue_batch, query_batches
from prerec_pyro.data.batching.windows import Windows
from prerec_pyro.data.encoded import EncodedDomain, encode_domain
from tests.support.batches import prefix, tensors
from tests.support.graphs import all_windows, make_batch, make_domain, make_encoded

WORLDS = {
    "timed": make_encoded("timed", lengths=(70, 9, 1, 5, 2, 7)),
    "untimed": make_encoded("untimed", lengths=(70, 9, 1, 5, 2, 7), timed=False),
}


@pytest.fixture(params=list(WORLDS))
def world(request: pytest.FixtureRequest) -> EncodedDomain:
    return WORLDS[request.param]


def brute(encoded: EncodedDomain, windows: Windows) -> list[tuple[int, list[int]]]:
    """(target event, events read) of every query, window by window, directly from the log."""
    found = []
    for start, length, number in zip(windows.start, windows.length, windows.num_queries, strict=True):
        for position in range(length - number, length):
            found.append((int(start + position + 1), list(range(start, start + position + 1))))
    return found


def factors_of(encoded: EncodedDomain, item: int, slot: int) -> np.ndarray:
    return encoded.popularity.factors(encoded.popularity.counts(np.array([item]), slot), np.array([slot]))[0]


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
        assert 0 <= batch.history.min() <= batch.history.max() < len(batch.items)  # padding is valid too


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


def in_window(world: EncodedDomain, number: int, items: np.ndarray, slot: int) -> np.ndarray:
    """F of items in a window, ``(num_items, 4)``, the slot being one of the domain's own window."""
    popularity = world.other_popularity[number]
    own = popularity.slots_of(world.popularity, np.full(len(items), slot))
    return popularity.factors(popularity.counts(items, own), own)


def test_each_pair_has_the_popularity_factors_of_its_time_in_every_window(world: EncodedDomain) -> None:
    windows = all_windows(world)
    for batch in (make_batch(world, windows), catalogue_batch(world, windows)[0]):
        rows = torch.arange(len(batch.items)) if batch.negatives is None else batch.negatives
        assert batch.level_window.tolist() == sorted(batch.level_window.tolist())
        assert len(batch.window_level) == len(world.other_windows) == 3
        for number, level in enumerate(batch.window_level):
            assert (batch.level_window[level] == number + 1).all()
            for query, (target, _) in enumerate(brute(world, windows)):
                slot = int(world.slots[target])
                if batch.target_window_level is not None:
                    own = batch.factors[batch.target_window_level[number, query]]
                    item = world.domain.item_index[[target]]
                    np.testing.assert_array_equal(own, in_window(world, number, item, slot)[0])
                found = batch.factors[level[batch.slot[query]]]
                np.testing.assert_array_equal(found, in_window(world, number, batch.items[rows].numpy(), slot))


def test_effects_are_summed_over_the_windows(world: EncodedDomain) -> None:
    windows = all_windows(world)
    for batch in (make_batch(world, windows), catalogue_batch(world, windows)[0]):
        effect = torch.randn(2, len(batch.factors))
        found = batch.item_effects(effect)
        assert found.shape == (2, *batch.candidate_level.shape)
        for slot, row in enumerate(batch.candidate_level.tolist()):
            for column, level in enumerate(row):
                levels = [level, *batch.window_level[:, slot, column].tolist()]
                torch.testing.assert_close(found[:, slot, column], effect[:, levels].sum(1))
        if batch.target_level is not None:
            own = batch.target_effects(effect)
            for query, level in enumerate(batch.target_level.tolist()):
                levels = [level, *batch.target_window_level[:, query].tolist()]
                torch.testing.assert_close(own[:, query], effect[:, levels].sum(1))


def test_a_batch_without_other_windows_is_that_of_a_domain_without_them(world: EncodedDomain) -> None:
    windows, alone = all_windows(world), world.with_other_windows(())
    for many, one in (
        (make_batch(world, windows), make_batch(alone, windows)),
        (catalogue_batch(world, windows)[0], catalogue_batch(alone, windows)[0]),
    ):
        found = many.without_other_windows()
        assert one.without_other_windows() is one
        assert found.window_level is found.target_window_level is None
        assert tensors(found).keys() == tensors(one).keys()
        for name, value in tensors(one).items():
            assert torch.equal(tensors(found)[name], value), name
        effect = torch.randn(len(one.factors))
        torch.testing.assert_close(found.item_effects(effect), effect[one.candidate_level])
        if one.target_level is not None:
            torch.testing.assert_close(found.target_effects(effect), effect[one.target_level])


def test_levels_are_the_distinct_counts_of_a_slot(world: EncodedDomain) -> None:
    batch, _ = catalogue_batch(world, all_windows(world))
    slots = np.unique([world.slots[target] for target, _ in brute(world, all_windows(world))])
    for row, slot in enumerate(slots):
        counts = world.popularity.counts(np.arange(world.num_items), slot)
        np.testing.assert_array_equal(batch.counts[row], counts)
        same = counts[:, None] == counts
        np.testing.assert_array_equal(batch.candidate_level[row][:, None] == batch.candidate_level[row], same)
    own = batch.without_other_windows()
    assert len(own.factors) == sum(len(np.unique(row)) for row in batch.counts.numpy())


def test_rows_point_into_the_table_of_all_domains(timed: EncodedDomain) -> None:
    batch = make_batch(timed, first_row=100, domain=1)
    assert (batch.item_rows - batch.items).unique().tolist() == [100]
    assert batch.domain == 1
    assert batch.items.unique().numel() == len(batch.items)
    history = np.arange(3)[None]
    other = candidates_batch(timed, history, np.array([2]), np.array([5]), domain=1, first_row=100)
    assert other.item_rows.tolist() == list(range(100, 100 + timed.num_items))
    assert (other.targets, other.negatives, other.prior_weight, other.domain) == (None, None, None, 1)


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


def test_query_batches_are_as_full_as_the_bound_allows() -> None:
    """A long sequence does not make the batches of the short ones small."""
    world = make_encoded("mixed", lengths=(40, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2))
    bound = 41
    sizes = [
        batch.num_queries
        for batch, _ in query_batches(world, np.arange(11), max_scores=bound * world.num_items, max_tokens=4096)
    ]
    for before, after in pairwise(sizes):
        assert before + after > bound or before == 1 or after == 39
    assert sum(sizes) == 39 + 5 * 2 + 5
    assert len(sizes) <= 3


def test_batches_move_between_devices(timed: EncodedDomain) -> None:
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


def test_covariates_of_all_items_and_on_another_device() -> None:
    price = np.arange(12, dtype=np.float32)
    encoded = encode_domain(make_domain().with_item_covariates(price=price))
    catalogue, _ = catalogue_batch(encoded, all_windows(encoded))
    candidates = candidates_batch(encoded, np.arange(3)[None], np.array([2]), np.array([5]))
    queries = [batch for batch, _ in query_batches(encoded, np.arange(10))]
    for batch in (catalogue, candidates, *queries):
        np.testing.assert_array_equal(batch.covariates["price"], price)
        moved = batch.to("meta")
        assert moved.covariates["price"].device.type == "meta"
        assert batch.covariates["price"].device.type == "cpu"
    assert catalogue_batch(make_encoded(), all_windows(make_encoded()))[0].covariates == {}
