"""Columns of any data frame as Arrow arrays, and the origin of a table for error messages.

pandas, polars, pyarrow and DuckDB tables, and all others that `narwhals` accepts, become Arrow columns here. Values
keep their spelling: an id that reads ``123`` in the source is ``"123"`` afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    import narwhals as nw

_SHOWN = 3
_NUMBER = r"^\s*[-+]?[0-9]+([.][0-9]*)?([eE][-+]?[0-9]+)?\s*$"
_EXACT_FLOAT = 2.0**53
_PLAIN_OBJECTS = {
    "string",
    "empty",
    "integer",
    "floating",
    "datetime",
    "date",
    "datetime64",
    "boolean",
    "decimal",
}


@dataclass(frozen=True)
class Origin:
    """Source of a table, so that messages name the file, line and column as the user knows them.

    Parameters
    ----------
    label
        Name of the file or table.
    columns
        Our column name → the column of the source, where they differ.
    lines
        Maps row positions, counted from 0, to lines of the file, counted from 1; ``None`` for a table without lines.
    skipped
        Number of rows of the source before the first row of the table.
    """

    label: str
    columns: Mapping[str, str] = field(default_factory=dict)
    lines: Callable[[np.ndarray], np.ndarray] | None = None
    skipped: int = 0

    def column(self, name: str) -> str:
        """Return ``"column 'reviewerID' (user_id)"`` for our column name ``"user_id"``."""
        theirs = self.columns.get(name, name)
        return f"column '{theirs}'" if theirs == name else f"column '{theirs}' ({name})"

    def rows(self, rows: np.ndarray) -> str:
        """Return ``"lines 3, 7 and 9 (120 in all)"`` for row positions counted from 0."""
        shown = np.sort(np.asarray(rows))[:_SHOWN]
        word, numbers = ("line", self.lines(shown)) if self.lines else ("row", shown + 1 + self.skipped)
        text = [str(int(number)) for number in numbers]
        listed = text[0] if len(text) == 1 else f"{', '.join(text[:-1])} and {text[-1]}"
        more = f" ({len(rows):,} in all)" if len(rows) > _SHOWN else ""
        return f"{word}{'s' if len(text) > 1 else ''} {listed}{more}"


def quoted(values: Any) -> str:
    """Return the first three values, quoted and joined by commas."""
    shown = list(values[:_SHOWN])
    return ", ".join(repr(str(value)) for value in shown) + (", …" if len(values) > _SHOWN else "")


def open_frame(frame: Any, origin: Origin) -> nw.DataFrame[Any]:
    """Return `frame` behind the narwhals interface; a lazy frame is collected.

    Raises
    ------
    InputError
        If `frame` is no data frame, or two of its columns share a name.
    """
    import narwhals as nw  # slow to import, and not every command reads a table

    try:
        opened = nw.from_native(frame)
        if isinstance(opened, nw.LazyFrame):
            opened = opened.collect(backend="pyarrow")
        twice = sorted({name for name in opened.columns if opened.columns.count(name) > 1})
    except TypeError:
        raise InputError(
            f"{origin.label}: a {type(frame).__name__} is no table; expected a pandas, polars or pyarrow table"
        ) from None
    except nw.exceptions.DuplicateError:  # some libraries check when the frame is wrapped
        names = [str(name) for name in frame.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{origin.label}: two columns are called {quoted(twice)}; rename one of them")
    return opened


def arrow_column(frame: nw.DataFrame[Any], name: str, origin: Origin) -> pa.Array:
    """Return one column as one Arrow array, with missing values as nulls and strings as ``large_string``.

    Raises
    ------
    InputError
        If the column mixes types, such as ``1`` and ``"1"``: a conversion would change values silently.
    """
    series = frame.get_column(name)
    native = series.to_native()
    if isinstance(native, pd.Series) and native.dtype == object:
        _refuse_mixed(native, name, origin)
    try:
        column = pa.array(native, from_pandas=True) if isinstance(native, pd.Series) else series.to_arrow()
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise InputError(
            f"{origin.label}, {origin.column(name)}: the values cannot be read as one type ({error}); convert "
            "the column to text"
        ) from None
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # combine_chunks keeps an empty or very large column chunked
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    if pa.types.is_floating(column.type):  # NaN means missing, whichever library wrote it
        nan = pc.is_nan(column)
        column = pc.if_else(pc.fill_null(nan, True), pa.scalar(None, column.type), column)
    return column


def _refuse_mixed(series: pd.Series, name: str, origin: Origin) -> None:
    if pd.api.types.infer_dtype(series, skipna=True) in _PLAIN_OBJECTS:
        return
    kinds = series[series.notna()].map(type)
    rows = {kind: int(np.flatnonzero((series.map(type) == kind).to_numpy())[0]) for kind in kinds.unique()}
    found = ", ".join(f"{series.iloc[row]!r} in {origin.rows(np.array([row]))}" for row in rows.values())
    raise InputError(
        f"{origin.label}, {origin.column(name)}: mixed types ({found}); a conversion to one type could change "
        "values silently, so convert the column to text where it is made"
    )


def missing_rows(column: pa.Array) -> np.ndarray:
    """Return the positions of null values and of blank strings."""
    missing = column.is_null()
    if pa.types.is_large_string(column.type):
        blank = pc.equal(pc.utf8_trim_whitespace(column), "")
        missing = pc.or_(missing, pc.fill_null(blank, False))
    return np.flatnonzero(missing.to_numpy(zero_copy_only=False))


def id_strings(column: pa.Array, name: str, origin: Origin) -> pa.Array:
    """Return ids as strings, exactly as written; whole numbers lose no digit and gain no ``.0``.

    Raises
    ------
    InputError
        If an id is missing, or the column holds fractions, times, booleans or lists.
    """
    where = f"{origin.label}, {origin.column(name)}"
    missing = missing_rows(column)
    if len(missing):
        raise InputError(f"{where}: {origin.rows(missing)}: empty; every row needs an id, so fill it or remove the row")
    kind = column.type
    if pa.types.is_large_string(kind):
        return column
    if pa.types.is_floating(kind):
        values = column.to_numpy(zero_copy_only=False).astype(np.float64)
        wrong = np.flatnonzero((values != np.floor(values)) | (np.abs(values) >= _EXACT_FLOAT))
        if len(wrong):
            raise InputError(
                f"{where}: {origin.rows(wrong)}: {quoted(values[wrong])}: decimal numbers are no ids "
                "(digits may already be lost); store the ids as text or whole numbers"
            )
        return pa.array(values.astype(np.int64)).cast(pa.large_string())
    if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0):
        return column.cast(pa.large_string())
    if pa.types.is_null(kind):
        return pa.array([], pa.large_string())
    raise InputError(f"{where}: ids of type {kind} are not supported; convert them to text or whole numbers")


def text_strings(column: pa.Array, name: str, origin: Origin) -> pa.Array:
    """Return item texts as strings, with ``""`` for a missing text.

    Raises
    ------
    InputError
        If the column holds numbers instead of words.
    """
    where = f"{origin.label}, {origin.column(name)}"
    if pa.types.is_null(column.type):
        return pa.array([""] * len(column), pa.large_string())
    if not pa.types.is_large_string(column.type):
        raise InputError(
            f"{where}: the text column holds numbers or another type ({column.type}); choose the column that "
            "describes the item in words, or convert it to text"
        )
    texts = pc.fill_null(column, "")
    filled = pc.filter(texts, pc.not_equal(pc.utf8_trim_whitespace(texts), ""))
    if len(filled) and pc.all(pc.match_substring_regex(filled, r"^\s*[-+]?[0-9]+([.][0-9]*)?\s*$")).as_py():
        raise InputError(
            f"{where}: the text column holds numbers only ({quoted(filled.slice(0, 4).to_pylist())}); choose "
            "the column that describes the item in words"
        )
    return texts


def are_numbers(strings: pa.Array) -> np.ndarray:
    """Return ``(num_rows,)`` bool: whether each string is written as a decimal number."""
    return pc.match_substring_regex(strings, _NUMBER).to_numpy(zero_copy_only=False).astype(bool)


def to_numbers(strings: pa.Array) -> pa.Array:
    """Return strings that are all decimal numbers as int64 where all are whole, and as float64 otherwise."""
    trimmed = pc.replace_substring_regex(pc.utf8_trim_whitespace(strings), r"^\+", "")
    try:
        return trimmed.cast(pa.int64())
    except pa.ArrowInvalid:
        return trimmed.cast(pa.float64())


def parse_numbers(strings: pa.Array, where: str, origin: Origin, expected: str) -> pa.Array:
    """Return strings as numbers, see `to_numbers`.

    Parameters
    ----------
    strings
        ``(num_rows,)`` of type ``large_string``, without nulls.
    where
        Names of the table and column, for the message.
    origin
        Source of the table, for the message.
    expected
        Description of a valid value, for the message.

    Raises
    ------
    InputError
        If a string is no number.
    """
    wrong = np.flatnonzero(~are_numbers(strings))
    if len(wrong):
        values = strings.take(pa.array(wrong[:4])).to_pylist()
        raise InputError(f"{where}: {origin.rows(wrong)}: {quoted(values)} is no number; expected {expected}")
    return to_numbers(strings)
