"""The class `Domain`: one store, market or platform, with its catalogue, item texts and sequences of events."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prerec_pyro.data import storage
from prerec_pyro.data.frames import Origin, quoted
from prerec_pyro.data.item_arrays import check_covariates, check_embeddings, check_first_seen
from prerec_pyro.data.summary import as_html, as_text, summary_rows
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.data.validation import check_tables
from prerec_pyro.errors import InputError


@dataclass(frozen=True, eq=False, repr=False)
class Domain:
    """Tables of one domain: every reader returns a `Domain`, and every recommender takes one.

    Row ``i`` of the items is *item index* ``i``. User ``u`` owns the events ``slice(offsets[u], offsets[u + 1])``.
    Events are in sequence order: by user, then by time; ties keep the order of the file. Build a domain with
    `from_tables`, `load` or a reader; these check the content, while the constructor checks only shapes, embeddings
    and covariates. Do not write into the arrays.

    Parameters
    ----------
    name
        Name of the domain in tables and messages.
    item_ids, item_texts
        ``(num_items,)`` arrays of ``str``; ids are unique, a text may be empty.
    user_ids
        ``(num_users,)`` array of ``str``, in order of first appearance.
    offsets
        ``(num_users + 1,)`` int64.
    item_index
        ``(num_interactions,)`` int32, rows of `item_ids`.
    timestamps
        ``(num_interactions,)`` int64, seconds since 1970 UTC; ``None`` where only the order is known, or no event.
    embeddings
        ``(num_items, text_dim)`` float32 that the user supplies in place of a text encoder's.
    provenance
        Plain JSON: ``source``, ``files``, ``dropped`` (reason → count) and ``notes`` (sentences).
    item_covariates
        Name → ``(num_items,)`` float32: numbers of the items, such as prices, for graphs of a user's own.
    first_seen
        ``(num_items,)`` int32, day since 1970 UTC on which the store listed each item; -1 for an item without one, and
        ``None`` where none is known. The first event of an item stands for it then, see `first_days`.

    Examples
    --------
    >>> import pandas as pd
    >>> from prerec_pyro.data import Domain
    >>> events = {"user_id": ["ann", "ann", "bob"], "item_id": ["tea", "cup", "tea"], "order": [0, 1, 0]}
    >>> items = {"item_id": ["tea", "cup"], "text": ["green tea", "tea cup"]}
    >>> Domain.from_tables(pd.DataFrame(events), pd.DataFrame(items), name="shop")
    Domain 'shop'
      items:        2
      users:        2
      interactions: 3
      period:       order only
      empty texts:  0 (0.0%)
      embeddings:   none
      notes:        1, in provenance['notes']: 1 of 2 users (50.0%) have one interaction only and give no …
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
    item_covariates: Mapping[str, np.ndarray] = field(default_factory=dict)
    first_seen: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Convert the arrays to their dtypes and check the shapes; raise ``ValueError`` or `InputError`."""
        convert = object.__setattr__  # the class is frozen
        for name in ("item_ids", "item_texts", "user_ids"):
            convert(self, name, _objects(getattr(self, name)))
        convert(self, "offsets", np.asarray(self.offsets, dtype=np.int64))
        convert(self, "item_index", np.asarray(self.item_index, dtype=np.int32))
        if self.timestamps is not None:
            convert(self, "timestamps", np.asarray(self.timestamps, dtype=np.int64))
        if len(self.item_texts) != self.num_items or len(self.offsets) != self.num_users + 1:
            raise ValueError(f"domain {self.name!r}: the lengths of item_texts, user_ids and offsets do not agree")
        ends = self.offsets[[0, -1]].tolist()
        if ends != [0, self.num_interactions] or (np.diff(self.offsets) < 1).any():
            raise ValueError(
                f"domain {self.name!r}: offsets must rise from 0 to {self.num_interactions}, an event for each user"
            )
        if self.num_interactions and not 0 <= self.item_index.min() <= self.item_index.max() < self.num_items:
            raise ValueError(f"domain {self.name!r}: item_index names items that do not exist")
        if self.timestamps is not None and len(self.timestamps) != self.num_interactions:
            raise ValueError(f"domain {self.name!r}: {len(self.timestamps)} timestamps, {self.num_interactions} events")
        if self.embeddings is not None:
            convert(self, "embeddings", check_embeddings(self.embeddings, self.num_items, self.name))
        convert(self, "item_covariates", check_covariates(self.item_covariates, self.num_items, self.name))
        if self.first_seen is not None:
            convert(self, "first_seen", check_first_seen(self.first_seen, self.num_items, self.name))

    def __repr__(self) -> str:
        return as_text(f"Domain {self.name!r}", summary_rows(self))

    def _repr_html_(self) -> str:
        """Return the same as an HTML table, for notebooks."""
        return as_html(f"Domain {self.name!r}", summary_rows(self))

    @classmethod
    def from_tables(
        cls,
        interactions: Any,
        items: Any,
        *,
        name: str,
        source: str | tuple[Origin, Origin] = "given tables",
        item_covariates: Sequence[str] = (),
    ) -> Domain:
        """Return the domain of two tables, checked; ``provenance`` says what was dropped or noticed.

        Parameters
        ----------
        interactions
            Table with the columns ``user_id``, ``item_id``, and ``timestamp`` or ``order`` (any number to sort by) or
            both. Events are sorted by time, then order; ties keep the order of the rows. pandas, polars, pyarrow and
            DuckDB tables are accepted. None makes a domain without a log: it has items only.
        items
            Table with the columns ``item_id`` and ``text``; its row order is the item index. A column ``first_seen``
            with times gives the days on which the store listed its items; a value may be missing.
        name
            Name of the domain.
        source
            Name of the tables in messages, or the `Origin` of each.
        item_covariates
            Names of further columns of `items`, each with a number for every item.

        Raises
        ------
        InputError
            See `prerec_pyro.data.validation.check_tables`.

        Examples
        --------
        >>> import pandas as pd
        >>> events = {"user_id": ["ann", "ann"], "item_id": ["tea", "cup"], "timestamp": ["2024-01-02", "2024-01-01"]}
        >>> items = {"item_id": ["tea", "cup"], "text": ["green tea", "tea cup"], "price": [3.5, 12]}
        >>> domain = Domain.from_tables(
        ...     pd.DataFrame(events), pd.DataFrame(items), name="shop", item_covariates=["price"]
        ... )
        >>> domain.interactions_frame()["item_id"].tolist(), domain.item_covariates["price"].tolist()
        (['cup', 'tea'], [3.5, 12.0])
        """
        if isinstance(source, str):
            origins = (Origin(f"{source}, interactions"), Origin(f"{source}, items"))
            facts: dict[str, Any] = {"source": source, "files": []}
        else:
            origins = source
            files = origins[1:] if interactions is None else origins
            facts = {"source": "files", "files": [origin.label for origin in files]}
        checked = check_tables(interactions, items, origins, item_covariates)
        return cls(
            name=name,
            item_ids=checked.item_ids,
            item_texts=checked.item_texts,
            user_ids=checked.user_ids,
            offsets=checked.offsets,
            item_index=checked.item_index,
            timestamps=checked.timestamps,
            provenance=facts | {"dropped": checked.dropped, "notes": checked.notes},
            item_covariates=checked.item_covariates,
            first_seen=checked.first_seen,
        )

    @property
    def num_items(self) -> int:
        """Number of items in the catalogue, including items without events."""
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
        """True if events have times, False if only their order is known."""
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
        """SHA-256 (hex) of ids, texts, events, item covariates and `first_seen`; name and embeddings are left out."""
        return storage.content_fingerprint(self)

    def item_position(self, item_ids: Sequence[str] | np.ndarray | pd.Series) -> np.ndarray:
        """Return ``(len(item_ids),)`` int64 item indices.

        Raises
        ------
        InputError
            If an id is not in the catalogue.
        """
        return self._position(self._item_lookup, item_ids, "item")

    def user_position(self, user_ids: Sequence[str] | np.ndarray | pd.Series, *, strict: bool = True) -> np.ndarray:
        """Return ``(len(user_ids),)`` int64 user rows; unless `strict`, -1 for an id without events in this domain.

        Raises
        ------
        InputError
            If it is strict, and an id has no events in this domain.
        """
        return self._position(self._user_lookup, user_ids, "user", strict)

    @cached_property
    def _item_lookup(self) -> pd.Index:
        return pd.Index(self.item_ids, dtype=object)

    @cached_property
    def _user_lookup(self) -> pd.Index:
        return pd.Index(self.user_ids, dtype=object)

    def _position(
        self, lookup: pd.Index, ids: Sequence[str] | np.ndarray | pd.Series, kind: str, strict: bool = True
    ) -> np.ndarray:
        wanted = pd.Index(np.asarray(ids)).astype(str).astype(object)
        rows = lookup.get_indexer(wanted)
        unknown = wanted[rows < 0]
        if strict and len(unknown):
            raise InputError(
                f"domain {self.name!r}: unknown {kind} ids: {quoted(unknown)} ({len(unknown):,} of "
                f"{len(wanted):,}); {kind} ids there look like {quoted(lookup[:4])}"
            )
        return rows.astype(np.int64)

    def with_embeddings(self, array: np.ndarray) -> Domain:
        """Return the same domain with item embeddings supplied by the user, which replace the text encoder.

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

    def with_item_covariates(self, **arrays: np.ndarray) -> Domain:
        """Return the same domain with more item covariates; one of the same name is replaced.

        Parameters
        ----------
        arrays
            Name → ``(num_items,)`` finite numbers, entry ``i`` for item index ``i``.

        Raises
        ------
        InputError
            If a shape is another or a value is no finite number.
        """
        return dataclasses.replace(self, item_covariates={**self.item_covariates, **arrays})

    def with_notes(self, *notes: str, dropped: Mapping[str, int] | None = None) -> Domain:
        """Return the same domain with more notes and dropped counts in ``provenance``."""
        provenance = dict(self.provenance)
        provenance["notes"] = [*notes, *provenance.get("notes", [])]
        provenance["dropped"] = {**(dropped or {}), **provenance.get("dropped", {})}
        return dataclasses.replace(self, provenance=provenance)

    def interactions_frame(self) -> pd.DataFrame:
        """Return the events in sequence order: ``user_id, item_id, timestamp`` (seconds) or ``order``."""
        return pd.DataFrame(
            {
                "user_id": self.user_ids[self.user_of_event],
                "item_id": self.item_ids[self.item_index],
                "timestamp" if self.has_timestamps else "order": self.timestamps if self.has_timestamps else self.order,
            }
        )

    def items_frame(self) -> pd.DataFrame:
        """Return the catalogue by item index: ``item_id, text``, ``first_seen`` (dates) if known, the covariates."""
        columns = {"item_id": self.item_ids, "text": self.item_texts}
        if self.first_seen is not None:
            columns["first_seen"] = np.where(self.first_seen < 0, np.datetime64("NaT"), self.first_seen.astype("M8[D]"))
        return pd.DataFrame({**columns, **self.item_covariates})

    @property
    def order(self) -> np.ndarray:
        """``(num_interactions,)`` int64 position of each event in its user's sequence, from 0."""
        return np.arange(self.num_interactions, dtype=np.int64) - self.offsets[:-1][self.user_of_event]

    def save(self, folder: str | Path) -> None:
        """Write the domain as Parquet and ``domain.json``; see `prerec_pyro.data.storage.write_domain`.

        Examples
        --------
        >>> import tempfile
        >>> domain = Domain("shop", ["tea", "cup"], ["green tea", "tea cup"], ["ann"], [0, 2], [0, 1])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     domain.save(f"{folder}/shop")
        ...     loaded = Domain.load(f"{folder}/shop")
        >>> loaded.fingerprint == domain.fingerprint
        True
        """
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
