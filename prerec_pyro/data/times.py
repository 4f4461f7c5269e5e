"""Timestamps as whole seconds since 1970 (UTC), and positions as numbers to sort by."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from prerec_pyro.data.frames import Origin, are_numbers, missing_rows, parse_numbers, quoted, to_numbers
from prerec_pyro.errors import InputError

SECONDS_PER_DAY = 86_400
_EARLIEST = SECONDS_PER_DAY  # 1970-01-02: an earlier "time" is a position, a rating or a zero
_LATEST = 4_102_444_800  # 2100-01-01
# The magnitude tells the unit: a plausible number of seconds, times a thousand, is a plausible number of ms.
_UNITS = (("seconds", 1e11, 1), ("milliseconds", 1e14, 10**3), ("microseconds", 1e17, 10**6))
_NANOSECONDS = ("nanoseconds", np.inf, 10**9)
_EXPECTED = "expected a date (2015-09-29, 2015-09-29T13:05:00+02:00) or a number since 1970 in s, ms, us or ns"


def seconds(column: pa.Array, name: str, origin: Origin) -> tuple[np.ndarray, list[str]]:
    """Return timestamps as ``(num_rows,)`` int64 seconds since 1970 UTC, and notes on how they were read.

    Dates and times without a time zone count as UTC. Numbers are seconds, milliseconds, microseconds or nanoseconds,
    one unit for the whole column; fractions of a second are cut off. Whole numbers that are all calendar dates of the
    form ``20150929`` are read as dates.

    Parameters
    ----------
    column
        Dates, times, numbers or text, from `arrow_column`.
    name
        Our name of the column.
    origin
        Source of the table, for the messages.

    Raises
    ------
    InputError
        If a value is missing, unreadable, in another unit than the rest, before 1970-01-02 or after 2099.
    """
    where = f"{origin.label}, {origin.column(name)}"
    missing = missing_rows(column)
    if len(missing):
        raise InputError(
            f"{where}: {origin.rows(missing)}: no time, although other rows have one; fill it, remove the row, or "
            "give all rows a position in a column named 'order' instead of times"
        )
    kind = column.type
    notes: list[str] = []
    if pa.types.is_temporal(kind) and not (pa.types.is_time(kind) or pa.types.is_duration(kind)):
        result = _from_temporal(column)
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        result = _from_numbers(column, where, origin, notes)
    elif pa.types.is_large_string(kind):
        result = _from_strings(column, where, origin, notes)
    else:
        raise InputError(f"{where}: values of type {kind} are no times; {_EXPECTED}")
    implausible = np.flatnonzero((result < _EARLIEST) | (result >= _LATEST))
    if len(implausible):
        raise InputError(
            f"{where}: {origin.rows(implausible)}: {quoted(column.take(pa.array(implausible[:4])).to_pylist())} lies "
            f"before 1970-01-02 or after 2099; {_EXPECTED}; a position belongs in a column named 'order'"
        )
    return result, notes


def positions(column: pa.Array, name: str, origin: Origin) -> np.ndarray:
    """Return positions as ``(num_rows,)`` int64 or float64, to sort by.

    Parameters
    ----------
    column
        Numbers, or text that holds numbers, from `arrow_column`.
    name
        Our name of the column.
    origin
        Source of the table, for the messages.

    Raises
    ------
    InputError
        If a value is missing or is no number.
    """
    where = f"{origin.label}, {origin.column(name)}"
    missing = missing_rows(column)
    if len(missing):
        raise InputError(f"{where}: {origin.rows(missing)}: no position; number the rows, or remove them")
    if pa.types.is_large_string(column.type):
        column = parse_numbers(column, where, origin, "a position")
    elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise InputError(f"{where}: a value of type {column.type} is no position; expected a number")
    return column.to_numpy(zero_copy_only=False)


def _from_temporal(column: pa.Array) -> np.ndarray:
    if pa.types.is_date32(column.type):
        return column.cast(pa.int32()).to_numpy(zero_copy_only=False).astype(np.int64) * SECONDS_PER_DAY
    if pa.types.is_date64(column.type):
        return column.cast(pa.int64()).to_numpy(zero_copy_only=False) // 1000
    ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
    # Arrow stores a timestamp with a zone as UTC, so the zone needs no arithmetic.
    return column.cast(pa.int64()).to_numpy(zero_copy_only=False) // ticks


def _from_numbers(column: pa.Array, where: str, origin: Origin, notes: list[str]) -> np.ndarray:
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    values = column.to_numpy(zero_copy_only=False)
    if not len(values):
        return values.astype(np.int64)
    dates = _calendar_dates(values)
    if dates is not None:
        notes.append(f"{where}: numbers such as {int(values[0])} were read as dates (year, month, day)")
        return dates
    limits = [limit for _, limit, _ in _UNITS]
    units = np.searchsorted(limits, np.abs(values), side="right")
    unit = int(np.bincount(units).argmax())
    other = np.flatnonzero(units != unit)
    name, _, per_second = (*_UNITS, _NANOSECONDS)[unit]
    if len(other):
        raise InputError(
            f"{where}: {origin.rows(other)}: {quoted(values[other])} is in another unit than the rest, "
            f"which looks like {name}; convert the column to one unit"
        )
    # A number beyond int64 becomes 0, which the caller refuses.
    bounded = values if values.dtype.kind in "iu" else np.where(np.abs(values) < 2.0**62, values, 0.0)
    return np.floor_divide(bounded, per_second).astype(np.int64)


def _calendar_dates(values: np.ndarray) -> np.ndarray | None:
    low, high = values.min(), values.max()
    if low < 19_700_102 or high > 20_991_231 or np.any(values != np.floor(values)):
        return None
    unique, inverse = np.unique(values.astype(np.int64), return_inverse=True)
    parsed = pd.to_datetime(pd.Series(unique).astype(str), format="%Y%m%d", errors="coerce", utc=True)
    return None if parsed.isna().any() else _seconds_of(parsed)[inverse]


def _seconds_of(parsed: pd.Series) -> np.ndarray:
    return parsed.dt.as_unit("s").astype("int64").to_numpy()


def _from_strings(column: pa.Array, where: str, origin: Origin, notes: list[str]) -> np.ndarray:
    # Times repeat: parse each distinct spelling once.
    encoded = pc.dictionary_encode(column)
    spellings, codes = encoded.dictionary, encoded.indices.to_numpy(zero_copy_only=False)
    numeric = are_numbers(spellings)
    if numeric.all():
        return _from_numbers(to_numbers(column), where, origin, notes)
    text = pd.Series(pc.utf8_trim_whitespace(spellings).to_pylist(), dtype=object)
    parsed = pd.to_datetime(text.where(~numeric), format="ISO8601", errors="coerce", utc=True)
    unreadable = parsed.isna().to_numpy()
    if 2 * numeric[codes].sum() > len(codes):  # mostly numbers: report the values that are none
        unreadable = ~numeric
    wrong = np.flatnonzero(unreadable[codes])
    if len(wrong):
        values = column.take(pa.array(wrong[:4])).to_pylist()
        raise InputError(f"{where}: {origin.rows(wrong)}: {quoted(values)} cannot be read; {_EXPECTED}")
    return _seconds_of(parsed)[codes]
