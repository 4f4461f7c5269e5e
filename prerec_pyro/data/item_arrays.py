"""Arrays that a user supplies for the items of a domain: embeddings, covariates such as a price, days of listing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from prerec_pyro.data.frames import Origin, arrow_column, missing_rows, parse_numbers, quoted
from prerec_pyro.data.times import SECONDS_PER_DAY, seconds
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    import narwhals as nw

RESERVED_NAMES = ("item_id", "text", "first_seen")
_SHOWN = 3


def read_covariate(frame: nw.DataFrame[Any], name: str, origin: Origin) -> np.ndarray:
    """Return one column of an items table as ``(num_rows,)`` float32.

    Integers, floats, decimals and booleans are numbers, and so is a column of text in which every value is written as
    a number, since delimited files hold text only.

    Parameters
    ----------
    frame
        The items table, see `open_frame`.
    name
        Name of the column, which is there.
    origin
        Source of the table, for the messages.

    Raises
    ------
    InputError
        If a value is missing, is no number, or does not fit into float32.
    """
    column = arrow_column(frame, name, origin)
    where = f"{origin.label}, {origin.column(name)}"
    missing = missing_rows(column)
    if len(missing):
        raise InputError(
            f"{where}: {origin.rows(missing)}: no value; expected a number for every item, so fill it or leave the "
            "covariate out"
        )
    values = _numbers(column, where, origin)
    with np.errstate(over="ignore"):
        result = values.astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(result))
    if len(wrong):
        raise InputError(
            f"{where}: {origin.rows(wrong)}: {quoted(values[wrong])}; expected finite numbers within the range of "
            "float32"
        )
    return result


def _numbers(column: pa.Array, where: str, origin: Origin) -> np.ndarray:
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_decimal(kind):
        column = column.cast(pa.float32() if pa.types.is_boolean(kind) else pa.float64())
    elif pa.types.is_large_string(kind):
        column = parse_numbers(column, where, origin, "a number for every item")
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise InputError(f"{where}: values of type {kind}; expected a number for every item")
    return column.to_numpy(zero_copy_only=False)


def read_first_seen(frame: nw.DataFrame[Any], origin: Origin) -> tuple[np.ndarray | None, list[str]]:
    """Return the column ``first_seen`` as ``(num_rows,)`` int32 days since 1970 UTC, and notes on how it was read.

    The column is read as timestamps are, and an item may have no value: it is then -1. Without the column, or without
    any value, the days are None.

    Parameters
    ----------
    frame
        The items table, see `open_frame`.
    origin
        Source of the table, for the messages.

    Raises
    ------
    InputError
        If a value is unreadable or no plausible time.
    """
    if "first_seen" not in frame.columns:
        return None, []
    column = arrow_column(frame, "first_seen", origin)
    rows = np.setdiff1d(np.arange(len(column)), missing_rows(column))
    if not len(rows):
        return None, []
    # Messages count the rows of the file, with those that have no value.
    lines = origin.lines or (lambda at: at + 1 + origin.skipped)
    times, notes = seconds(
        column.take(pa.array(rows)), "first_seen", dataclasses.replace(origin, lines=lambda at: lines(rows[at]))
    )
    days = np.full(len(column), -1, np.int32)
    days[rows] = times // SECONDS_PER_DAY
    return days, notes


def earliest_day(days: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the earliest day of each item, ``(num_items,)`` int32; -1 for an item without any.

    Parameters
    ----------
    days
        ``(num_rows,)`` days, -1 for a row without one.
    codes
        ``(num_rows,)`` item of each row, from 0.
    """
    never = np.iinfo(np.int32).max
    found = np.full(int(codes.max()) + 1, never, np.int32)
    np.minimum.at(found, codes, np.where(days < 0, never, days).astype(np.int32))
    return np.where(found == never, -1, found).astype(np.int32)


def check_first_seen(days: Any, num_items: int, name: str) -> np.ndarray:
    """Return the days of listing as ``(num_items,)`` int32, checked.

    Parameters
    ----------
    days
        Days since 1970 UTC, one for each item in the order of the item index; -1 for an item without one.
    num_items
        Size of the catalogue.
    name
        Name of the domain, for the messages.

    Raises
    ------
    InputError
        If the shape is another, or a value is no whole number of days from -1.
    """
    array = np.asarray(days)
    if array.shape != (num_items,) or array.dtype.kind not in "iu" or (array < -1).any():
        raise InputError(
            f"domain {name!r}: first_seen has shape {array.shape} of {array.dtype}; expected ({num_items},) whole "
            "days since 1970, -1 for an item without one"
        )
    return np.ascontiguousarray(array, dtype=np.int32)


def check_covariates(covariates: Mapping[str, Any], num_items: int, domain: str) -> dict[str, np.ndarray]:
    """Return name → ``(num_items,)`` float32, checked.

    Parameters
    ----------
    covariates
        Name → numbers, one for each item in the order of the item index.
    num_items
        Size of the catalogue.
    domain
        Name of the domain, for the messages.

    Raises
    ------
    InputError
        If a name is empty or reserved, a shape is another, or a value is no finite number.
    """
    return {name: _checked(name, values, num_items, domain) for name, values in covariates.items()}


def _checked(name: str, values: Any, num_items: int, domain: str) -> np.ndarray:
    where = f"domain {domain!r}: item covariate {name!r}"
    if not isinstance(name, str) or not name.strip() or name in RESERVED_NAMES:
        reserved = ", ".join(RESERVED_NAMES)
        raise InputError(f"{where}: a covariate cannot have this name; expected a name other than {reserved}")
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        raise InputError(f"{where}: no array of numbers; expected shape ({num_items},)") from None
    if array.dtype.kind not in "fiub":
        raise InputError(f"{where}: values of type {array.dtype}{_first_bad(array)}; expected ({num_items},) numbers")
    if array.shape != (num_items,):
        raise InputError(
            f"{where}: shape {array.shape}; expected ({num_items},), one number for each item in the order of the "
            "item index"
        )
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(array, dtype=np.float32)
    wrong = np.flatnonzero(~np.isfinite(result))
    if len(wrong):
        raise InputError(
            f"{where}: rows {wrong[:_SHOWN].tolist()} ({len(wrong):,} in all, counted from 0) hold NaN, infinity or a "
            "number beyond float32; expected finite numbers"
        )
    return result


def _first_bad(array: np.ndarray) -> str:
    """Return where the first values stand that are no numbers, counted from 0."""
    if array.ndim != 1:
        return ""
    bad = [row for row, value in enumerate(array.tolist()) if not isinstance(value, int | float)]
    return f", rows {bad[:_SHOWN]} ({len(bad):,} in all, counted from 0) hold {quoted(array[bad])}" if bad else ""


def require_same_values(values: Mapping[str, np.ndarray], first: np.ndarray, ids: pa.Array, origin: Origin) -> None:
    """Check that rows of one item agree in every covariate.

    Parameters
    ----------
    values
        Name → ``(num_rows,)`` numbers.
    first
        ``(num_rows,)`` position of the first row of the same item.
    ids
        ``(num_rows,)`` ids of the items.
    origin
        Source of the table, for the messages.

    Raises
    ------
    InputError
        If an item has two values.
    """
    for name, column in values.items():
        conflicts = np.flatnonzero(column != column[first])
        if len(conflicts):
            row = conflicts[0]
            raise InputError(
                f"{origin.label}, {origin.column(name)}: {origin.rows(conflicts)}: an item occurs again with another "
                f"value: {ids[row].as_py()!r} has {column[first[row]]:g} in {origin.rows(first[row : row + 1])}, then "
                f"{column[row]:g}; keep one row for each item"
            )


def check_embeddings(array: Any, num_items: int, name: str) -> np.ndarray:
    """Return item embeddings as ``(num_items, text_dim)`` float32, checked.

    Parameters
    ----------
    array
        Numbers, one row for each item in the order of the item index.
    num_items
        Size of the catalogue.
    name
        Name of the domain, for the messages.

    Raises
    ------
    InputError
        If the shape is another, or a value is no finite number.
    """
    try:
        result = np.ascontiguousarray(array, dtype=np.float32)
    except (TypeError, ValueError):
        raise InputError(f"domain {name!r}: item embeddings must be numbers of shape ({num_items}, text_dim)") from None
    if result.ndim != 2 or len(result) != num_items or result.shape[1] == 0:
        raise InputError(
            f"domain {name!r}: item embeddings have shape {result.shape}; expected ({num_items}, text_dim), "
            "one row for each item in the order of the item index"
        )
    wrong = np.flatnonzero(~np.isfinite(result).all(axis=1))
    if len(wrong):
        raise InputError(
            f"domain {name!r}: item embeddings: rows {wrong[:3].tolist()} ({len(wrong):,} in all, counted "
            "from 0) hold NaN or infinity; recompute them"
        )
    return result
