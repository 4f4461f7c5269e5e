"""Ages of items and the popularity of newcomers, against counts by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from prerec_pyro.data import newcomers
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.newcomers import (
    UNKNOWN,
    ItemAges,
    NewcomerPopularity,
    Newcomers,
    first_days,
    newcomer_popularity,
)
from prerec_pyro.data.popularity import Popularity
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.errors import InputError

WINDOW = 4


def make(events: list[tuple[int, int]], num_items: int, first_seen: list[int] | None = None, name: str = "s") -> Domain:
    """A domain of (day, item) events, all of one user."""
    events = sorted(events)
    days, items = (np.array(column) for column in zip(*events, strict=True))
    ids = [f"i{item}" for item in range(num_items)]
    times = 1_000 + days * SECONDS_PER_DAY
    return Domain(name, ids, ids, ["u"], [0, len(days)], items, times, first_seen=first_seen)


def drawn(seed: int, *, listed: bool = False, name: str = "s") -> Domain:
    rng = np.random.default_rng(seed)
    born = rng.integers(0, 40, 30)
    events = [(day, item) for item in range(30) for day in range(100 + born[item], 145) if rng.random() < 0.4]
    first_seen = np.where(rng.random(30) < 0.5, 100 + born - rng.integers(0, 3, 30), -1) if listed else None
    return make(events, 33, None if first_seen is None else [*first_seen, 120, -1, -1], name)


def index(domain: Domain) -> Popularity:
    return Popularity(domain.item_index, domain.days, domain.num_items, window=WINDOW)


def test_the_first_day_is_the_earlier_of_listing_and_event() -> None:
    domain = make([(10, 0), (12, 1), (12, 2)], 4)
    assert first_days(domain).tolist() == [10, 12, 12, UNKNOWN]
    assert first_days(dataclasses.replace(domain, first_seen=[5, 20, -1, 7])).tolist() == [5, 12, 12, 7]
    untimed = dataclasses.replace(domain, timestamps=None)
    assert first_days(untimed).tolist() == [UNKNOWN] * 4


@pytest.mark.parametrize("listed", [False, True])
def test_ages_are_those_that_can_be_known_at_a_slot(listed: bool) -> None:
    domain = drawn(1, listed=listed)
    popularity = index(domain)
    slots = np.array([0, 3, 4, 20, 21, popularity.last_slot])
    found = ItemAges(domain, popularity).at(slots)
    for row, slot in enumerate(slots.tolist()):
        today = popularity.first_day + slot
        for item in range(domain.num_items):
            past = [day for day, other in zip(domain.days, domain.item_index, strict=True) if other == item]
            past = [int(day) for day in past if day < today]
            expected = UNKNOWN
            if listed and domain.first_seen[item] >= 0:
                expected = today - min([int(domain.first_seen[item]), *past])
                if slot == popularity.last_slot:
                    expected = max(expected, 0)
            elif past:
                expected = today - min(past)
                if min(past) < popularity.first_day + WINDOW:
                    expected = max(expected, WINDOW)
            assert found[row, item] == expected, (slot, item)


def test_later_events_change_no_age() -> None:
    domain = drawn(2)
    popularity = index(domain)
    slot = np.array([20])
    ages = ItemAges(domain, popularity).at(slot)
    early = domain.days < popularity.first_day + 20
    cut = dataclasses.replace(
        domain,
        offsets=[0, early.sum()],
        item_index=domain.item_index[early],
        timestamps=domain.timestamps[early],
    )
    assert np.array_equal(ItemAges(cut, index(cut)).at(slot), ages)


def test_a_domain_without_times_knows_no_ages() -> None:
    domain = dataclasses.replace(make([(10, 0), (11, 1)], 3, [9, -1, 9]), timestamps=None)
    ages = ItemAges(domain, index(domain)).at(np.array([1]))
    assert (ages[0, :2] >= WINDOW).all()
    assert ages[0, 2] == UNKNOWN
    bare = Domain("bare", ["a"], ["A"], [], [0], [], first_seen=[5])
    assert ItemAges(bare, index(bare)).at(np.array([1])).tolist() == [[UNKNOWN]]


def by_hand(domain: Domain) -> tuple[list[float], list[float], float, float]:
    """Events of items of each age, and those of as many mean items, day by day and item by item."""
    days, items = domain.days.tolist(), domain.item_index.tolist()
    start, end = min(days), max(days)
    first = {item: min(day for day, other in zip(days, items, strict=True) if other == item) for item in set(items)}
    events, expected = [0.0] * WINDOW, [0.0] * WINDOW
    unseen = unseen_expected = 0.0
    for today in range(start, end + 1):
        mean = days.count(today) / domain.num_items
        for item in range(domain.num_items):
            own = sum(1 for day, other in zip(days, items, strict=True) if (day, other) == (today, item))
            listing = -1 if domain.first_seen is None else domain.first_seen[item]
            if listing >= 0:
                age, youngest = today - min(listing, first.get(item, listing)), 0
            elif first.get(item, end + 1) >= today:  # no event before today
                if today >= start + WINDOW:
                    unseen, unseen_expected = unseen + own, unseen_expected + mean
                continue
            elif first[item] < start + WINDOW:
                continue
            else:
                age, youngest = today - first[item], 1
            if youngest <= age < WINDOW:
                events[age] += own
                expected[age] += mean
    return events, expected, unseen, unseen_expected


@pytest.mark.parametrize("listed", [False, True])
def test_the_table_of_one_source_is_a_ratio_of_events(monkeypatch, listed: bool) -> None:
    monkeypatch.setattr(newcomers, "FEWEST_EVENTS", 0.1)
    domain = drawn(3, listed=listed)
    found = newcomer_popularity([domain], window=WINDOW)
    events, expected, unseen, unseen_expected = by_hand(domain)
    first = 0 if listed else 1
    for age in range(first, WINDOW):
        assert math.isclose(found.by_age[age], (events[age] + 0.5) / (expected[age] + 0.5)), age
    if not listed:
        assert found.by_age[0] == found.by_age[1]
    assert math.isclose(found.unseen, (unseen + 0.5) / (unseen_expected + 0.5))
    assert (len(found.by_age), found.num_domains) == (WINDOW, 1)


def test_sources_have_one_voice_each(monkeypatch) -> None:
    monkeypatch.setattr(newcomers, "FEWEST_EVENTS", 0.1)
    one, other = drawn(3), drawn(4, name="t")
    alone = [newcomer_popularity([domain], window=WINDOW) for domain in (one, other)]
    both = newcomer_popularity([one, other], window=WINDOW)
    assert np.allclose(both.by_age, np.sqrt(alone[0].by_age * alone[1].by_age))
    assert math.isclose(both.unseen, math.sqrt(alone[0].unseen * alone[1].unseen))
    untimed = dataclasses.replace(other, timestamps=None)
    timed = newcomer_popularity([one, untimed], window=WINDOW)
    assert timed.as_array().tolist() == alone[0].as_array().tolist()


def test_sources_that_know_too_little_raise_nothing() -> None:
    few = make([(day, day % 3) for day in range(10, 30)], 3)
    found = newcomer_popularity([few], window=WINDOW)
    assert (found.by_age.tolist(), found.unseen, found.num_domains) == ([0.0] * WINDOW, 0.0, 0)
    assert newcomer_popularity([], window=1).by_age.tolist() == [0.0]
    with pytest.raises(ValueError, match="window is 0 days"):
        newcomer_popularity([few], window=0)


def test_a_constant_rate_is_found_again() -> None:
    """Items that sell at three times the rate of the mean item from their second day on."""
    rng = np.random.default_rng(0)
    old = [(day, int(item)) for day in range(100, 400) for item in rng.integers(0, 50, 100)]
    events, rate = list(old), 3 * 100 / 80
    for item in range(50, 80):
        born = 110 + 9 * (item - 50)
        events.append((born, item))
        for day in range(born + 1, born + WINDOW):
            events += [(day, item)] * rng.poisson(rate)
    found = newcomer_popularity([make(events, 80)], window=WINDOW)
    assert np.allclose(found.by_age, 3, rtol=0.25)


def test_young_items_count_what_items_of_their_age_have_on_the_days_that_they_lack() -> None:
    learnt = NewcomerPopularity(np.array([2.0, 1.5, 1.0]), unseen=0.25, num_domains=4)
    counts = np.array([[4, 0, 0, 0, 0, 0, 1, 3]])  # a mean of 1
    ages = np.array([[0, 0, 2, 3, -1, UNKNOWN, 1, 1]])
    assert learnt.raised(counts, ages, WINDOW).tolist() == [[6, 2, 0.5, 0, 0, 0.25, 1 + 1.125, 3 + 1.125]]
    assert learnt.raised(counts, ages, 2).tolist() == [[6, 2, 0, 0, 0, 0.25, 1.75, 3.75]]
    assert learnt.raised(0 * counts, ages, WINDOW).tolist() == [[0.0] * 8]
    popularity = Popularity(np.array([0] * 4 + [6] + [7] * 3), np.full(8, 10), 8, window=WINDOW)
    factors = popularity.factors(learnt.raised(counts, ages, WINDOW), np.full((1, 1), 1))
    assert factors.shape == (1, 8, 4)
    assert np.allclose(factors[0, 1], 2 / popularity.norms[1])


@pytest.mark.parametrize("listed", [False, True])
def test_newcomers_are_found_among_all_items_and_among_some(listed: bool) -> None:
    domain = drawn(5, listed=listed)
    popularity = index(domain)
    learnt = NewcomerPopularity(np.array([2.0, 1.5, 1.0]), unseen=0.25, num_domains=4)
    newcomers, ages = Newcomers(domain, popularity, learnt), ItemAges(domain, popularity)
    items = np.array([4, 32, 4, 0, 30])
    for slots in (np.array([3]), np.array([12, 20, 31]), np.array([popularity.last_slot])):
        expected = ages.at(slots)
        is_young = (expected == UNKNOWN) | ((expected >= 0) & (expected < 3))
        kinds = np.where(is_young, np.where(expected == UNKNOWN, 3, expected), -1)
        np.testing.assert_array_equal(newcomers.kinds(np.arange(33), slots[:, None]), kinds)
        for some, among in ((kinds, newcomers.among(slots)), (kinds[:, items], newcomers.among(slots, items))):
            found = np.full(some.shape, -1)
            found[among.row, among.column] = among.kind
            np.testing.assert_array_equal(found, some)
            assert (some >= 0).any()
        lacking = newcomers.lacking(popularity, slots)
        counts = popularity.counts_of_all(slots)
        raised = counts + np.where(kinds >= 0, np.take_along_axis(lacking, np.maximum(kinds, 0), 1), 0)
        np.testing.assert_allclose(raised, learnt.raised(counts, expected, WINDOW))


def test_the_table_is_one_array() -> None:
    learnt = NewcomerPopularity(np.array([2.0, 1.5]), 0.25, 4)
    assert learnt.as_array().tolist() == [2.0, 1.5, 0.25, 4.0]
    again = NewcomerPopularity.from_array(learnt.as_array())
    assert (again.by_age.tolist(), again.unseen, again.num_domains) == ([2.0, 1.5], 0.25, 4)
    for damaged in ([], [1.0, 2.0], [[1.0, 2.0, 3.0]], [-1.0, 1.0, 2.0], [1.0, math.nan, 2.0]):
        with pytest.raises(InputError, match="popularity of newcomers: damaged"):
            NewcomerPopularity.from_array(np.array(damaged))
