"""Popularity factors F_j of eq. 10 and appendix E, sparse in time."""

from __future__ import annotations

from typing import Literal

import numpy as np

NUM_FACTORS = 4  # w = 1 … 4
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
        day = np.zeros(len(item_index), np.int64) if days is None else days.astype(np.int64) - self.first_day
        self._event_days = np.unique(day)
        self._span = int(self._event_days[-1]) + 2 if len(day) else 2
        self._keys = np.sort(item_index.astype(np.int64) * self._span + day)
        self.norms = self._norms()

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
        day = np.maximum(day - self.first_day, 0)
        before = np.searchsorted(self._event_days, day) - 1
        last = np.where(before >= 0, self._event_days[np.maximum(before, 0)], 0)
        return np.minimum(day, last + self.window)

    def counts(self, items: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """c_j^T, int64; `items` and `slots` broadcast against each other."""
        slots = np.asarray(slots, dtype=np.int64)
        start = np.clip(slots - self.window, 0, self._span - 1)
        end = np.clip(slots, 0, self._span - 1)
        base = np.asarray(items, dtype=np.int64) * self._span
        return np.searchsorted(self._keys, base + end) - np.searchsorted(self._keys, base + start)

    def factors(self, counts: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """F_j = [c/s_1 … c/s_4] (appendix E), ``(*counts.shape, 4)`` float32; 0 where nothing happened before."""
        norms = self.norms[slots]  # (..., 4)
        safe = np.where(norms > 0, norms, 1.0)
        return (np.asarray(counts)[..., None] / safe).astype(np.float32)

    def _norms(self) -> np.ndarray:
        """s_w^T for every slot, ``(num_slots, 4)`` float64.

        An item's count is a step function of the slot: up by one the day after an event, down when the event leaves
        the window. The sums over items of c^w are accumulated from those steps, so the cost is that of the events.
        """
        num_slots = self._span - 1 + self.window
        item, day = np.divmod(self._keys, self._span)
        slot = np.concatenate([day + 1, day + 1 + self.window])
        change = np.concatenate([np.ones(len(day), np.int64), -np.ones(len(day), np.int64)])
        item = np.concatenate([item, item])
        order = np.lexsort((slot, item))
        item, slot, count = item[order], slot[order], change[order].cumsum()  # an item's steps sum to 0
        # Several steps of one item in one slot: only the count after the last of them is ever seen.
        last = np.ones(len(item), bool)
        last[:-1] = (item[1:] != item[:-1]) | (slot[1:] != slot[:-1])
        item, slot, count = item[last], slot[last], count[last].astype(np.float64)
        previous = np.concatenate([[0.0], count[:-1]])
        previous[np.concatenate([[True], item[1:] != item[:-1]])[: len(item)]] = 0.0
        power = np.arange(1, NUM_FACTORS + 1)
        steps = count[:, None] ** power - previous[:, None] ** power  # (num_steps, 4)
        sums = np.stack([np.bincount(slot, steps[:, w], num_slots + 1) for w in range(NUM_FACTORS)], axis=1)
        sums = sums[:num_slots].cumsum(axis=0)  # whole numbers below 2**53: exact
        if self.normalizer == "active":
            active = np.bincount(slot, (count > 0).astype(float) - (previous > 0), num_slots + 1)
            size = np.maximum(active[:num_slots].cumsum(), 1.0)[:, None]
        else:
            size = float(max(self.num_items, 1))
        return (sums / size) ** (1.0 / power)
