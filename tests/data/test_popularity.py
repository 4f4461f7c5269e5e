from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.popularity import Popularity

EVENTS = st.lists(st.tuples(st.integers(0, 5), st.integers(100, 160)), min_size=1, max_size=60)


def brute_counts(items: np.ndarray, days: np.ndarray, num_items: int, day: int, window: int) -> np.ndarray:
    """The definition, step by step: the window before the day, widened until it holds an event."""
    width = window
    while True:
        inside = (days < day) & (days >= day - width)
        if inside.any() or not (days < day).any():
            return np.bincount(items[inside], minlength=num_items)
        width += 1


@settings(max_examples=150, deadline=None)
@given(EVENTS, st.integers(1, 20), st.sampled_from(["catalogue", "active"]))
def test_counts_and_norms_follow_the_definition(events: list[tuple[int, int]], window: int, normalizer: str) -> None:
    items, days = np.array(events).T
    num_items = 7  # item 6 never occurs
    popularity = Popularity(items, days, num_items, window=window, normalizer=normalizer)
    for day in range(int(days.min()) - 2, int(days.max()) + 40):
        expected = brute_counts(items, days, num_items, day, window)
        slot = popularity.slots(np.array(day))
        counts = popularity.counts(np.arange(num_items), slot)
        np.testing.assert_array_equal(counts, expected)
        size = num_items if normalizer == "catalogue" else max((expected > 0).sum(), 1)
        norms = [(np.sum(expected.astype(float) ** w) / size) ** (1 / w) for w in (1, 2, 3, 4)]
        np.testing.assert_allclose(popularity.norms[slot], norms, rtol=1e-9, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(EVENTS, st.integers(1, 20), st.integers(1, 9), st.data())
def test_all_ways_to_look_up_agree(events: list[tuple[int, int]], window: int, block: int, data: st.DataObject) -> None:
    """Counts of pairs, of all items and of a few items agree, also in blocks smaller than the events of an item."""
    items, days = np.array(events).T
    whole = Popularity(items, days, 7, window=window)
    slots = np.unique(data.draw(st.lists(st.integers(0, whole.num_slots - 1), min_size=1, max_size=8)))
    few = np.array(data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=9)))
    expected = whole.counts(np.arange(7), slots[:, None])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prerec_pyro.data.popularity._BLOCK", block)
        blockwise = Popularity(items, days, 7, window=window)
        np.testing.assert_array_equal(blockwise.counts(np.arange(7), slots[:, None]), expected)
        np.testing.assert_array_equal(blockwise.norms, whole.norms)
    np.testing.assert_array_equal(whole.counts_of_all(slots), expected)
    np.testing.assert_array_equal(whole.counts_of_few(few, slots), expected[:, few])


def test_factors_are_counts_over_norms() -> None:
    items, days = np.array([0, 0, 1]), np.array([10, 10, 11])
    popularity = Popularity(items, days, num_items=4)
    slot = popularity.slots(np.full(4, 12))
    factors = popularity.factors(popularity.counts(np.arange(4), slot), slot)
    expected = [(sum(c**w for c in (2, 1, 0, 0)) / 4) ** (1 / w) for w in (1, 2, 3, 4)]
    np.testing.assert_allclose(factors[0], 2 / np.array(expected), rtol=1e-6)
    np.testing.assert_array_equal(factors[2], 0)


def test_the_day_of_the_query_is_not_counted() -> None:
    popularity = Popularity(np.array([0, 1]), np.array([10, 11]), num_items=2)
    assert popularity.counts(np.array([0, 1]), popularity.slots(np.array(11))).tolist() == [1, 0]


def test_counts_before_the_first_event_are_zero() -> None:
    popularity = Popularity(np.array([0, 1]), np.array([10, 11]), num_items=2)
    slot = popularity.slots(np.array([10]))
    counts = popularity.counts(np.array([0, 1]), slot)
    assert counts.tolist() == [0, 0]
    assert popularity.factors(counts, np.repeat(slot, 2)).tolist() == [[0.0] * 4] * 2


def test_a_domain_without_times_has_one_static_window() -> None:
    popularity = Popularity(np.array([0, 0, 2]), None, num_items=3)
    slots = popularity.slots(np.array([5, 10_000]))
    assert popularity.is_static
    assert slots.tolist() == [1, 1]
    assert popularity.counts(np.arange(3), 1).tolist() == [2, 0, 1]
    np.testing.assert_allclose(popularity.norms[1, 0], 1.0)


def test_memory_does_not_grow_with_days_times_items() -> None:
    rng = np.random.default_rng(0)
    days = rng.integers(0, 4000, 1000)
    popularity = Popularity(rng.integers(0, 100_000, 1000), days, num_items=100_000)
    stored = popularity._keys.nbytes + popularity.norms.nbytes
    assert stored < 200_000  # an array of days × items would have 400 million entries


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.integers(1, 20), st.integers(1, 60), st.sampled_from(["catalogue", "active"]))
def test_another_window_is_that_of_an_index_of_its_own(
    events: list[tuple[int, int]], window: int, days: int, normalizer: str
) -> None:
    items, when = np.array(events).T
    base = Popularity(items, when, 7, window=window, normalizer=normalizer)
    before = base.norms.copy()
    other, own = base.with_window(days), Popularity(items, when, 7, window=days, normalizer=normalizer)
    assert (other.window, base.window, other.normalizer) == (days, window, normalizer)
    np.testing.assert_array_equal(base.norms, before)
    np.testing.assert_array_equal(other.norms, own.norms)
    asked = np.arange(when.min() - 2, when.max() + 90)
    slots = own.slots(asked)
    np.testing.assert_array_equal(other.slots(asked), slots)
    np.testing.assert_array_equal(other.counts_of_all(np.unique(slots)), own.counts_of_all(np.unique(slots)))
    np.testing.assert_array_equal(
        base.counts_of_all(base.slots(asked)),
        Popularity(items, when, 7, window=window, normalizer=normalizer).counts_of_all(base.slots(asked)),
    )


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.integers(1, 20), st.integers(1, 60))
def test_slots_of_one_window_are_days_of_another(events: list[tuple[int, int]], window: int, days: int) -> None:
    """On each day of the log; a later day may share the slot of an earlier one, which has the same events before it."""
    items, when = np.array(events).T
    base = Popularity(items, when, 7, window=window)
    other = base.with_window(days)
    asked = np.unique(when)
    found = other.slots_of(base, base.slots(asked))
    for day, slot in zip(asked, found, strict=True):
        empty = not ((when < day) & (when >= day - window)).any()
        if not empty or day == when.min():
            np.testing.assert_array_equal(other.counts(np.arange(7), slot), brute_counts(items, when, 7, day, days))
        assert other.counts(np.arange(7), slot).sum() <= (when < day).sum()


@settings(max_examples=40, deadline=None)
@given(EVENTS, st.integers(1, 20))
def test_the_mean_count_is_that_over_the_catalogue(events: list[tuple[int, int]], window: int) -> None:
    items, when = np.array(events).T
    for normalizer in ("catalogue", "active"):
        popularity = Popularity(items, when, 7, window=window, normalizer=normalizer)
        slots = np.unique(popularity.slots(np.arange(when.min() - 2, when.max() + 30)))
        np.testing.assert_allclose(popularity.mean_counts(slots), popularity.counts_of_all(slots).mean(axis=1))


def test_all_windows_of_a_domain_without_times_hold_the_whole_log() -> None:
    base = Popularity(np.array([0, 0, 2]), None, num_items=3)
    other = base.with_window(3)
    assert other.slots_of(base, np.array([1, 1])).tolist() == [1, 1]
    np.testing.assert_array_equal(other.counts(np.arange(3), 1), base.counts(np.arange(3), 1))
    np.testing.assert_array_equal(other.norms[1], base.norms[1])


@pytest.mark.parametrize("bad", [{"window": 0}, {"normalizer": "median"}])
def test_invalid_settings_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="expected"):
        Popularity(np.array([0]), np.array([0]), 1, **bad)
