"""Histories to recommend for: those of users of the domain, of new users, or the empty one of somebody unknown."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from prerec_pyro.data import times
from prerec_pyro.data.batching.windows import MAX_HISTORY
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.frames import Origin, arrow_column, id_strings, open_frame
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.errors import InputError

logger = logging.getLogger(__name__)

Seen = Literal["drop", "keep"]
"""Seen items, those of a user's history, are dropped from the lists or kept in them."""
Unknown = Literal["popular", "skip", "error"]
"""People without a history get the list of somebody unknown, get no list, or are refused."""
NOBODY = ""
"""User id of the one list in a domain without users."""


@dataclass(frozen=True, eq=False)
class Histories:
    """Histories of some users, oldest event first, and the time slot in which they get recommendations.

    Attributes
    ----------
    user_ids
        ``(num_users,)`` ids.
    offsets
        ``(num_users + 1,)``: user ``u`` owns ``items[offsets[u] : offsets[u + 1]]``. A history may be empty.
    items
        ``(num_events,)`` item indices of all events.
    slot
        Popularity slot, the same for all users.
    max_history
        Number of most recent items that a recommender reads.
    """

    user_ids: np.ndarray
    offsets: np.ndarray
    items: np.ndarray
    slot: int
    max_history: int

    def __len__(self) -> int:
        return len(self.user_ids)

    @property
    def lengths(self) -> np.ndarray:
        """``(num_users,)`` number of events of each history."""
        return np.diff(self.offsets)

    def only(self, rows: np.ndarray) -> Histories:
        """Return the histories of some users, given by their rows."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], lengths.cumsum()])
        events = np.repeat(self.offsets[:-1][rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return dataclasses.replace(self, user_ids=self.user_ids[rows], offsets=offsets, items=self.items[events])

    def padded(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return the most recent items of some users, ``(n, length)`` padded on the right, and their ends ``(n,)``.

        An end is the position of the last item of a user in the flattened array. No history may be empty.
        """
        start, end = self.offsets[:-1][rows], self.offsets[1:][rows]
        start = np.maximum(start, end - self.max_history)
        length = int((end - start).max())
        read = start[:, None] + np.minimum(np.arange(length), (end - start)[:, None] - 1)  # (n, length)
        return self.items[read], np.arange(len(start)) * length + (end - start) - 1

    def seen(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return (row, item) pairs of all events of some users, with rows counted from the start of the slice."""
        start, end = self.offsets[rows.start], self.offsets[rows.stop]
        lengths = np.diff(self.offsets[rows.start : rows.stop + 1])
        return np.repeat(np.arange(len(lengths)), lengths), self.items[start:end]


def known_users(
    encoded: EncodedDomain,
    users: Sequence[str] | None,
    at: str | int | None,
    max_history: int = MAX_HISTORY,
    *,
    unknown: Unknown | None = None,
) -> Histories:
    """Return the histories of users of the domain before the time `at`.

    With ``unknown="popular"``, users who are not in the log, or have no event before `at`, have an empty history.
    Otherwise those without an event before `at` are left out, with a warning in the log.

    Parameters
    ----------
    encoded
        The domain.
    users
        User ids; None for all users. In a domain without users that is one user, `NOBODY`, with an empty history.
    at
        See `moment`.
    max_history
        Number of most recent items that a recommender reads.
    unknown
        See `Unknown`. None is ``"error"`` or, in a domain without users, ``"popular"``.

    Raises
    ------
    InputError
        If a user is unknown and is to be refused, or `at` is no time.

    Examples
    --------
    >>> import numpy as np
    >>> from prerec_pyro.data import Domain, encode_domain
    >>> domain = Domain("shop", ["tea", "cup"], ["green tea", "tea cup"], ["ann", "bob"], [0, 2, 3], [0, 1, 0])
    >>> histories = known_users(encode_domain(domain.with_embeddings(np.eye(2))), ["ann"], at=None)
    >>> histories.user_ids.tolist(), histories.items.tolist()
    (['ann'], [0, 1])
    """
    domain = encoded.domain
    unknown = unknown or ("error" if domain.num_users else "popular")
    ids, rows = _user_rows(domain, users, unknown)
    seconds = moment(encoded, at)
    start = domain.offsets[rows]
    end = np.where(rows < 0, start, domain.offsets[rows + 1])
    lengths = end - start
    if at is not None and domain.timestamps is not None:
        before = np.concatenate([[0], np.cumsum(domain.timestamps < seconds)])
        lengths = before[end] - before[start]  # the events of a user are in order of time
    if unknown != "popular":
        some = lengths > 0
        if not some.all():
            logger.warning("%d users have no event before %s and get no list", int((~some).sum()), at)
        ids, start, lengths = ids[some], start[some], lengths[some]
    within = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
    return Histories(
        ids,
        np.concatenate([[0], lengths.cumsum()]),
        domain.item_index[np.repeat(start, lengths) + within].astype(np.int64),
        slot_of(encoded, seconds),
        max_history,
    )


def _user_rows(domain: Domain, users: Sequence[str] | None, unknown: Unknown) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids to recommend for, and their rows, -1 for an id that is not in the log."""
    if users is None:
        if domain.num_users or unknown == "skip":
            return domain.user_ids, np.arange(domain.num_users)
        if unknown == "error":
            raise InputError(f"domain {domain.name!r} has no log, so nobody there has a history to recommend by")
        return np.array([NOBODY], dtype=object), np.array([-1])
    rows = domain.user_position(users, strict=unknown == "error")
    known = rows >= (0 if unknown == "skip" else -1)
    return np.asarray(pd.Index(np.asarray(users)).astype(str), dtype=object)[known], rows[known]


def new_users(encoded: EncodedDomain, frame: Any, at: str | int | None, max_history: int = MAX_HISTORY) -> Histories:
    """Return the histories of new users, from a table of their events.

    Parameters
    ----------
    encoded
        The domain.
    frame
        Any data frame that narwhals reads, with the columns ``user_id``, ``item_id`` and, optionally, ``timestamp`` and
        ``order``, which are read as in `Domain.from_tables`. Without these two, the order of the rows counts.
    at
        See `moment`; with timestamps, only events before it count.
    max_history
        Number of most recent items that a recommender reads.

    Raises
    ------
    InputError
        If a column is missing, a value is empty, or an item is not in the catalogue of the domain.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from prerec_pyro.data import Domain, encode_domain
    >>> domain = Domain("shop", ["tea", "cup"], ["green tea", "tea cup"], ["ann", "bob"], [0, 2, 3], [0, 1, 0])
    >>> events = pd.DataFrame({"user_id": ["cy", "cy"], "item_id": ["cup", "tea"]})
    >>> histories = new_users(encode_domain(domain.with_embeddings(np.eye(2))), events, at=None)
    >>> histories.user_ids.tolist(), histories.items.tolist()
    (['cy'], [1, 0])
    """
    origin = Origin("histories")
    table = open_frame(frame, origin)
    if missing := {"user_id", "item_id"} - set(table.columns):
        found = ", ".join(map(str, table.columns))
        raise InputError(f"histories: no column {', '.join(sorted(missing))}; found {found}")
    if not len(table):
        raise InputError("histories: the table is empty; expected one row for each event")
    ids = {name: id_strings(arrow_column(table, name, origin), name, origin) for name in ("user_id", "item_id")}
    user, item = (ids[name].to_numpy(zero_copy_only=False) for name in ("user_id", "item_id"))
    keys = {}
    if "order" in table.columns:
        keys["order"] = times.positions(arrow_column(table, "order", origin), "order", origin)
    if "timestamp" in table.columns:
        keys["timestamp"] = times.seconds(arrow_column(table, "timestamp", origin), "timestamp", origin)[0]
    timed = at is not None and "timestamp" in keys
    before = keys["timestamp"] < moment(encoded, at) if timed else np.ones(len(user), dtype=bool)
    if not before.any():
        raise InputError(f"histories: no event before {at}; give earlier events or a later time")
    code, user_ids = pd.factorize(user[before])
    order = np.lexsort([*(key[before] for key in keys.values()), code])  # by user, then time, then position
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
    """Return a time in seconds since 1970 UTC.

    Parameters
    ----------
    encoded
        The domain.
    at
        ISO time (UTC without a time zone) or seconds since 1970; None is the day after the last event of the log.

    Raises
    ------
    InputError
        If the time cannot be read, or the domain has no timestamps.
    """
    timestamps = encoded.domain.timestamps
    if at is None:
        return 0 if timestamps is None else (int(timestamps.max()) // SECONDS_PER_DAY + 1) * SECONDS_PER_DAY
    if timestamps is None:
        why = "timestamps, only an order" if encoded.domain.num_interactions else "log"
        raise InputError(f"at {at!r}: domain {encoded.name!r} has no {why}; leave it out")
    try:
        time = pd.Timestamp(int(at), unit="s") if str(at).lstrip("-").isdigit() else pd.Timestamp(at)
    except (ValueError, OverflowError):
        raise InputError(f"at {at!r}: expected an ISO time such as 2011-06-01T12:00 or seconds since 1970") from None
    if time is pd.NaT:
        raise InputError(f"at {at!r}: expected an ISO time such as 2011-06-01T12:00 or seconds since 1970")
    time = time.tz_localize("UTC") if time.tzinfo is None else time.tz_convert("UTC")
    return int(time.timestamp())


def slot_of(encoded: EncodedDomain, seconds: int) -> int:
    """Return the popularity slot of a time in seconds since 1970 UTC."""
    return int(encoded.popularity.slots(np.array(seconds // SECONDS_PER_DAY)))


def read_histories(
    encoded: EncodedDomain,
    users: Sequence[str] | None,
    histories: Any,
    at: str | int | None,
    unknown: Unknown | None = None,
) -> Histories:
    """Return the histories to recommend for, from `known_users` or, where `histories` is given, from `new_users`.

    Raises
    ------
    InputError
        If both `users` and `histories` are given, or one of them is refused.
    """
    if histories is None:
        return known_users(encoded, users, at, unknown=unknown)
    if users is not None:
        raise InputError("give either users of the domain or histories of new users, not both")
    return new_users(encoded, histories, at)
