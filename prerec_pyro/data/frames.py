"""Columns out of any data frame, and the words that say where a row came from.

pandas, polars, pyarrow, DuckDB: whatever `narwhals` accepts becomes Arrow columns here, and nothing is
re-formatted on the way: an id that reads ``123`` in the source is ``"123"`` afterwards.
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
    """Where a table came from, so that messages name file, line and column as the user knows them.

    Parameters
    ----------
    label
        File name, or what the table is called.
    columns
        Our column name → theirs, where they differ.
    lines
        Maps row positions (from 0) to 1-based lines of the file; ``None`` for a table that has rows and no
        lines.
    skipped
        How many rows of the source come before the first of the table.
    """

    label: str
    columns: Mapping[str, str] = field(default_factory=dict)
    lines: Callable[[np.ndarray], np.ndarray] | None = None
    skipped: int = 0

    def column(self, name: str) -> str:
        """Return the column as the user wrote it."""
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
    """Return `frame` behind the narwhals interface; a lazy one is collected.

    Raises
    ------
    InputError
        If it is no data frame, or two of its columns share a name.
    """
    import narwhals as nw  # only those who bring a table wait for it

    try:
        opened = nw.from_native(frame)
        if isinstance(opened, nw.LazyFrame):
            opened = opened.collect(backend="pyarrow")
        twice = sorted({name for name in opened.columns if opened.columns.count(name) > 1})
    except TypeError:
        raise InputError(
            f"{origin.label}: a {type(frame).__name__} is no table; give a pandas, polars or pyarrow table"
        ) from None
    except nw.exceptions.DuplicateError:  # some libraries refuse at once
        names = [str(name) for name in frame.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{origin.label}: two columns are called {quoted(twice)}; rename one of them")
    return opened


def arrow_column(frame: nw.DataFrame[Any], name: str, origin: Origin) -> pa.Array:
    """Return one column as one Arrow array, missing values as nulls, strings as ``large_string``.

    Raises
    ------
    InputError
        If the column mixes types (``1`` and ``"1"``), since reading it would change values without a word.
    """
    series = frame.get_column(name)
    native = series.to_native()
    if isinstance(native, pd.Series) and native.dtype == object:
        _refuse_mixed(native, name, origin)
    try:
        column = pa.array(native, from_pandas=True) if isinstance(native, pd.Series) else series.to_arrow()
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise InputError(
            f"{origin.label}, {origin.column(name)}: its values cannot be read as one type ({error}); make "
            "them all text"
        ) from None
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # combine_chunks keeps an empty or very large column chunked
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    if pa.types.is_floating(column.type):  # NaN is missing, whichever library wrote it
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
        f"{origin.label}, {origin.column(name)}: mixed types ({found}), and making them one type could "
        "change values without a word; convert the column to text where it is made"
    )


def missing_rows(column: pa.Array) -> np.ndarray:
    """Return the positions of null values and of strings that hold nothing but blanks."""
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
        If an id is missing, or the column holds fractions, times, truth values or lists.
    """
    where = f"{origin.label}, {origin.column(name)}"
    missing = missing_rows(column)
    if len(missing):
        raise InputError(f"{where}: {origin.rows(missing)}: empty; every row needs one, so fill it or remove the row")
    kind = column.type
    if pa.types.is_large_string(kind):
        return column
    if pa.types.is_floating(kind):
        values = column.to_numpy(zero_copy_only=False).astype(np.float64)
        wrong = np.flatnonzero((values != np.floor(values)) | (np.abs(values) >= _EXACT_FLOAT))
        if len(wrong):
            raise InputError(
                f"{where}: {origin.rows(wrong)}: {quoted(values[wrong])}: decimal numbers are no ids "
                "(digits may be lost already); store the ids as text or whole numbers"
            )
        return pa.array(values.astype(np.int64)).cast(pa.large_string())
    if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0):
        return column.cast(pa.large_string())
    if pa.types.is_null(kind):
        return pa.array([], pa.large_string())
    raise InputError(f"{where}: ids of type {kind} are not supported; convert them to text or whole numbers")


def text_strings(column: pa.Array, name: str, origin: Origin) -> pa.Array:
    """Return item texts as strings, a missing text as ``""``.

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
            f"{where}: the text column holds numbers or another type ({column.type}); name the column that "
            "describes the item in words, or convert it to text"
        )
    texts = pc.fill_null(column, "")
    filled = pc.filter(texts, pc.not_equal(pc.utf8_trim_whitespace(texts), ""))
    if len(filled) and pc.all(pc.match_substring_regex(filled, r"^\s*[-+]?[0-9]+([.][0-9]*)?\s*$")).as_py():
        raise InputError(
            f"{where}: the text column holds numbers only ({quoted(filled.slice(0, 4).to_pylist())}); name "
            "the column that describes the item in words"
        )
    return texts
