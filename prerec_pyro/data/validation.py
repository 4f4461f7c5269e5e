"""Checks of the tables that become a domain: a domain is checked once, when it is built, and trusted afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prerec_pyro.data.frames import Origin, arrow_column, id_strings, open_frame, quoted, text_strings
from prerec_pyro.data.item_arrays import earliest_day, read_covariate, read_first_seen, require_same_values
from prerec_pyro.data.times import positions, seconds
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    import narwhals as nw

_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}


@dataclass(frozen=True)
class CheckedItems:
    """Distinct items of a checked table, in order of first appearance.

    Attributes
    ----------
    item_ids, item_texts
        ``(num_items,)`` strings.
    covariates
        Name → ``(num_items,)`` float32.
    first_seen
        ``(num_items,)`` int32 days since 1970, -1 for an item without one; None without any.
    """

    item_ids: pa.Array
    item_texts: pa.Array
    covariates: dict[str, np.ndarray]
    first_seen: np.ndarray | None = None


@dataclass(frozen=True)
class CheckedTables:
    """Checked tables: the items, the events in sequence order, and what was dropped or noticed.

    Attributes
    ----------
    item_ids, item_texts
        ``(num_items,)`` arrays of ``str``.
    item_covariates
        Name → ``(num_items,)`` float32.
    user_ids
        ``(num_users,)`` array of ``str``, in order of first appearance.
    offsets
        ``(num_users + 1,)`` int64.
    item_index
        ``(num_interactions,)`` int32.
    timestamps
        ``(num_interactions,)`` int64 seconds since 1970, or None.
    dropped
        Reason → number of dropped rows.
    notes
        Sentences about the tables.
    first_seen
        As in `CheckedItems`.
    """

    item_ids: np.ndarray
    item_texts: np.ndarray
    item_covariates: dict[str, np.ndarray]
    user_ids: np.ndarray
    offsets: np.ndarray
    item_index: np.ndarray
    timestamps: np.ndarray | None
    dropped: dict[str, int]
    notes: list[str]
    first_seen: np.ndarray | None = None


def check_tables(
    interactions: Any, items: Any, origins: tuple[Origin, Origin], item_covariates: Sequence[str] = ()
) -> CheckedTables:
    """Return the checked tables, with events by user, then by time or order; ties keep the order of the rows.

    Parameters
    ----------
    interactions
        Table with the columns ``user_id``, ``item_id``, and ``timestamp`` or ``order`` or both; None for a catalogue
        without a log.
    items
        Table with the columns ``item_id`` and ``text``, those of `item_covariates` and, optionally, ``first_seen``.
    origins
        Sources of the two tables, for the messages.
    item_covariates
        Columns of the items table that hold a number for each item.

    Raises
    ------
    InputError
        If a column is missing, an id or a time is empty or unreadable, an item id has two texts or two values of a
        covariate, the text column holds numbers, a covariate holds anything else than finite numbers, a table is
        empty, or more than half of the interactions name unknown items.
    """
    dropped: dict[str, int] = {}
    notes: list[str] = []
    catalogue = check_items(items, origins[1], dropped, notes, item_covariates)
    if interactions is None:
        users, item_index, times, order = pa.array([], pa.large_string()), np.empty(0, np.int32), None, None
        notes.append("no interactions: a catalogue without a log")
    else:
        users, item_index, times, order = _check_interactions(interactions, origins, catalogue.item_ids, dropped, notes)

    encoded = pc.dictionary_encode(users)
    user_codes = encoded.indices.to_numpy(zero_copy_only=False)
    # lexsort is stable: events that tie keep the order of the file.
    keys = [key for key in (order, times) if key is not None]
    sequence = np.lexsort((*keys, user_codes))
    lengths = np.bincount(user_codes, minlength=len(encoded.dictionary))
    notes.extend(single_event_notes(lengths))
    return CheckedTables(
        item_ids=to_objects(catalogue.item_ids),
        item_texts=to_objects(catalogue.item_texts),
        item_covariates=catalogue.covariates,
        user_ids=to_objects(encoded.dictionary),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        item_index=item_index[sequence],
        timestamps=None if times is None else times[sequence],
        dropped=dropped,
        notes=notes,
        first_seen=catalogue.first_seen,
    )


def single_event_notes(lengths: np.ndarray) -> list[str]:
    """Return a note on users with one interaction, or no note, from the users' numbers of events ``(num_users,)``."""
    alone = int((lengths == 1).sum())
    if not alone:
        return []
    share = alone / len(lengths)
    return [f"{alone:,} of {len(lengths):,} users ({share:.1%}) have one interaction only and give no query"]


def to_objects(strings: pa.Array) -> np.ndarray:
    """Return Arrow strings as a numpy array of ``str`` objects."""
    result = np.empty(len(strings), dtype=object)
    result[:] = strings.to_numpy(zero_copy_only=False)
    return result


def require_columns(found: Sequence[str], needed: Sequence[str], origin: Origin) -> None:
    """Check that the `needed` columns (``"timestamp or order"`` is one entry) are among `found`.

    Raises
    ------
    InputError
        If a column is missing. The message names the columns that exist, and the delimiter where one column holds the
        whole line.
    """
    missing = [name for name in needed if not any(option in found for option in name.split(" or "))]
    if not missing:
        return
    if len(found) == 1:
        for delimiter, spoken in _DELIMITERS.items():
            if delimiter in found[0]:
                raise InputError(
                    f"{origin.label}, line 1: the delimiter looks wrong: there is only one column, and its "
                    f"name holds {spoken} ({found[0]!r}); save .csv files with commas and .tsv files with "
                    "tabs"
                )
    raise InputError(
        f"{origin.label}: no column {', '.join(repr(name) for name in missing)}; it has "
        f"{', '.join(repr(name) for name in found) or 'no columns'}. Rename a column, or map it: --column "
        f"{missing[0].split(' or ')[0]}=NAME"
    )


def check_items(
    items: Any, origin: Origin, dropped: dict[str, int], notes: list[str], covariates: Sequence[str] = ()
) -> CheckedItems:
    """Return the distinct items of a table ``item_id, text``, its covariates and its column ``first_seen``.

    Parameters
    ----------
    items
        Any data frame that `open_frame` takes.
    origin
        Source of the table, for the messages.
    dropped, notes
        Counts and sentences to which this adds what it drops and notices.
    covariates
        Further columns, each with a number for every item.

    Raises
    ------
    InputError
        If a column is missing, the table is empty, an id is empty, an item has two texts or two values of a covariate,
        the texts are numbers, a covariate holds anything else than finite numbers, or a day of listing is unreadable.
    """
    if isinstance(covariates, str):
        raise TypeError("item_covariates is one string; pass a list of column names")
    frame = open_frame(items, origin)
    _require_item_columns(frame, covariates, origin)
    if not len(frame):
        raise InputError(f"{origin.label}: no rows; expected one row for each item of the catalogue")
    ids = id_strings(arrow_column(frame, "item_id", origin), "item_id", origin)
    texts = text_strings(arrow_column(frame, "text", origin), "text", origin)
    values = {name: read_covariate(frame, name, origin) for name in covariates}
    first_seen, time_notes = read_first_seen(frame, origin)
    notes.extend(time_notes)

    codes = pc.dictionary_encode(ids).indices.to_numpy(zero_copy_only=False)
    _, first = np.unique(codes, return_index=True)  # codes count from 0 in order of first appearance
    if len(first) < len(codes):
        _require_same_texts(ids, texts, first[codes], origin)
        require_same_values(values, first[codes], ids, origin)
        dropped["duplicate_item_rows"] = len(codes) - len(first)
        notes.append(f"{origin.label}: {len(codes) - len(first):,} repeated item rows were dropped")
        ids, texts = ids.take(pa.array(first)), texts.take(pa.array(first))
        values = {name: column[first] for name, column in values.items()}
        first_seen = None if first_seen is None else earliest_day(first_seen, codes)
    notes.extend(_empty_text_notes(texts, origin))
    return CheckedItems(ids, texts, values, first_seen)


def _require_item_columns(frame: nw.DataFrame[Any], covariates: Sequence[str], origin: Origin) -> None:
    names = [str(name) for name in frame.columns]
    require_columns(names, ["item_id", "text"], origin)
    for name in covariates:
        if name not in names:
            raise InputError(
                f"{origin.label}: no column {name!r} for the item covariate {name!r}; it has "
                f"{', '.join(repr(name) for name in names)}"
            )


def _require_same_texts(ids: pa.Array, texts: pa.Array, first: np.ndarray, origin: Origin) -> None:
    """Raise `InputError` where rows of one item differ in text; `first` is the row where each item occurs first."""
    same = pc.equal(texts, texts.take(pa.array(first))).to_numpy(zero_copy_only=False)
    conflicts = np.flatnonzero(~same.astype(bool))
    if len(conflicts):
        row = conflicts[0]
        raise InputError(
            f"{origin.label}, {origin.column('item_id')}: {origin.rows(conflicts)}: an item occurs again with another "
            f"text: {ids[row].as_py()!r} is {texts[first[row]].as_py()!r} in {origin.rows(first[row : row + 1])}, then "
            f"{texts[row].as_py()!r}; keep one row for each item"
        )


def _empty_text_notes(texts: pa.Array, origin: Origin) -> list[str]:
    empty = pc.sum(pc.equal(pc.utf8_trim_whitespace(texts), "")).as_py()
    if empty == len(texts):
        return [
            f"{origin.label}: no item has a text, so the text encoder cannot tell items apart; give texts, "
            "or item embeddings of your own"
        ]
    if empty:
        return [
            f"{origin.label}: {empty:,} of {len(texts):,} items have no text; they will all look alike to "
            "the text encoder"
        ]
    return []


def _check_interactions(
    interactions: Any,
    origins: tuple[Origin, Origin],
    item_ids: pa.Array,
    dropped: dict[str, int],
    notes: list[str],
) -> tuple[pa.Array, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return user ids, item indices, times and positions of the interactions with known items, in row order."""
    origin = origins[0]
    frame = open_frame(interactions, origin)
    names = [str(name) for name in frame.columns]
    require_columns(names, ["user_id", "item_id", "timestamp or order"], origin)
    if not len(frame):
        raise InputError(f"{origin.label}: no rows; expected one row for each interaction")
    users = id_strings(arrow_column(frame, "user_id", origin), "user_id", origin)
    named = id_strings(arrow_column(frame, "item_id", origin), "item_id", origin)
    times = order = None
    if "timestamp" in names:
        times, time_notes = seconds(arrow_column(frame, "timestamp", origin), "timestamp", origin)
        notes.extend(time_notes)
    if "order" in names:
        order = positions(arrow_column(frame, "order", origin), "order", origin)

    index = pc.fill_null(pc.index_in(named, value_set=item_ids), -1).to_numpy(zero_copy_only=False)
    known = index >= 0
    unknown = np.flatnonzero(~known)
    if len(unknown):
        _check_unknown_share(named, unknown, item_ids, origins)
        dropped["unknown_item"] = len(unknown)
        notes.append(
            f"{origin.label}: {len(unknown):,} of {len(index):,} interactions were dropped, since their "
            f"item is not in {origins[1].label} ({quoted(named.take(pa.array(unknown[:4])).to_pylist())})"
        )
        users = users.filter(pa.array(known))
        times = None if times is None else times[known]
        order = None if order is None else order[known]
    return users, index[known].astype(np.int32), times, order


def _check_unknown_share(
    named: pa.Array, unknown: np.ndarray, item_ids: pa.Array, origins: tuple[Origin, Origin]
) -> None:
    """Raise `InputError` where more than half of the rows name unknown items: the files do not belong together."""
    if 2 * len(unknown) <= len(named):
        return
    share = "all" if len(unknown) == len(named) else f"{len(unknown):,} of {len(named):,}"
    theirs = quoted(named.take(pa.array(unknown[:4])).to_pylist())
    raise InputError(
        f"{origins[0].label}, {origins[0].column('item_id')}: {origins[0].rows(unknown)}: {share} "
        f"interactions name items that are not in {origins[1].label}: {theirs} here, "
        f"{quoted(item_ids.slice(0, 4).to_pylist())} there; give the items file that belongs to these "
        "interactions, with the same spelling of the ids"
    )
