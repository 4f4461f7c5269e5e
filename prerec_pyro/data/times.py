"""Timestamps of any usual spelling to whole seconds since 1970 (UTC), and positions to numbers that sort."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from prerec_pyro.data.frames import Origin, missing_rows, quoted
from prerec_pyro.errors import InputError

SECONDS_PER_DAY = 86_400
_EARLIEST = SECONDS_PER_DAY  # 1970-01-02: an earlier "time" is a position, a rating or a zero
_LATEST = 4_102_444_800  # 2100-01-01
_NUMBER = r"^\s*[-+]?[0-9]+([.][0-9]*)?([eE][-+]?[0-9]+)?\s*$"
# Magnitude tells the unit: a plausible second, times a thousand, is a plausible millisecond.
_UNITS = (("seconds", 1e11, 1), ("milliseconds", 1e14, 10**3), ("microseconds", 1e17, 10**6))
_NANOSECONDS = ("nanoseconds", np.inf, 10**9)
_EXPECTED = "expected a date (2015-09-29, 2015-09-29T13:05:00+02:00) or a number since 1970 in s, ms, us or ns"


def seconds(column: pa.Array, name: str, origin: Origin) -> tuple[np.ndarray, list[str]]:
    """Return timestamps as ``(num_rows,)`` int64 seconds since 1970 UTC, and notes on how they were read.

    Dates and times without a zone are taken as UTC. Numbers may count seconds, milliseconds, microseconds or
    nanoseconds, the whole column alike; fractions of a second are cut off. Whole numbers that are all
    calendar dates of the form ``20150929`` are read as such.

    Raises
    ------
    InputError
        If a value is missing, unreadable, in another unit than the rest, before 1970-01-02 or after 2099.
    """
    where = f"{origin.label}, {origin.column(name)}"
    missing = missing_rows(column)
    if len(missing):
        raise InputError(
            f"{where}: {origin.rows(missing)}: no time, while others have one; fill it, remove the row, or "
            "give the column 'order' (a position) instead of times for all rows"
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
        raise InputError(f"{where}: a {kind} is no time; {_EXPECTED}")
    absurd = np.flatnonzero((result < _EARLIEST) | (result >= _LATEST))
    if len(absurd):
        raise InputError(
            f"{where}: {origin.rows(absurd)}: {quoted(column.take(pa.array(absurd[:4])).to_pylist())} lies "
            f"before 1970-01-02 or after 2099; {_EXPECTED}; a position belongs in a column named 'order'"
        )
    return result, notes


def positions(column: pa.Array, name: str, origin: Origin) -> np.ndarray:
    """Return positions as ``(num_rows,)`` int64 or float64, to sort by.

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
        wrong = np.flatnonzero(~_matches(column, _NUMBER))
        if len(wrong):
            values = column.take(pa.array(wrong[:4])).to_pylist()
            raise InputError(f"{where}: {origin.rows(wrong)}: {quoted(values)} is no number; expected a position")
        column = _numbers(column)
    elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise InputError(f"{where}: a {column.type} is no position; expected a number")
    return column.to_numpy(zero_copy_only=False)


def _matches(column: pa.Array, pattern: str) -> np.ndarray:
    return pc.match_substring_regex(column, pattern).to_numpy(zero_copy_only=False).astype(bool)


def _numbers(strings: pa.Array) -> pa.Array:
    trimmed = pc.replace_substring_regex(pc.utf8_trim_whitespace(strings), r"^\+", "")
    try:
        return trimmed.cast(pa.int64())
    except pa.ArrowInvalid:
        return trimmed.cast(pa.float64())


def _from_temporal(column: pa.Array) -> np.ndarray:
    if pa.types.is_date32(column.type):
        return column.cast(pa.int32()).to_numpy(zero_copy_only=False).astype(np.int64) * SECONDS_PER_DAY
    if pa.types.is_date64(column.type):
        return column.cast(pa.int64()).to_numpy(zero_copy_only=False) // 1000
    ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
    # Arrow stores a zoned timestamp as UTC already, so the zone needs no arithmetic.
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
            f"which look like {name}; convert the column to one unit"
        )
    # What no int64 can hold becomes 0, which the caller refuses as no time.
    held = values if values.dtype.kind in "iu" else np.where(np.abs(values) < 2.0**62, values, 0.0)
    return np.floor_divide(held, per_second).astype(np.int64)


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
    # Days repeat: parse each distinct spelling once.
    encoded = pc.dictionary_encode(column)
    spellings, codes = encoded.dictionary, encoded.indices.to_numpy(zero_copy_only=False)
    numeric = _matches(spellings, _NUMBER)
    if numeric.all():
        return _from_numbers(_numbers(column), where, origin, notes)
    text = pd.Series(pc.utf8_trim_whitespace(spellings).to_pylist(), dtype=object)
    parsed = pd.to_datetime(text.where(~numeric), format="ISO8601", errors="coerce", utc=True)
    unreadable = parsed.isna().to_numpy()
    if 2 * numeric[codes].sum() > len(codes):  # a column of numbers: what is none is to blame
        unreadable = ~numeric
    wrong = np.flatnonzero(unreadable[codes])
    if len(wrong):
        values = column.take(pa.array(wrong[:4])).to_pylist()
        raise InputError(f"{where}: {origin.rows(wrong)}: {quoted(values)} cannot be read; {_EXPECTED}")
    return _seconds_of(parsed)[codes]
