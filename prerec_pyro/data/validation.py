"""The checks at the door: a domain is checked once, when it is built, and trusted from then on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prerec_pyro.data.frames import (
    Origin,
    arrow_column,
    id_strings,
    open_frame,
    quoted,
    text_strings,
)
from prerec_pyro.data.times import positions, seconds
from prerec_pyro.errors import InputError

_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}


@dataclass(frozen=True)
class CheckedTables:
    """Two tables that passed: events in sequence order, and what was dropped or noticed.

    ``item_ids`` and ``item_texts`` are ``(num_items,)``, ``user_ids`` is ``(num_users,)`` in order of first
    appearance, ``offsets`` is ``(num_users + 1,)``, ``item_index`` and ``timestamps`` are
    ``(num_interactions,)``.
    """

    item_ids: np.ndarray
    item_texts: np.ndarray
    user_ids: np.ndarray
    offsets: np.ndarray
    item_index: np.ndarray
    timestamps: np.ndarray | None
    dropped: dict[str, int]
    notes: list[str]


def check_tables(interactions: Any, items: Any, origins: tuple[Origin, Origin]) -> CheckedTables:
    """Return the events in sequence order (by user, then time or order, ties in file order).

    Parameters
    ----------
    interactions, items
        Tables with the columns ``user_id``, ``item_id``, ``timestamp`` and/or ``order``, and ``item_id``,
        ``text``.
    origins
        Where the two came from, for the messages.

    Raises
    ------
    InputError
        If a column is missing, an id or a time is empty or unreadable, an item id has two texts, the text
        column holds numbers, a table is empty, or more than half of the interactions name unknown items.
    """
    dropped: dict[str, int] = {}
    notes: list[str] = []
    item_ids, item_texts = check_items(items, origins[1], dropped, notes)
    users, item_index, times, order = _check_interactions(interactions, origins, item_ids, dropped, notes)

    encoded = pc.dictionary_encode(users)
    user_codes = encoded.indices.to_numpy(zero_copy_only=False)
    # lexsort is stable: events that tie keep the order of the file.
    keys = [key for key in (order, times) if key is not None]
    sequence = np.lexsort((*keys, user_codes))
    lengths = np.bincount(user_codes, minlength=len(encoded.dictionary))
    notes.extend(of_single_users(lengths))
    return CheckedTables(
        item_ids=to_objects(item_ids),
        item_texts=to_objects(item_texts),
        user_ids=to_objects(encoded.dictionary),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        item_index=item_index[sequence],
        timestamps=None if times is None else times[sequence],
        dropped=dropped,
        notes=notes,
    )


def of_single_users(lengths: np.ndarray) -> list[str]:
    """Return what is to be said of users with one interaction, given how many each has, ``(num_users,)``."""
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
        Naming what is missing, what there is, and, where one column holds it all, the delimiter.
    """
    missing = [name for name in needed if not any(option in found for option in name.split(" or "))]
    if not missing:
        return
    if len(found) == 1:
        for delimiter, spoken in _DELIMITERS.items():
            if delimiter in found[0]:
                raise InputError(
                    f"{origin.label}, line 1: the delimiter looks wrong: there is one column only, and its "
                    f"name holds {spoken} ({found[0]!r}); save .csv files with commas and .tsv files with "
                    "tabs"
                )
    raise InputError(
        f"{origin.label}: no column {', '.join(repr(name) for name in missing)}; it has "
        f"{', '.join(repr(name) for name in found) or 'no columns'}. Rename a column, or map it: --column "
        f"{missing[0].split(' or ')[0]}=NAME"
    )


def check_items(items: Any, origin: Origin, dropped: dict[str, int], notes: list[str]) -> tuple[pa.Array, pa.Array]:
    """Return distinct ids and texts of a table ``item_id, text``; what was dropped or noticed is added to the lists.

    Raises
    ------
    InputError
        If a column is missing, the table is empty, an id is empty or has two texts, or the texts are numbers.
    """
    frame = open_frame(items, origin)
    require_columns([str(name) for name in frame.columns], ["item_id", "text"], origin)
    if not len(frame):
        raise InputError(f"{origin.label}: no rows; expected one row for each item of the catalogue")
    ids = id_strings(arrow_column(frame, "item_id", origin), "item_id", origin)
    texts = text_strings(arrow_column(frame, "text", origin), "text", origin)

    encoded = pc.dictionary_encode(ids)
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    _, first = np.unique(codes, return_index=True)  # codes count from 0 in order of first appearance
    if len(first) < len(codes):
        same = pc.equal(texts, texts.take(pa.array(first[codes]))).to_numpy(zero_copy_only=False)
        conflicts = np.flatnonzero(~same.astype(bool))
        if len(conflicts):
            row = conflicts[0]
            raise InputError(
                f"{origin.label}, {origin.column('item_id')}: {origin.rows(conflicts)}: an item that was "
                f"given before comes again with another text: {ids[row].as_py()!r} is "
                f"{texts[first[codes[row]]].as_py()!r} in {origin.rows(first[codes[row : row + 1]])}, then "
                f"{texts[row].as_py()!r}; keep one row an item"
            )
        dropped["duplicate_item_rows"] = len(codes) - len(first)
        notes.append(f"{origin.label}: {len(codes) - len(first):,} repeated item rows were dropped")
        ids, texts = ids.take(pa.array(first)), texts.take(pa.array(first))

    empty = pc.sum(pc.equal(pc.utf8_trim_whitespace(texts), "")).as_py()
    if empty == len(texts):
        notes.append(
            f"{origin.label}: no item has a text, so the text encoder cannot tell items apart; give texts, "
            "or item embeddings of your own"
        )
    elif empty:
        notes.append(
            f"{origin.label}: {empty:,} of {len(texts):,} items have no text; they will all look alike to "
            "the text encoder"
        )
    return ids, texts


def _check_interactions(
    interactions: Any,
    origins: tuple[Origin, Origin],
    item_ids: pa.Array,
    dropped: dict[str, int],
    notes: list[str],
) -> tuple[pa.Array, np.ndarray, np.ndarray | None, np.ndarray | None]:
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
        times, read_as = seconds(arrow_column(frame, "timestamp", origin), "timestamp", origin)
        notes.extend(read_as)
    if "order" in names:
        order = positions(arrow_column(frame, "order", origin), "order", origin)

    index = pc.fill_null(pc.index_in(named, value_set=item_ids), -1).to_numpy(zero_copy_only=False)
    known = index >= 0
    unknown = np.flatnonzero(~known)
    if len(unknown):
        _weigh_unknown(named, unknown, item_ids, origins)
        dropped["unknown_item"] = len(unknown)
        notes.append(
            f"{origin.label}: {len(unknown):,} of {len(index):,} interactions were dropped, since their "
            f"item is not in {origins[1].label} ({quoted(named.take(pa.array(unknown[:4])).to_pylist())})"
        )
        users = users.filter(pa.array(known))
        times = None if times is None else times[known]
        order = None if order is None else order[known]
    return users, index[known].astype(np.int32), times, order


def _weigh_unknown(named: pa.Array, unknown: np.ndarray, item_ids: pa.Array, origins: tuple[Origin, Origin]) -> None:
    """Refuse a table of which more than half names unknown items: the two files do not belong together."""
    if 2 * len(unknown) <= len(named):
        return
    share = "all" if len(unknown) == len(named) else f"{len(unknown):,} of {len(named):,}"
    theirs = quoted(named.take(pa.array(unknown[:4])).to_pylist())
    raise InputError(
        f"{origins[0].label}, {origins[0].column('item_id')}: {origins[0].rows(unknown)}: {share} "
        f"interactions name items that are not in {origins[1].label}: {theirs} here, "
        f"{quoted(item_ids.slice(0, 4).to_pylist())} there; give the items file that belongs to these "
        "interactions, with ids written alike"
    )
