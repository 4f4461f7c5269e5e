"""A domain: one store, market or platform as a catalogue of items with texts and sequences of events."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from prerec_pyro.data import storage
from prerec_pyro.data.frames import Origin, quoted
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.data.validation import check_tables
from prerec_pyro.errors import InputError


@dataclass(frozen=True, eq=False)
class Domain:
    """The table contract: what every reader returns and every recommender takes.

    Rows are numbered: row ``i`` of the items is *item index* ``i``, user ``u`` owns the events
    ``slice(offsets[u], offsets[u + 1])``. Events lie in sequence order: by user, then by time, ties in the
    order of the file. Build one with `from_tables`, `load` or a reader; those check what they are given, this
    constructor checks shapes only. Do not write into the arrays.

    Parameters
    ----------
    name
        What the domain is called in tables and messages.
    item_ids, item_texts
        ``(num_items,)`` arrays of ``str``; ids are unique, a text may be empty.
    user_ids
        ``(num_users,)`` array of ``str``, in order of first appearance.
    offsets
        ``(num_users + 1,)`` int64.
    item_index
        ``(num_interactions,)`` int32, rows of `item_ids`.
    timestamps
        ``(num_interactions,)`` int64, seconds since 1970 UTC; ``None`` where only the order is known.
    embeddings
        ``(num_items, text_dim)`` float32 that the user supplies in place of a text encoder's.
    provenance
        Plain JSON: ``source``, ``files``, ``dropped`` (reason → count) and ``notes`` (sentences).
    """

    name: str
    item_ids: np.ndarray
    item_texts: np.ndarray
    user_ids: np.ndarray
    offsets: np.ndarray
    item_index: np.ndarray
    timestamps: np.ndarray | None = None
    embeddings: np.ndarray | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the dtypes and shapes what the class says, or raise ``ValueError``."""
        fix = object.__setattr__
        for name in ("item_ids", "item_texts", "user_ids"):
            fix(self, name, _objects(getattr(self, name)))
        fix(self, "offsets", np.asarray(self.offsets, dtype=np.int64))
        fix(self, "item_index", np.asarray(self.item_index, dtype=np.int32))
        if self.timestamps is not None:
            fix(self, "timestamps", np.asarray(self.timestamps, dtype=np.int64))
        if len(self.item_texts) != self.num_items or len(self.offsets) != self.num_users + 1:
            raise ValueError(f"domain {self.name!r}: item_texts, user_ids and offsets do not fit each other")
        ends = self.offsets[[0, -1]].tolist()
        if ends != [0, self.num_interactions] or (np.diff(self.offsets) < 1).any():
            raise ValueError(f"domain {self.name!r}: offsets must give every user an event, of {self.num_interactions}")
        if self.num_interactions and not 0 <= self.item_index.min() <= self.item_index.max() < self.num_items:
            raise ValueError(f"domain {self.name!r}: item_index names items that do not exist")
        if self.timestamps is not None and len(self.timestamps) != self.num_interactions:
            raise ValueError(f"domain {self.name!r}: {len(self.timestamps)} timestamps, {self.num_interactions} events")
        if self.embeddings is not None:
            fix(self, "embeddings", _checked_embeddings(self.embeddings, self.num_items, self.name))

    @classmethod
    def from_tables(
        cls, interactions: Any, items: Any, *, name: str, source: str | tuple[Origin, Origin] = "given tables"
    ) -> Domain:
        """Return the domain of two tables, checked; what was dropped or noticed is in ``provenance``.

        Parameters
        ----------
        interactions
            Columns ``user_id``, ``item_id`` and ``timestamp`` or ``order`` (any number that sorts) or both:
            events are sorted by time, then order, and ties keep the order of the rows. pandas, polars,
            pyarrow, DuckDB.
        items
            Columns ``item_id`` and ``text``; its row order is the item index.
        name
            What to call the domain.
        source
            What to call the tables in messages, or the `Origin` of each.

        Raises
        ------
        InputError
            See `prerec_pyro.data.validation.check_tables`.
        """
        origins = (
            source if isinstance(source, tuple) else (Origin(f"{source}, interactions"), Origin(f"{source}, items"))
        )
        checked = check_tables(interactions, items, origins)
        provenance = {
            "source": source if isinstance(source, str) else "files",
            "files": [] if isinstance(source, str) else [origin.label for origin in origins],
            "dropped": checked.dropped,
            "notes": checked.notes,
        }
        return cls(
            name=name,
            item_ids=checked.item_ids,
            item_texts=checked.item_texts,
            user_ids=checked.user_ids,
            offsets=checked.offsets,
            item_index=checked.item_index,
            timestamps=checked.timestamps,
            provenance=provenance,
        )

    @property
    def num_items(self) -> int:
        """Number of items in the catalogue, those without events included."""
        return len(self.item_ids)

    @property
    def num_users(self) -> int:
        """Number of users, each with at least one event."""
        return len(self.user_ids)

    @property
    def num_interactions(self) -> int:
        """Number of events."""
        return len(self.item_index)

    @property
    def has_timestamps(self) -> bool:
        """Whether events have times, not an order alone."""
        return self.timestamps is not None

    @cached_property
    def days(self) -> np.ndarray | None:
        """``(num_interactions,)`` int32 days since 1970 UTC, or ``None`` without timestamps."""
        return None if self.timestamps is None else (self.timestamps // SECONDS_PER_DAY).astype(np.int32)

    @cached_property
    def user_of_event(self) -> np.ndarray:
        """``(num_interactions,)`` int32 rows of `user_ids`."""
        return np.repeat(np.arange(self.num_users, dtype=np.int32), np.diff(self.offsets))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of ids, texts and events; name and embeddings do not enter."""
        digest = hashlib.sha256()
        for strings in (self.item_ids, self.item_texts, self.user_ids):
            column = pa.array(strings, pa.large_string())
            _, ends, characters = column.buffers()
            digest.update(np.frombuffer(ends, dtype="<i8", count=len(column) + 1).tobytes())
            digest.update(b"" if characters is None else characters)
        digest.update(self.offsets.astype("<i8").tobytes())
        digest.update(self.item_index.astype("<i4").tobytes())
        digest.update(b"order" if self.timestamps is None else self.timestamps.astype("<i8").tobytes())
        return digest.hexdigest()

    def item_position(self, item_ids: Sequence[str] | np.ndarray | pd.Series) -> np.ndarray:
        """Return ``(len(item_ids),)`` int64 item indices.

        Raises
        ------
        InputError
            If an id is not in the catalogue.
        """
        return self._position(self._item_lookup, item_ids, "item")

    def user_position(self, user_ids: Sequence[str] | np.ndarray | pd.Series) -> np.ndarray:
        """Return ``(len(user_ids),)`` int64 user rows.

        Raises
        ------
        InputError
            If an id has no events in this domain.
        """
        return self._position(self._user_lookup, user_ids, "user")

    @cached_property
    def _item_lookup(self) -> pd.Index:
        return pd.Index(self.item_ids, dtype=object)

    @cached_property
    def _user_lookup(self) -> pd.Index:
        return pd.Index(self.user_ids, dtype=object)

    def _position(self, lookup: pd.Index, ids: Sequence[str] | np.ndarray | pd.Series, what: str) -> np.ndarray:
        wanted = pd.Index(np.asarray(ids)).astype(str).astype(object)
        rows = lookup.get_indexer(wanted)
        unknown = wanted[rows < 0]
        if len(unknown):
            raise InputError(
                f"domain {self.name!r}: unknown {what} ids: {quoted(unknown)} ({len(unknown):,} of "
                f"{len(wanted):,}); {what} ids there look like {quoted(lookup[:4])}"
            )
        return rows.astype(np.int64)

    def with_embeddings(self, array: np.ndarray) -> Domain:
        """Return the same domain with item embeddings of the user's own, which replace the text encoder.

        Parameters
        ----------
        array
            ``(num_items, text_dim)`` finite numbers, row ``i`` for item index ``i``.

        Raises
        ------
        InputError
            If the shape is another or a number is not finite.
        """
        return dataclasses.replace(self, embeddings=array)

    def with_notes(self, *notes: str, dropped: Mapping[str, int] | None = None) -> Domain:
        """Return the same domain with more notes and dropped counts in ``provenance``."""
        provenance = dict(self.provenance)
        provenance["notes"] = [*notes, *provenance.get("notes", [])]
        provenance["dropped"] = {**(dropped or {}), **provenance.get("dropped", {})}
        return dataclasses.replace(self, provenance=provenance)

    def interactions_frame(self) -> pd.DataFrame:
        """Return the events in sequence order: ``user_id, item_id, timestamp`` (seconds) or ``order``."""
        last = self.timestamps if self.has_timestamps else self.order
        return pd.DataFrame(
            {
                "user_id": self.user_ids[self.user_of_event],
                "item_id": self.item_ids[self.item_index],
                "timestamp" if self.has_timestamps else "order": last,
            }
        )

    def items_frame(self) -> pd.DataFrame:
        """Return the catalogue in the order of the item index: ``item_id, text``."""
        return pd.DataFrame({"item_id": self.item_ids, "text": self.item_texts})

    @property
    def order(self) -> np.ndarray:
        """``(num_interactions,)`` int64 position of each event in its user's sequence, from 0."""
        return np.arange(self.num_interactions, dtype=np.int64) - self.offsets[:-1][self.user_of_event]

    def save(self, folder: str | Path) -> None:
        """Write the domain as Parquet and ``domain.json``; see `prerec_pyro.data.storage.write_domain`."""
        storage.write_domain(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Domain:
        """Return a saved domain; see `prerec_pyro.data.storage.read_domain` for the errors."""
        domain = cls(**storage.read_domain(Path(folder)))
        storage.check_fingerprint(domain, Path(folder))
        return domain


def _objects(strings: Sequence[str] | np.ndarray) -> np.ndarray:
    if isinstance(strings, np.ndarray) and strings.dtype == object:
        return strings
    return np.array(strings.tolist() if isinstance(strings, np.ndarray) else list(strings), dtype=object)


def _checked_embeddings(array: np.ndarray, num_items: int, name: str) -> np.ndarray:
    try:
        result = np.ascontiguousarray(array, dtype=np.float32)
    except (TypeError, ValueError):
        raise InputError(f"domain {name!r}: item embeddings must be numbers of shape ({num_items}, text_dim)") from None
    if result.ndim != 2 or len(result) != num_items or result.shape[1] == 0:
        raise InputError(
            f"domain {name!r}: item embeddings have shape {result.shape}; expected ({num_items}, text_dim), "
            "one row an item in the order of the item index"
        )
    wrong = np.flatnonzero(~np.isfinite(result).all(axis=1))
    if len(wrong):
        raise InputError(
            f"domain {name!r}: item embeddings: rows {wrong[:3].tolist()} ({len(wrong):,} in all, counted "
            "from 0) hold NaN or infinity; recompute them"
        )
    return result
