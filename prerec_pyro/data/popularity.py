"""Popularity factors F_j of eq. 10 and appendix E, sparse in time."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import numpy as np

NUM_FACTORS = 4  # w = 1 … 4
_BLOCK = 1 << 18  # lookups or events at a time: what is held meanwhile stays small, and in the cache
Normalizer = Literal["catalogue", "active"]


class Popularity:
    """Counts c_j^T and norms s_w^T of a domain, for any item and time slot.

    A *slot* is a day, counted from the first day of the log. c_j^T is the number of interactions of item j, by all
    users, in the `window` days strictly before day T. Where that window holds nothing it is widened backwards until
    it does; before the first event there is nothing to widen to and all counts are 0. A domain without times has
    one slot, the whole log.

    Only events are stored, as one sorted array of (item, day) keys: a count is two binary searches. Nothing is
    dense in (days × items).

    Parameters
    ----------
    item_index
        ``(num_interactions,)`` item of each event.
    days
        ``(num_interactions,)`` day of each event, or None where the domain knows only an order.
    num_items
        Size of the catalogue |J_k|.
    window
        Days.
    normalizer
        s_w as the mean over the ``"catalogue"`` (the paper), or over the items ``"active"`` in the window (the
        authors' code).
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
        self.first_day = 0 if days is None or not len(days) else int(days.min())
        self.is_static = days is None
        # Without times, every event counts as one day before slot 1, the only slot that is ever asked for.
        span = 0 if self.is_static or not len(days) else int(days.max()) - self.first_day
        self._span = span + 2
        self._keys = item_index.astype(np.int64) * self._span
        if not self.is_static:
            self._keys += days
            self._keys -= self.first_day
        self._keys.sort()
        self.norms, held = self._norms()
        day = np.arange(len(self.norms) + 1)
        before = np.maximum.accumulate(np.where(held, np.arange(len(held)), 0))  # the last day that holds an event
        self._slot_of_day = np.minimum(day, np.concatenate([[0], before])[np.minimum(day, self._span - 1)] + window)

    @property
    def num_slots(self) -> int:
        """Number of slots with norms of their own; later days fall back on the last window that holds events."""
        return len(self.norms)

    @property
    def last_slot(self) -> int:
        """The slot of the day after the log ends."""
        return self._span - 1

    def slots(self, days: np.ndarray | int) -> np.ndarray:
        """Slot of each day (since 1970 UTC), int64 of the same shape; static domains answer 1 for every day.

        A day whose window is empty gets the slot in which the last events before it are about to leave the window:
        the widened window and that slot's hold the same events.
        """
        day = np.asarray(days, dtype=np.int64)
        if self.is_static:
            return np.ones(day.shape, np.int64)
        return self._slot_of_day[np.clip(day - self.first_day, 0, len(self._slot_of_day) - 1)]

    def counts(self, items: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """c_j^T, int64; `items` and `slots` broadcast against each other."""
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
            # Sorted questions read the index from front to back.
            order = slice(None) if (low[1:] >= low[:-1]).all() else low.argsort()
            low, high = low[order], (base[part] + end[part])[order]
            result[part][order] = np.searchsorted(self._keys, high) - np.searchsorted(self._keys, low)
        return result.reshape(shape)

    def counts_of_all(self, slots: np.ndarray) -> np.ndarray:
        """c_j^T of every item, ``(len(slots), num_items)`` int64: the events of each window counted, one by one."""
        slots = np.asarray(slots, dtype=np.int64)
        items, first = self._by_day
        start, end = (first[np.clip(edge, 0, self._span - 1)] for edge in (slots - self.window, slots))
        result = np.empty((len(slots), self.num_items), np.int64)
        for row, begin, stop in zip(result, start, end, strict=True):
            row[:] = np.bincount(items[begin:stop], minlength=self.num_items)
        return result

    def counts_of_few(self, items: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """c_j^T of every pair, ``(len(slots), len(items))`` int64; the slots ascend."""
        base = np.asarray(items, dtype=np.int64) * self._span
        first, end = np.searchsorted(self._keys, base), np.searchsorted(self._keys, base + self._span)
        events, size = end - first, len(slots) * len(items)
        if events.sum() > 2 * size:
            order = np.argsort(items)
            result = np.empty((len(slots), len(items)), np.int64)
            result[:, order] = self.counts(np.asarray(items)[order, None], slots).T
            return result
        # Each event enters the window at one slot and leaves it at another: as many steps as these items have events.
        column = np.repeat(np.arange(len(items)), events)
        place = np.arange(events.sum()) + np.repeat(first - (events.cumsum() - events), events)
        day = self._keys[place] - base[column]
        enters, leaves = np.searchsorted(slots, day, "right"), np.searchsorted(slots, day + self.window, "right")
        change = np.bincount(enters * len(items) + column, minlength=size + len(items))
        change -= np.bincount(leaves * len(items) + column, minlength=size + len(items))
        return change.reshape(-1, len(items)).cumsum(axis=0)[:-1]

    def factors(self, counts: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """F_j = [c/s_1 … c/s_4] (appendix E), ``(*counts.shape, 4)`` float32; 0 where nothing happened before."""
        norms = self.norms[slots]  # (..., 4)
        safe = np.where(norms > 0, norms, 1.0)
        return (np.asarray(counts)[..., None] / safe).astype(np.float32)

    @cached_property
    def _by_day(self) -> tuple[np.ndarray, np.ndarray]:
        """Items of the events in order of days, int32, and where each day's begin, ``(span + 1,)``."""
        day = (self._keys % self._span).astype(np.int32)
        order = day.argsort(kind="stable")
        first = np.concatenate([[0], np.bincount(day, minlength=self._span).cumsum()])
        return (self._keys // self._span).astype(np.int32)[order], first

    def _norms(self) -> tuple[np.ndarray, np.ndarray]:
        """s_w^T for every slot, ``(num_slots, 4)`` float64, and whether a day holds an event, ``(span - 1,)``.

        An item's count is a step function of the slot: up by one the day after an event, down when the event leaves
        the window. The sums over items of c^w are accumulated from those steps, some items at a time, so that the
        cost is that of the events and the memory that of the index.
        """
        num_slots = self._span - 1 + self.window
        sums, active = np.zeros((num_slots + 1, NUM_FACTORS)), np.zeros(num_slots + 1)
        held = np.zeros(self._span - 1, bool)
        begin = 0
        while begin < len(self._keys):
            end = begin + _BLOCK
            if end < len(self._keys):  # to the end of an item
                end = np.searchsorted(self._keys, (self._keys[end] // self._span + 1) * self._span)
            item, day = np.divmod(self._keys[begin:end], self._span)
            held[day] = True
            slot, count, previous = self._steps(item, day)
            for w in range(NUM_FACTORS):
                sums[:, w] += np.bincount(slot, count ** (w + 1) - previous ** (w + 1), num_slots + 1)
            active += np.bincount(slot, (count > 0).astype(float) - (previous > 0), num_slots + 1)
            begin = end
        sums = sums[:num_slots].cumsum(axis=0)  # whole numbers below 2**53: exact
        size = float(max(self.num_items, 1))
        if self.normalizer == "active":
            size = np.maximum(active[:num_slots].cumsum(), 1.0)[:, None]
        return (sums / size) ** (1.0 / np.arange(1, NUM_FACTORS + 1)), held

    def _steps(self, item: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return slots at which an item's count changes, the count from there on and the count before, as floats."""
        width = self._span + self.window
        up = item * width + day + 1
        # Two runs that ascend: a stable sort merges them in one pass.
        place = np.concatenate([up, up + self.window])
        order = place.argsort(kind="stable")
        count = np.where(order < len(up), 1.0, -1.0).cumsum()  # an item's steps sum to 0
        place = place[order]
        # Several steps of one item in one slot: only the count after the last of them is ever seen.
        last = np.ones(len(place), bool)
        last[:-1] = place[1:] != place[:-1]
        place, count = place[last], count[last]
        return place % width, count, np.concatenate([[0.0], count[:-1]])
