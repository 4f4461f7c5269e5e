from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.batching.windows import MAX_HISTORY, Windows, buckets, exact_windows, training_windows

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=8)
HISTORY = st.integers(1, 10)
SEED = st.integers(0, 10_000)


def offsets_of(lengths: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def reads(windows: Windows) -> list[tuple[int, int, int]]:
    """(target event, first event read, events read) of every query."""
    found = []
    for start, length, number in zip(windows.start, windows.length, windows.num_queries, strict=True):
        assert 1 <= number <= length
        for position in range(length - number, length):
            found.append((int(start + position + 1), int(start), position + 1))
    return sorted(found)


def brute(lengths: list[int], users: list[int], most: int) -> list[tuple[int, int, int]]:
    """Every event but the first of a user is a target; it reads the `most` events just before it."""
    offsets, found = offsets_of(lengths), []
    for user in users:
        for event in range(offsets[user] + 1, offsets[user + 1]):
            first = max(int(offsets[user]), event - most)
            found.append((int(event), first, int(event - first)))
    return sorted(found)


@settings(max_examples=150, deadline=None)
@given(LENGTHS, HISTORY, st.data())
def test_exact_windows_read_exactly_the_most_recent_items(lengths: list[int], most: int, data: st.DataObject) -> None:
    users = data.draw(st.lists(st.integers(0, len(lengths) - 1), unique=True))
    windows = exact_windows(offsets_of(lengths), np.array(users, np.int64), most)
    assert reads(windows) == brute(lengths, users, most)


def test_exact_windows_read_64_items_by_default() -> None:
    lengths = [200, 64, 65, 66, 1]
    windows = exact_windows(offsets_of(lengths), np.arange(5))
    assert MAX_HISTORY == 64
    assert reads(windows) == brute(lengths, list(range(5)), 64)
    assert max(count for _, _, count in reads(windows)) == 64
    # Prefixes share one pass: one window for each user, and one for each query after the first 64.
    assert len(windows) == 4 + (199 - 64) + 1


@settings(max_examples=150, deadline=None)
@given(LENGTHS, HISTORY, SEED)
def test_training_windows_hold_every_query_once(lengths: list[int], most: int, seed: int) -> None:
    offsets = offsets_of(lengths)
    users = np.arange(len(lengths))
    windows = training_windows(offsets, users, np.random.default_rng(seed), most)
    found = reads(windows)
    assert [target for target, _, _ in found] == [target for target, _, _ in brute(lengths, users.tolist(), most)]
    assert windows.length.max(initial=1) <= most
    owner = np.repeat(users, lengths)
    for target, first, _ in found:
        assert owner[first] == owner[target]  # no query reads items of another user
        if lengths[owner[target]] <= most + 1:
            assert first == offsets[owner[target]]  # short sequences are never cut
    assert (windows.num_queries == windows.length).all()


def test_training_windows_cut_long_sequences_anew_each_epoch() -> None:
    rng = np.random.default_rng(0)
    offsets = offsets_of([300])
    cuts = [tuple(training_windows(offsets, np.array([0]), rng).start) for _ in range(20)]
    assert len(set(cuts)) > 10
    for starts in cuts:
        steps = np.diff(starts)
        assert (steps[1:-1] == 64).all()  # only the first and the last block are shorter
        assert 0 < steps[0] <= 64


@pytest.mark.parametrize("lengths", [[], [1, 1]])
def test_users_without_queries_have_no_windows(lengths: list[int]) -> None:
    users = np.arange(len(lengths))
    offsets = offsets_of(lengths)
    rng = np.random.default_rng(0)
    for windows in (exact_windows(offsets, users), training_windows(offsets, users, rng)):
        assert len(windows) == 0
        assert buckets(windows, 100) == []


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 64), min_size=1, max_size=60), st.integers(1, 300), st.booleans(), SEED)
def test_buckets_hold_every_window_once_within_the_bound(
    lengths: list[int], bound: int, shuffled: bool, seed: int
) -> None:
    length = np.array(lengths, np.int64)
    windows = Windows(np.zeros_like(length), length, np.ones_like(length))
    groups = buckets(windows, bound, np.random.default_rng(seed) if shuffled else None)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * length[group].max() <= bound
    in_order = sorted(groups, key=lambda group: (length[group].min(), length[group].max(), -len(group)))
    for group, following in itertools.pairwise(in_order):
        assert length[group].max() <= length[following].min()  # windows of similar length go together
        assert (len(group) + 1) * length[following].min() > bound  # a group is as large as the bound allows


def test_buckets_are_shuffled_only_with_a_generator() -> None:
    length = np.tile(np.arange(1, 9), 20)
    windows = Windows(np.zeros_like(length), length, np.ones_like(length))
    fixed = [group.tolist() for group in buckets(windows, 24)]
    assert fixed == [group.tolist() for group in buckets(windows, 24)]
    assert [length[group].max() for group in fixed] == sorted(length[group].max() for group in fixed)
    rng = np.random.default_rng(0)
    one, other = ([group.tolist() for group in buckets(windows, 24, rng)] for _ in range(2))
    assert one != other
    assert sorted(map(sorted, one)) != sorted(map(sorted, other))  # other groups, not only another order


def test_rows_of_windows() -> None:
    windows = exact_windows(offsets_of([3, 4]), np.arange(2))
    some = windows[np.array([1])]
    assert (some.start.tolist(), some.length.tolist(), some.num_queries.tolist()) == ([3], [3], [3])
