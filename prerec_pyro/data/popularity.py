"""Popularity factors F_j (eq. 10 and appendix E of the paper), from a sparse index of item and day."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Literal

import numpy as np

NUM_FACTORS = 4  # w = 1 … 4
OTHER_WINDOWS = (3, 60, 365)
"""Days of further windows, beside the one that a user chooses: what is new, and what sells in the long run."""
_BLOCK = 1 << 18  # lookups or events at a time: temporary arrays stay small and in the CPU cache
Normalizer = Literal["catalogue", "active"]


class Popularity:
    """Counts c_j^T and norms s_w^T of a domain, for any item and time slot.

    A *slot* is a day, counted from the first day of the log. The count c_j^T is the number of interactions of item j,
    by all users, in the `window` days strictly before day T. An empty window is widened backwards until it holds an
    event; before the first event all counts are 0. A domain without times has one slot, the whole log.

    The norms are s_w = (mean over items of c^w)^(1/w) for w = 1 … 4, and the factors F_j = [c_j/s_1 … c_j/s_4].

    Only events are stored, as one sorted array of (item, day) keys: a count takes two binary searches. No array has
    the size days × items.

    Parameters
    ----------
    item_index
        ``(num_interactions,)`` item of each event.
    days
        ``(num_interactions,)`` day of each event, or None where only the order is known.
    num_items
        Size of the catalogue |J_k|.
    window
        Length of the window in days.
    normalizer
        Items that s_w averages over: the whole ``"catalogue"`` (the paper), or the items ``"active"`` in the window
        (the authors' code).

    Raises
    ------
    ValueError
        If the window is shorter than a day, or the normalizer is another word.

    Examples
    --------
    >>> import numpy as np
    >>> from prerec_pyro.data import Popularity
    >>> popularity = Popularity(np.array([0, 0, 1]), np.array([100, 101, 101]), num_items=2, window=15)
    >>> slot = popularity.slots(102)
    >>> counts = popularity.counts(np.arange(2), slot)
    >>> counts
    array([2, 1])
    >>> popularity.factors(counts, np.full(2, slot))[:, :2].round(2)
    array([[1.33, 1.26],
           [0.67, 0.63]], dtype=float32)
    """

    def __init__(
        self,
        item_index: np.ndarray,
        days: np.ndarray | None,
        num_items: int,
        *,
        window: int = 15,
        normalizer: Normalizer = "catalogue",
    ) -> None:
        if window < 1:
            raise ValueError(f"window is {window} days, expected 1 or more")
        if normalizer not in ("catalogue", "active"):
            raise ValueError(f"normalizer is {normalizer!r}, expected 'catalogue' or 'active'")
        self.num_items = num_items
        self.window = window
        self.normalizer = normalizer
        self.is_static = days is None
        self.first_day, last_day = (0, 0) if days is None or not len(days) else (int(days.min()), int(days.max()))
        # Without times, every event counts as one day before slot 1, the only slot that is used.
        self._span = last_day - self.first_day + 2
        self._keys = item_index.astype(np.int64) * self._span
        if days is not None:
            self._keys += days
            self._keys -= self.first_day
        self._keys.sort()
        self._set_window()

    def with_window(self, window: int) -> Popularity:
        """Return the same log counted in a window of another length; both share the index of events."""
        other = copy.copy(self)
        other.window = window
        other._set_window()
        return other

    def slots_of(self, other: Popularity, slots: np.ndarray) -> np.ndarray:
        """Return the slots of this window for slots of another window of the same log, of the same shape."""
        return self.slots(np.asarray(slots, np.int64) + other.first_day)

    def _set_window(self) -> None:
        self.norms, has_event = self._norms()
        day = np.arange(len(self.norms) + 1)
        before = np.maximum.accumulate(np.where(has_event, np.arange(len(has_event)), 0))  # the last day with an event
        self._slot_of_day = np.minimum(
            day, np.concatenate([[0], before])[np.minimum(day, self._span - 1)] + self.window
        )

    @property
    def num_slots(self) -> int:
        """Number of slots with norms; later days use the last window that holds events."""
        return len(self.norms)

    @property
    def last_slot(self) -> int:
        """The slot of the day after the log ends."""
        return self._span - 1

    def slots(self, days: np.ndarray | int) -> np.ndarray:
        """Return the slot of each day since 1970 UTC, int64 of the same shape; 1 for a domain without times.

        A day with an empty window gets the slot at which the last events before it are about to leave the window: the
        window of that slot and the widened window hold the same events.
        """
        day = np.asarray(days, dtype=np.int64)
        if self.is_static:
            return np.ones(day.shape, np.int64)
        return self._slot_of_day[np.clip(day - self.first_day, 0, len(self._slot_of_day) - 1)]

    def counts(self, items: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Return c_j^T as int64; `items` and `slots` broadcast against each other."""
        slots = np.asarray(slots, dtype=np.int64)
        start = np.clip(slots - self.window, 0, self._span - 1)
        end = np.clip(slots, 0, self._span - 1)
        base = np.asarray(items, dtype=np.int64) * self._span
        shape = np.broadcast_shapes(base.shape, slots.shape)
        base, start, end = (np.broadcast_to(part, shape).reshape(-1) for part in (base, start, end))
        result = np.empty(len(base), np.int64)
        for begin in range(0, len(base), _BLOCK):
            part = slice(begin, begin + _BLOCK)
            low = base[part] + start[part]
            # Sorted lookups read the index from front to back.
            order = slice(None) if (low[1:] >= low[:-1]).all() else low.argsort()
            low, high = low[order], (base[part] + end[part])[order]
            result[part][order] = np.searchsorted(self._keys, high) - np.searchsorted(self._keys, low)
        return result.reshape(shape)

    def counts_of_all(self, slots: np.ndarray) -> np.ndarray:
        """Return c_j^T of every item, ``(len(slots), num_items)`` int64, by counting the events of each window."""
        slots = np.asarray(slots, dtype=np.int64)
        items, first = self._by_day
        start, end = (first[np.clip(edge, 0, self._span - 1)] for edge in (slots - self.window, slots))
        result = np.empty((len(slots), self.num_items), np.int64)
        before = 0, 0
        for number, (row, begin, stop) in enumerate(zip(result, start, end, strict=True)):
            entered, left = items[before[1] : stop], items[before[0] : begin]
            # Slots often ascend by a few days: fewer events enter and leave the window than it holds.
            if number and begin >= before[0] and stop >= before[1] and len(entered) + len(left) < stop - begin:
                row[:] = result[number - 1]
                row += np.bincount(entered, minlength=self.num_items)
                row -= np.bincount(left, minlength=self.num_items)
            else:
                row[:] = np.bincount(items[begin:stop], minlength=self.num_items)
            before = begin, stop
        return result

    def mean_counts(self, slots: np.ndarray) -> np.ndarray:
        """Return the mean of c_j^T over the catalogue, float64 of the shape of `slots`."""
        slots, (_, first) = np.asarray(slots, dtype=np.int64), self._by_day
        start, end = (first[np.clip(edge, 0, self._span - 1)] for edge in (slots - self.window, slots))
        return (end - start) / max(self.num_items, 1)

    def counts_of_few(self, items: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Return c_j^T of every pair, ``(len(slots), len(items))`` int64; `slots` must ascend."""
        base = np.asarray(items, dtype=np.int64) * self._span
        first, end = np.searchsorted(self._keys, base), np.searchsorted(self._keys, base + self._span)
        events, size = end - first, len(slots) * len(items)
        if events.sum() > 2 * size:
            order = np.argsort(items)
            result = np.empty((len(slots), len(items)), np.int64)
            result[:, order] = self.counts(np.asarray(items)[order, None], slots).T
            return result
        # Each event enters the window at one slot and leaves it at another: two steps for each event of these items.
        column = np.repeat(np.arange(len(items)), events)
        place = np.arange(events.sum()) + np.repeat(first - (events.cumsum() - events), events)
        day = self._keys[place] - base[column]
        enters, leaves = np.searchsorted(slots, day, "right"), np.searchsorted(slots, day + self.window, "right")
        change = np.bincount(enters * len(items) + column, minlength=size + len(items))
        change -= np.bincount(leaves * len(items) + column, minlength=size + len(items))
        return change.reshape(-1, len(items)).cumsum(axis=0)[:-1]

    def factors(self, counts: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Return F_j = [c/s_1 … c/s_4] (appendix E), ``(*counts.shape, 4)`` float32; 0 before the first event."""
        norms = self.norms[slots]  # (..., 4)
        safe = np.where(norms > 0, norms, 1.0)
        return (np.asarray(counts)[..., None] / safe).astype(np.float32)

    @cached_property
    def _by_day(self) -> tuple[np.ndarray, np.ndarray]:
        """Items of the events by day, int32, and the first event of each day, ``(span + 1,)``."""
        day = (self._keys % self._span).astype(np.int32)
        order = day.argsort(kind="stable")
        first = np.concatenate([[0], np.bincount(day, minlength=self._span).cumsum()])
        return (self._keys // self._span).astype(np.int32)[order], first

    def _norms(self) -> tuple[np.ndarray, np.ndarray]:
        """Return s_w^T for every slot, ``(num_slots, 4)`` float64, and which days have an event, ``(span - 1,)``.

        The count of an item is a step function of the slot: it rises by one on the day after an event and falls when
        the event leaves the window. The sums over items of c^w accumulate these steps, some items at a time. So time
        grows with the number of events, and memory with the size of the index.
        """
        num_slots = self._span - 1 + self.window
        sums, active = np.zeros((num_slots + 1, NUM_FACTORS)), np.zeros(num_slots + 1)
        has_event = np.zeros(self._span - 1, bool)
        begin = 0
        while begin < len(self._keys):
            end = begin + _BLOCK
            if end < len(self._keys):  # up to the end of an item
                end = np.searchsorted(self._keys, (self._keys[end] // self._span + 1) * self._span)
            item, day = np.divmod(self._keys[begin:end], self._span)
            has_event[day] = True
            slot, count, previous = self._steps(item, day)
            for w in range(NUM_FACTORS):
                sums[:, w] += np.bincount(slot, count ** (w + 1) - previous ** (w + 1), num_slots + 1)
            active += np.bincount(slot, (count > 0).astype(float) - (previous > 0), num_slots + 1)
            begin = end
        sums = sums[:num_slots].cumsum(axis=0)  # exact: whole numbers below 2**53
        size = np.full((num_slots, 1), max(self.num_items, 1), float)
        if self.normalizer == "active":
            size = np.maximum(active[:num_slots].cumsum(), 1.0)[:, None]
        return (sums / size) ** (1.0 / np.arange(1, NUM_FACTORS + 1)), has_event

    def _steps(self, item: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the slots at which the count of an item changes, the new counts and the old counts, as floats."""
        width = self._span + self.window
        up = item * width + day + 1
        # Both runs ascend, so a stable sort merges them in one pass.
        place = np.concatenate([up, up + self.window])
        order = place.argsort(kind="stable")
        count = np.where(order < len(up), 1.0, -1.0).cumsum()  # the steps of an item sum to 0
        place = place[order]
        # An item may have several steps in one slot: only the count after the last of them matters.
        last = np.ones(len(place), bool)
        last[:-1] = place[1:] != place[:-1]
        place, count = place[last], count[last]
        return place % width, count, np.concatenate([[0.0], count[:-1]])
