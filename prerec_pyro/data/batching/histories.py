"""Whom to recommend to: users of the domain, or strangers with a history of their own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from prerec_pyro.data import times
from prerec_pyro.data.batching.windows import MAX_HISTORY
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.frames import Origin, arrow_column, id_strings, open_frame
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.errors import InputError

logger = logging.getLogger(__name__)

Seen = Literal["drop", "keep"]
"""Whether items of a user's history are left out of the lists."""


@dataclass(frozen=True, eq=False)
class Histories:
    """What each of some people did, oldest first, and the time slot that they are served in.

    Attributes
    ----------
    user_ids
        ``(n,)``.
    offsets
        ``(n + 1,)``: person ``u`` owns ``items[offsets[u] : offsets[u + 1]]``.
    items
        Item indices of all events.
    slot
        The popularity slot of the moment, the same for all.
    max_history
        How many of the most recent items a recommender reads.
    """

    user_ids: np.ndarray
    offsets: np.ndarray
    items: np.ndarray
    slot: int
    max_history: int

    def __len__(self) -> int:
        return len(self.user_ids)

    def padded(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return the most recent items of some people, ``(n, length)`` padded on the right, and where each ends.

        The end is the position of the last item in the flattened array, ``(n,)``.
        """
        start, end = self.offsets[:-1][rows], self.offsets[1:][rows]
        start = np.maximum(start, end - self.max_history)
        length = int((end - start).max())
        read = start[:, None] + np.minimum(np.arange(length), (end - start)[:, None] - 1)  # (n, length)
        return self.items[read], np.arange(len(start)) * length + (end - start) - 1

    def seen(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return (row, item) pairs of all that these people did, rows counted from the slice's start."""
        start, end = self.offsets[rows.start], self.offsets[rows.stop]
        lengths = np.diff(self.offsets[rows.start : rows.stop + 1])
        return np.repeat(np.arange(len(lengths)), lengths), self.items[start:end]


def known_users(
    encoded: EncodedDomain, users: Sequence[str] | None, at: str | int | None, max_history: int = MAX_HISTORY
) -> Histories:
    """Return the histories of users of the domain before the moment `at`; those without any are left out, and said.

    Raises
    ------
    InputError
        If a user is unknown or the time means nothing.
    """
    domain = encoded.domain
    rows = np.arange(domain.num_users) if users is None else domain.user_position(users)
    seconds = moment(encoded, at)
    start, end = domain.offsets[rows], domain.offsets[rows + 1]
    lengths = end - start
    if at is not None and domain.timestamps is not None:
        before = np.concatenate([[0], np.cumsum(domain.timestamps < seconds)])
        lengths = before[end] - before[start]  # events lie in order of time
    if (lengths == 0).any():
        logger.warning("%d users have no event before %s and get no list", int((lengths == 0).sum()), at)
    rows, start, lengths = rows[lengths > 0], start[lengths > 0], lengths[lengths > 0]
    within = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
    return Histories(
        domain.user_ids[rows],
        np.concatenate([[0], lengths.cumsum()]),
        domain.item_index[np.repeat(start, lengths) + within].astype(np.int64),
        slot_of(encoded, seconds),
        max_history,
    )


def new_users(encoded: EncodedDomain, frame: Any, at: str | int | None, max_history: int = MAX_HISTORY) -> Histories:
    """Return the histories in a frame ``user_id, item_id`` and, if it has them, ``timestamp`` and ``order``.

    Without either the rows count as in order; with timestamps, only events before `at` count. Any frame that narwhals
    reads; ids, times and positions are read as in `Domain.from_tables`.

    Raises
    ------
    InputError
        If a column is missing, a value is empty, or an item is not in the domain's catalogue.
    """
    origin = Origin("histories")
    table = open_frame(frame, origin)
    if missing := {"user_id", "item_id"} - set(table.columns):
        raise InputError(
            f"histories: no column {', '.join(sorted(missing))}; found {', '.join(map(str, table.columns))}"
        )
    if not len(table):
        raise InputError("histories: the table is empty; expected a row for each event")
    ids = {name: id_strings(arrow_column(table, name, origin), name, origin) for name in ("user_id", "item_id")}
    user, item = (ids[name].to_numpy(zero_copy_only=False) for name in ("user_id", "item_id"))
    keys, before = [], np.ones(len(user), dtype=bool)  # np.lexsort takes the first key last
    if "timestamp" in table.columns:
        seconds = times.seconds(arrow_column(table, "timestamp", origin), "timestamp", origin)[0]
        keys.insert(0, seconds)
        if at is not None:
            before = seconds < moment(encoded, at)
    if "order" in table.columns:
        keys.insert(0, times.positions(arrow_column(table, "order", origin), "order", origin))
    if not before.any():
        raise InputError(f"histories: no event before {at}; give earlier events or a later moment")
    code, user_ids = pd.factorize(user[before])
    order = np.lexsort([*(key[before] for key in keys), code])  # by person, then time, then position
    items = encoded.domain.item_position(item[before])[order]
    counts = np.bincount(code)
    return Histories(
        np.asarray(user_ids, dtype=object),
        np.concatenate([[0], counts.cumsum()]),
        items,
        slot_of(encoded, moment(encoded, at)),
        max_history,
    )


def moment(encoded: EncodedDomain, at: str | int | None) -> int:
    """Return a moment in seconds since 1970 UTC; None is the day after the log ends.

    Raises
    ------
    InputError
        If the time cannot be read, or the domain knows no times.
    """
    timestamps = encoded.domain.timestamps
    if at is None:
        return 0 if timestamps is None else (int(timestamps.max()) // SECONDS_PER_DAY + 1) * SECONDS_PER_DAY
    if timestamps is None:
        raise InputError(f"at {at!r}: domain {encoded.name!r} has no timestamps, only an order; leave it out")
    try:
        time = pd.Timestamp(int(at), unit="s") if str(at).lstrip("-").isdigit() else pd.Timestamp(at)
    except (ValueError, OverflowError):
        raise InputError(f"at {at!r}: expected an ISO time such as 2011-06-01T12:00 or seconds since 1970") from None
    if time is pd.NaT:
        raise InputError(f"at {at!r}: expected an ISO time such as 2011-06-01T12:00 or seconds since 1970")
    time = time.tz_localize("UTC") if time.tzinfo is None else time.tz_convert("UTC")
    return int(time.timestamp())


def slot_of(encoded: EncodedDomain, seconds: int) -> int:
    """Return the popularity slot of a moment."""
    return int(encoded.popularity.slots(np.array(seconds // SECONDS_PER_DAY)))


def read_histories(
    encoded: EncodedDomain, users: Sequence[str] | None, histories: Any, at: str | int | None
) -> Histories:
    """Return the histories to recommend for: of users of the domain, or of new users."""
    if histories is None:
        return known_users(encoded, users, at)
    if users is not None:
        raise InputError("give users of the domain or histories of strangers, not both")
    return new_users(encoded, histories, at)
