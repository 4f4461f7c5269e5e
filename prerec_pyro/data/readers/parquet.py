"""Reader of folders of Parquet parts, batch by batch: the strings of a log are never all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.frames import Origin, arrow_column, id_strings, open_frame, quoted
from prerec_pyro.data.readers.columns import (
    INTERACTION_ROLES,
    ITEM_ROLES,
    OPTIONAL_ROLES,
    add_covariates,
    guess,
    joined,
)
from prerec_pyro.data.times import positions, seconds
from prerec_pyro.data.validation import CheckedItems, check_items, require_columns, single_event_notes, to_objects
from prerec_pyro.errors import InputError

BATCH_ROWS = 1 << 17
_SUFFIXES = (".parquet", ".pq")


def read_parquet(
    source: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    name: str | None = None,
    item_covariates: Sequence[str] = (),
) -> Domain:
    """Return the domain of two folders of Parquet parts.

    Memory holds 16 bytes of each interaction (user, item, time), more while the events are sorted, and each distinct id
    once. Parts are read in the order of their paths.

    Parameters
    ----------
    source
        A folder that holds ``interactions`` and ``items``. Each is one Parquet file or a folder of parts, with or
        without hive partitions ``key=value``; a key is a column.
    columns
        Our column → theirs, as in `read_tables`.
    name
        Name of the domain; by default the name of the folder.
    item_covariates
        Names of columns of the items that hold a number for each item.

    Raises
    ------
    InputError
        If a part is missing or damaged, a column is not recognised, or `Domain.from_tables` would refuse a value.
    """
    folder, mapping = Path(source), dict(columns or {})
    logs, catalogue = (_open(folder, stem) for stem in ("interactions", "items"))
    _check_mapping(mapping, logs, catalogue)
    dropped: dict[str, int] = {}
    notes: list[str] = []
    items = _read_items(catalogue, folder, mapping, item_covariates, dropped, notes)
    log = _Log(items.item_ids, folder / "interactions")
    for table, origin in _batches(logs, folder / "interactions", INTERACTION_ROLES, mapping):
        log.add(table, origin)
    events = log.in_sequence(dropped, notes)
    provenance = {"source": "files", "files": ["interactions", "items"], "dropped": dropped, "notes": notes}
    return Domain(
        name=name or folder.resolve().name,
        item_ids=to_objects(items.item_ids),
        item_texts=to_objects(items.item_texts),
        user_ids=events.user_ids,
        offsets=events.offsets,
        item_index=events.item_index,
        timestamps=events.timestamps,
        provenance=provenance,
        item_covariates=items.covariates,
        first_seen=items.first_seen,
    )


def _read_items(
    dataset: ds.FileSystemDataset,
    folder: Path,
    mapping: Mapping[str, str],
    covariates: Sequence[str],
    dropped: dict[str, int],
    notes: list[str],
) -> CheckedItems:
    parts = [table for table, _ in _batches(dataset, folder / "items", ITEM_ROLES, mapping, covariates)]
    if not parts:
        raise InputError(f"{folder / 'items'}: no rows; expected one row for each item of the catalogue")
    return check_items(pa.concat_tables(parts), Origin(str(folder / "items")), dropped, notes, covariates)


class _Events(NamedTuple):
    """Events in sequence order, the fields of `Domain`."""

    user_ids: np.ndarray
    offsets: np.ndarray
    item_index: np.ndarray
    timestamps: np.ndarray | None


class _Log:
    """Interactions as numbers, in the order of the files."""

    def __init__(self, item_ids: pa.Array, folder: Path) -> None:
        self._items = {item: row for row, item in enumerate(item_ids.to_pylist())}
        self._users: dict[str, int] = {}
        self._folder = folder
        self._parts: dict[str, list[np.ndarray]] = {"user": [], "item": [], "timestamp": [], "order": []}
        self._unknown: list[str] = []
        self._num_unknown = self._num_rows = 0
        self._time_notes: list[str] | None = None

    def add(self, table: pa.Table, origin: Origin) -> None:
        """Add the rows of a batch."""
        frame = open_frame(table, origin)
        item = _codes(id_strings(arrow_column(frame, "item_id", origin), "item_id", origin), self._item)
        known = item >= 0
        self._num_rows += len(item)
        self._num_unknown += len(item) - int(known.sum())
        users = id_strings(arrow_column(frame, "user_id", origin), "user_id", origin)
        self._parts["item"].append(item[known])
        self._parts["user"].append(_codes(users.filter(pa.array(known)), self._user))
        if "timestamp" in table.column_names:
            times, time_notes = seconds(arrow_column(frame, "timestamp", origin), "timestamp", origin)
            if self._time_notes is not None and self._time_notes != time_notes:
                raise InputError(
                    f"{origin.label}, {origin.column('timestamp')}: {'; '.join(time_notes) or 'ordinary times'}, but "
                    f"before: {'; '.join(self._time_notes) or 'ordinary times'}; write all parts in the same way"
                )
            self._time_notes = time_notes
            self._parts["timestamp"].append(times[known])
        if "order" in table.column_names:
            self._parts["order"].append(positions(arrow_column(frame, "order", origin), "order", origin)[known])

    def _item(self, item: str) -> int:
        row = self._items.get(item, -1)
        if row < 0 and len(self._unknown) < 4 and item not in self._unknown:
            self._unknown.append(item)
        return row

    def _user(self, user: str) -> int:
        return self._users.setdefault(user, len(self._users))

    def in_sequence(self, dropped: dict[str, int], notes: list[str]) -> _Events:
        """Return the events in sequence order, and release the memory of the log."""
        if not self._num_rows:
            raise InputError(f"{self._folder}: no rows; expected one row for each interaction")
        if 2 * self._num_unknown > self._num_rows:
            raise InputError(
                f"{self._folder}: {self._num_unknown:,} of {self._num_rows:,} interactions name items that are not in "
                f"the items ({quoted(self._unknown)}); give the items that belong to these interactions, with "
                "the same spelling of the ids"
            )
        notes.extend(self._time_notes or [])
        if self._num_unknown:
            dropped["unknown_item"] = self._num_unknown
            notes.append(
                f"{self._num_unknown:,} of {self._num_rows:,} interactions were dropped, since their item is not in "
                f"the items ({quoted(self._unknown)})"
            )
        user, item = (self._column(name) for name in ("user", "item"))
        times, order = (self._column(name) if self._parts[name] else None for name in ("timestamp", "order"))
        sequence = np.lexsort((*(key for key in (order, times) if key is not None), user))  # stable
        lengths = np.bincount(user, minlength=len(self._users))
        notes.extend(single_event_notes(lengths))
        return _Events(
            user_ids=np.array(list(self._users), dtype=object),
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            item_index=item[sequence],
            timestamps=None if times is None else times[sequence],
        )

    def _column(self, name: str) -> np.ndarray:
        whole = np.concatenate(self._parts[name])
        self._parts[name].clear()
        return whole


def _codes(ids: pa.Array, code: Callable[[str], int]) -> np.ndarray:
    """Return the code of each id; each distinct id of the batch is looked up once."""
    encoded = pc.dictionary_encode(ids)
    codes = np.array([code(one) for one in encoded.dictionary.to_pylist()], dtype=np.int32)
    return codes[encoded.indices.to_numpy(zero_copy_only=False)]


def _open(folder: Path, stem: str) -> ds.FileSystemDataset:
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; expected a folder that holds interactions and items in Parquet")
    found = [path for path in (folder / stem, *(folder / f"{stem}{end}" for end in _SUFFIXES)) if path.exists()]
    if len(found) != 1:
        names = ", ".join(path.name for path in found or sorted(folder.iterdir())[:8]) or "nothing"
        problem = f"more than one source of {stem}" if found else f"no folder {stem} and no {stem}.parquet"
        raise InputError(f"{folder}: {problem}; it holds {names}")
    files = sorted(
        str(path) for path in ([found[0]] if found[0].is_file() else found[0].rglob("*")) if path.suffix in _SUFFIXES
    )
    if not files:
        raise InputError(f"{found[0]}: holds no .parquet file; expected the parts of the {stem}")
    try:
        return ds.dataset(
            files, format="parquet", partitioning=ds.partitioning(flavor="hive"), partition_base_dir=str(found[0])
        )
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{found[0]}: cannot be read as Parquet ({error}); write or copy it again") from None


def _check_mapping(mapping: Mapping[str, str], *datasets: ds.Dataset) -> None:
    for ours, theirs in mapping.items():
        if ours not in (*INTERACTION_ROLES, *ITEM_ROLES):
            raise InputError(
                f"--column {ours}={theirs}: no column {ours!r}; map one of user_id, item_id, timestamp, order, text, "
                "first_seen"
            )
        parts = theirs.split("+") if ours == "text" else [theirs]
        for part in parts:
            if not any(part in dataset.schema.names for dataset in datasets):
                existing = "; ".join(", ".join(dataset.schema.names) for dataset in datasets)
                raise InputError(f"--column {ours}={theirs}: there is no column {part!r} ({existing})")


def _batches(
    dataset: ds.FileSystemDataset,
    label: Path,
    roles: tuple[str, ...],
    mapping: Mapping[str, str],
    covariates: Sequence[str] = (),
) -> Iterator[tuple[pa.Table, Origin]]:
    """Yield the columns that are needed, under our names, and their origin; files in the order of their paths."""
    names = dataset.schema.names
    found = guess(names, roles, mapping, str(label))
    needed = ["user_id", "item_id", "timestamp or order"] if "user_id" in roles else list(ITEM_ROLES)
    needed = [name for name in needed if name not in OPTIONAL_ROLES]
    if missing := [need for need in needed if not any(option in found for option in need.split(" or "))]:
        require_columns(names, missing, Origin(str(label)))
    found = add_covariates(found, covariates, names, str(label))
    wanted = sorted(
        {part for theirs in found.values() for part in ([theirs] if theirs in names else theirs.split("+"))}
    )
    for fragment in dataset.get_fragments():
        skipped = 0
        try:
            for batch in fragment.to_batches(schema=dataset.schema, columns=wanted, batch_size=BATCH_ROWS):
                table = pa.Table.from_batches([batch])
                chosen = pa.table({role: joined(table, theirs) for role, theirs in found.items()})
                yield chosen, Origin(fragment.path, columns=dict(found), skipped=skipped)
                skipped += len(batch)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{fragment.path}: cannot be read as Parquet ({error}); write or copy it again") from None
