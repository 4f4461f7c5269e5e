"""Newcomers: the age of items, and the popularity that items of an age have in other domains.

A new item has no events, so its count is 0 and any ranking by popularity buries it. `newcomer_popularity` learns from
source domains how popular items of each age are, relative to the mean item. `Newcomers` raises the counts of the young
items of a domain by what they lack: for the days of a popularity window on which an item was not there yet, it gets
what items of its age have.

The table holds one number an age, not the four factors F: all four are the same count over different norms, and the
ratios of the norms are a domain's own. A raised count gives the four factors by `Popularity.factors`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.popularity import Popularity
from prerec_pyro.errors import InputError

UNKNOWN = -(1 << 30)
"""Day, and age, of an item that has no day of listing and no event so far."""
FEWEST_EVENTS = 20
"""Number of events that one would expect of mean items, from which on a source has a say at an age."""


def first_days(domain: Domain) -> np.ndarray:
    """Return the day on which each item was first seen, ``(num_items,)`` int64 days since 1970 UTC.

    That is its day of listing (``domain.first_seen``) or its first event, whichever is earlier; `UNKNOWN` if an item
    has neither, or the events have no times.

    Examples
    --------
    >>> seconds = [864_000, 1_728_000]
    >>> domain = Domain("shop", ["a", "b", "c"], ["A", "B", "C"], ["u"], [0, 2], [0, 1], seconds)
    >>> first_days(domain).tolist() == [10, 20, UNKNOWN]
    True
    """
    never = np.iinfo(np.int64).max
    days = _first_events(domain, never)
    if domain.first_seen is not None:
        days = np.where(domain.first_seen < 0, days, np.minimum(days, domain.first_seen))
    return np.where(days == never, UNKNOWN, days)


def _first_events(domain: Domain, never: int) -> np.ndarray:
    days = np.full(domain.num_items, never, np.int64)
    if domain.days is not None:
        np.minimum.at(days, domain.item_index, domain.days.astype(np.int64))
    return days


class ItemAges:
    """Ages of the items of a domain, as far as they are known at a time slot.

    Where an item has no day of listing, its first event stands for it. Only the past counts: an item without a day of
    listing and without an event before a slot is of `UNKNOWN` age there, also if it has events later. If its first
    event lies in the first window of the log, it may be of any age, and counts as old. Days with an empty window share
    the slot of an earlier day, see `Popularity.slots`, and its ages.

    Parameters
    ----------
    domain
        The domain.
    popularity
        Its popularity index, which numbers the slots.

    Examples
    --------
    >>> days = np.array([10, 38, 40])
    >>> domain = Domain("shop", ["a", "b"], ["A", "B"], ["u"], [0, 3], [0, 0, 1], days * 86_400)
    >>> popularity = Popularity(domain.item_index, domain.days, 2, window=15)
    >>> ItemAges(domain, popularity).at(popularity.slots([40, 41])).tolist() == [[30, UNKNOWN], [31, 1]]
    True
    """

    def __init__(self, domain: Domain, popularity: Popularity) -> None:
        never = 1 << 40
        self.window = popularity.window
        self.num_items = domain.num_items
        self._last_slot = popularity.last_slot
        self._events = _first_events(domain, never) - popularity.first_day  # (num_items,) slots
        if popularity.is_static:  # an item with an event has it before the only slot, and is old
            self._events[np.bincount(domain.item_index, minlength=domain.num_items) > 0] = 0
        self._is_listed = np.zeros(domain.num_items, bool)
        self._listed = np.full(domain.num_items, never)
        if domain.first_seen is not None and not popularity.is_static:
            self._is_listed = domain.first_seen >= 0
            self._listed[self._is_listed] = domain.first_seen[self._is_listed] - popularity.first_day

    def at(self, slots: np.ndarray) -> np.ndarray:
        """Return the age of each item in each slot, ``(len(slots), num_items)`` int64 days; see `of`."""
        return self.of(np.arange(self.num_items), np.asarray(slots).reshape(-1, 1))

    def of(self, items: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Return ages as int64 days; `items` and `slots` broadcast against each other.

        The age of an item that is listed later is negative, except in the last slot, the time to recommend at: what is
        in the catalogue then is listed, and new.
        """
        slot = np.asarray(slots, dtype=np.int64)
        since_event, since_listing = slot - self._events[items], slot - self._listed[items]
        happened = since_event > 0
        age = np.where(happened, since_event, UNKNOWN)
        age = np.where(happened & (self._events[items] < self.window), np.maximum(age, self.window), age)
        since_listing = np.where(slot >= self._last_slot, np.maximum(since_listing, 0), since_listing)
        listed_age = np.where(happened, np.maximum(since_event, since_listing), since_listing)
        return np.where(self._is_listed[items], listed_age, age)

    def may_be_young(self, slots: np.ndarray, below: int) -> np.ndarray:
        """Return a mask of the items that may be younger than `below` days, or of unknown age, in some of the slots."""
        if not len(slots):
            return np.zeros(self.num_items, bool)
        first = np.minimum(self._events, np.minimum(self._listed, self._last_slot))
        is_unseen = ~self._is_listed & (self._events >= slots.min())
        return is_unseen | ((first <= slots.max()) & (first > slots.min() - below))


@dataclass(frozen=True, eq=False)
class NewcomerPopularity:
    """How popular items of an age are, relative to the mean item of their catalogue.

    Attributes
    ----------
    by_age
        ``(window,)`` relative popularity of items that are 0, 1, … days old; 0 where no source knows it.
    unseen
        That of items of `UNKNOWN` age, which nobody has bought yet; 0 where no source knows it.
    num_domains
        Number of source domains with new items.

    Examples
    --------
    Three items: one of 8 events, one of 2 that is a day old, and one of no event that is listed today.

    >>> learnt = NewcomerPopularity(by_age=np.array([0.5, 0.9]), unseen=0.1, num_domains=3)
    >>> learnt.raised(np.array([[8, 2, 0]]), ages=np.array([[99, 1, 0]]), window=2).round(2)
    array([[8.  , 3.5 , 1.67]])
    """

    by_age: np.ndarray
    unseen: float
    num_domains: int

    def lacking(self, ages: np.ndarray, window: int) -> np.ndarray:
        """Return what items of each age lack in a window, relative to the mean count, float64 of the shape of `ages`.

        An item that is a days old was not there on w - a of the w days of the window, and lacks (w - a) / w of what
        items of its age have. An item of `UNKNOWN` age lacks `unseen`. An item of the window's age or older, or older
        than the table knows, and one that is not yet listed lack nothing.

        Parameters
        ----------
        ages
            Days, from `ItemAges`.
        window
            Length of the window in days.
        """
        is_young = (ages >= 0) & (ages < min(window, len(self.by_age)))
        age = np.where(is_young, ages, 0)
        found = np.where(is_young, self.by_age[age] * (1 - age / window), 0.0)
        return np.where(ages == UNKNOWN, self.unseen, found)

    def raised(self, counts: np.ndarray, ages: np.ndarray, window: int) -> np.ndarray:
        """Return the counts c_j^T with what young items lack, float64 of the same shape.

        Parameters
        ----------
        counts
            ``(num_slots, num_items)`` counts of the whole catalogue, from `Popularity.counts_of_all`.
        ages
            ``(num_slots, num_items)`` days, from `ItemAges.at`.
        window
            Length of the window in days.
        """
        return counts + self.lacking(ages, window) * counts.mean(axis=-1, keepdims=True)

    def as_array(self) -> np.ndarray:
        """Return the table as one array, ``(window + 2,)`` float32: by age, unseen, number of domains."""
        return np.concatenate([self.by_age, [self.unseen, self.num_domains]]).astype(np.float32)

    @classmethod
    def from_array(cls, given: np.ndarray) -> NewcomerPopularity:
        """Return the table that `as_array` wrote.

        Raises
        ------
        InputError
            If a number is missing, negative or not finite.
        """
        numbers = np.asarray(given, dtype=np.float64)
        if numbers.ndim != 1 or len(numbers) < 3 or not (np.isfinite(numbers) & (numbers >= 0)).all():
            raise InputError("popularity of newcomers: damaged; expected finite numbers from 0, one for each age")
        return cls(numbers[:-2], float(numbers[-2]), int(numbers[-1]))


class YoungItems(NamedTuple):
    """Pairs of a slot and an item that is young or of unknown age there, each ``(num_pairs,)``.

    Attributes
    ----------
    row
        Index of the slot.
    column
        Index of the item.
    kind
        Age in days, or the number of ages in the table for `UNKNOWN`.
    """

    row: np.ndarray
    column: np.ndarray
    kind: np.ndarray


class Newcomers:
    """The newcomers of a domain, and what is added to their counts; see `NewcomerPopularity.lacking`.

    Items of one age, its *kind*, lack the same in a slot, so raised counts are few distinct numbers.

    Parameters
    ----------
    domain
        The domain.
    popularity
        Its popularity index, whose slots are meant.
    learnt
        What items of each age have in other domains.

    Examples
    --------
    >>> days = np.array([10, 38, 40])
    >>> domain = Domain("shop", ["a", "b"], ["A", "B"], ["u"], [0, 3], [0, 0, 1], days * 86_400)
    >>> popularity = Popularity(domain.item_index, domain.days, 2, window=15)
    >>> found = Newcomers(domain, popularity, NewcomerPopularity(np.array([2.0, 1.5]), 0.1, num_domains=3))
    >>> slots = popularity.slots([40, 41])
    >>> found.among(slots).kind.tolist()  # item b: of unknown age on day 40, a day old on day 41
    [2, 1]
    >>> found.lacking(popularity, slots).round(2)  # half an event and one event a mean item
    array([[1.  , 0.7 , 0.05],
           [2.  , 1.4 , 0.1 ]])
    """

    def __init__(self, domain: Domain, popularity: Popularity, learnt: NewcomerPopularity) -> None:
        self.learnt = learnt
        self._ages = ItemAges(domain, popularity)
        self._kinds = np.append(np.arange(len(learnt.by_age)), UNKNOWN)

    def kinds(self, items: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Return the kind of each item, -1 if it is no newcomer; `items` and `slots` broadcast against each other."""
        ages, limit = self._ages.of(items, slots), len(self.learnt.by_age)
        return np.where(ages == UNKNOWN, limit, np.where((ages >= 0) & (ages < limit), ages, -1))

    def among(self, slots: np.ndarray, items: np.ndarray | None = None) -> YoungItems:
        """Return the newcomers among some items in each slot; `column` indexes `items`, by default all of them."""
        near = self._ages.may_be_young(slots, len(self.learnt.by_age))
        columns = np.flatnonzero(near if items is None else near[items])
        kinds = self.kinds(columns if items is None else items[columns], slots[:, None])
        row, place = np.nonzero(kinds >= 0)
        return YoungItems(row, columns[place], kinds[row, place])

    def lacking(self, popularity: Popularity, slots: np.ndarray) -> np.ndarray:
        """Return what an item of each kind lacks in a window, ``(len(slots), num_kinds)`` events.

        Parameters
        ----------
        popularity
            The popularity index, with the window that counts.
        slots
            Its slots.
        """
        return popularity.mean_counts(slots)[:, None] * self.learnt.lacking(self._kinds, popularity.window)


class _Tally(NamedTuple):
    """Events of items of each age in one domain, and events that as many mean items have, each ``(window + 1,)``.

    The last entry is that of unseen items.
    """

    events: np.ndarray
    expected: np.ndarray


def newcomer_popularity(domains: Iterable[Domain], *, window: int = 15) -> NewcomerPopularity:
    """Return how popular items of each age are in source domains, relative to the mean item on the same days.

    The events of a day at age a, over all items that live through that age, are divided by the events that as many mean
    items have on these days. The first event of an item that has no day of listing makes it known and tells nothing of
    its popularity, so its first day counts for unseen items, and age 0 is then that of age 1. Sources are averaged
    geometrically, each with the same weight, so that one with many items does not decide. Domains without times, and
    ages at which mean items have fewer than `FEWEST_EVENTS` events, are left out.

    Parameters
    ----------
    domains
        Source domains. In an evaluation: without the target.
    window
        Length of the popularity window in days.

    Raises
    ------
    ValueError
        If the window is shorter than a day.
    """
    if window < 1:
        raise ValueError(f"window is {window} days, expected 1 or more")
    tallies = [_tally(domain, max(window, 2)) for domain in domains if domain.days is not None and len(domain.days)]
    logs = np.zeros((len(tallies), max(window, 2) + 1))
    has_say = np.zeros(logs.shape, bool)
    for row, tally in enumerate(tallies):
        has_say[row] = tally.expected >= FEWEST_EVENTS
        # Half an event more on both sides keeps the logarithm finite.
        logs[row] = np.log((tally.events + 0.5) / (tally.expected + 0.5))
    number = has_say.sum(axis=0)
    means = np.where(number > 0, np.exp((logs * has_say).sum(axis=0) / np.maximum(number, 1)), 0.0)
    by_age = means[:-1]
    if not number[0]:
        by_age[0] = by_age[1]
    return NewcomerPopularity(by_age[:window], float(means[-1]), int(has_say[:, :-1].any(axis=1).sum()))


def _tally(domain: Domain, window: int) -> _Tally:
    assert domain.days is not None  # a domain without times has no ages
    start = int(domain.days.min())
    day = domain.days.astype(np.int64) - start  # of each event
    per_day = np.bincount(day) / max(domain.num_items, 1)  # events of the mean item
    born = first_days(domain) - start
    listed = np.zeros(domain.num_items, bool) if domain.first_seen is None else domain.first_seen >= 0
    by_event = ~listed & (born >= window)  # an item that is there from the start may be of any age
    age = day - born[domain.item_index]
    counts_from = np.where(listed, 0, 1)[domain.item_index]  # days
    tells = (listed | by_event)[domain.item_index] & (age >= counts_from) & (age < window)
    events, expected = np.zeros(window + 1), np.zeros(window + 1)
    events[:-1] = np.bincount(age[tells], minlength=window)
    for at in range(window):
        then = born[listed | by_event if at else listed] + at
        expected[at] = per_day[then[(then >= 0) & (then < len(per_day))]].sum()
    # Unseen on a day: no event before it, and no day of listing.
    events[-1] = (by_event[domain.item_index] & (age == 0)).sum()
    first = np.where(born < 0, len(per_day), born)[~listed]  # never: after the end
    unseen = len(first) - np.bincount(np.minimum(first, len(per_day)), minlength=len(per_day) + 1).cumsum()
    before = np.concatenate([[len(first)], unseen[: len(per_day) - 1]])  # unseen as the day begins
    expected[-1] = (before * per_day)[window:].sum()
    return _Tally(events, expected)
