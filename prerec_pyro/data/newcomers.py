"""Newcomers: the age of items, and the popularity that items of an age have in other domains.

A new item has no events, so its count is 0 and any ranking by popularity buries it. `newcomer_popularity` learns from
source domains how popular items of each age are, relative to the mean item, and `NewcomerPopularity.raised` gives the
items of a domain no smaller a count than that while they are younger than the popularity window.

The table holds one number an age, not the four factors F: all four are the same count over different norms, and the
ratios of the norms are a domain's own. A raised count gives the four factors by `Popularity.factors`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

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
        """Return the age of each item in each slot, ``(len(slots), num_items)`` int64 days.

        The age of an item that is listed later is negative, except in the last slot, the time to recommend at: what is
        in the catalogue then is listed, and new.
        """
        slot = np.asarray(slots, dtype=np.int64).reshape(-1, 1)
        since_event, since_listing = slot - self._events, slot - self._listed  # (num_slots, num_items)
        happened = since_event > 0
        age = np.where(happened, since_event, UNKNOWN)
        age = np.where(happened & (self._events < self.window), np.maximum(age, self.window), age)
        since_listing = np.where(slot >= self._last_slot, np.maximum(since_listing, 0), since_listing)
        listed_age = np.where(happened, np.maximum(since_event, since_listing), since_listing)
        return np.where(self._is_listed, listed_age, age)


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
    >>> learnt.raised(np.array([[8, 2, 0]]), ages=np.array([[99, 1, 0]])).round(2)
    array([[8.  , 3.  , 1.67]])
    """

    by_age: np.ndarray
    unseen: float
    num_domains: int

    def relative(self, ages: np.ndarray, *, unknown_is_new: bool = False) -> np.ndarray:
        """Return the least relative popularity at each age, float64 of the shape of `ages`.

        It is 0, which raises nothing, for an item of the window's age or older and for one that is not yet listed.

        Parameters
        ----------
        ages
            Days, from `ItemAges.at`.
        unknown_is_new
            Whether an item of `UNKNOWN` age counts as listed today; by default it gets `unseen`.
        """
        is_young = (ages >= 0) & (ages < len(self.by_age))
        found = np.where(is_young, self.by_age[np.where(is_young, ages, 0)], 0.0)
        return np.where(ages == UNKNOWN, self.by_age[0] if unknown_is_new else self.unseen, found)

    def raised(self, counts: np.ndarray, ages: np.ndarray, *, unknown_is_new: bool = False) -> np.ndarray:
        """Return the counts c_j^T, raised to what items of their age have, float64 of the same shape.

        Parameters
        ----------
        counts
            ``(num_slots, num_items)`` counts of the whole catalogue, from `Popularity.counts_of_all`.
        ages
            ``(num_slots, num_items)`` days, from `ItemAges.at`.
        unknown_is_new
            See `relative`.
        """
        least = self.relative(ages, unknown_is_new=unknown_is_new) * counts.mean(axis=-1, keepdims=True)
        return np.maximum(counts, least)

    def as_json(self) -> dict[str, Any]:
        """Return the table as plain JSON."""
        return {"by_age": self.by_age.tolist(), "unseen": self.unseen, "num_domains": self.num_domains}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> NewcomerPopularity:
        """Return the table that `as_json` wrote.

        Raises
        ------
        InputError
            If a number is missing, negative or not finite.
        """
        try:
            by_age = np.asarray(given["by_age"], dtype=np.float64)
            unseen, num_domains = float(given["unseen"]), int(given["num_domains"])
        except (KeyError, TypeError, ValueError):
            raise InputError("popularity of newcomers: damaged; expected by_age, unseen and num_domains") from None
        numbers = np.append(by_age.reshape(-1), unseen)
        if by_age.ndim != 1 or not len(by_age) or not (np.isfinite(numbers) & (numbers >= 0)).all():
            raise InputError("popularity of newcomers: damaged; expected finite numbers from 0, one for each age")
        return cls(by_age, unseen, num_domains)


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
