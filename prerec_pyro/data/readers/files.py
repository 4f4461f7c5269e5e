"""Delimited text files as Arrow tables of strings, with the line of every row."""

from __future__ import annotations

import contextlib
import csv
import functools
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from prerec_pyro.data.frames import quoted
from prerec_pyro.errors import InputError

_BLOCK_BYTES = 1 << 24
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class FileTable:
    """One file as a table.

    Attributes
    ----------
    path
        Path of the file.
    table
        Its content.
    lines
        Maps row positions to lines of the file, counted from 1; ``None`` for a file without lines.
    """

    path: Path
    table: pa.Table
    lines: Callable[[np.ndarray], np.ndarray] | None = None


def existing_file(path: Path) -> Path:
    """Return `path`; raise `InputError` if there is no such file."""
    if path.is_file():
        return path
    problem = "is a folder, expected a file" if path.is_dir() else "no such file; check the path"
    raise InputError(f"{path}: {problem}")


@contextlib.contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedIOBase]:
    """Open a file to read its bytes; a file whose name ends in ``.gz`` is unpacked while it is read.

    Raises
    ------
    InputError
        If there is no such file, it cannot be read, or its gzip data are truncated or damaged. Damage is found only
        when reading reaches it, so read within the ``with`` block.
    """
    existing_file(path)
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as file:
            yield file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: the gzip data are truncated or damaged ({error}); copy the file again") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from None


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, unpacked if its name ends in ``.gz``; see `open_bytes` for the errors."""
    with open_bytes(path) as file:
        return file.read()


def check_utf8(data: bytes, path: Path) -> None:
    """Raise `InputError` if the content is not UTF-8; the message names the line and the byte."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line} (byte {error.start} of the file): not UTF-8 ({data[error.start]:#04x}); "
            "save the file as UTF-8"
        ) from None


def parse_delimited(path: Path, data: bytes, *, delimiter: str, quotes: bool = True) -> FileTable:
    """Return a table of strings, with values exactly as written, including ``NA``, ``007`` and ``""``.

    Parameters
    ----------
    path
        Path of the file, for the messages.
    data
        The content in UTF-8; the first line is the header.
    delimiter
        One character.
    quotes
        If true, ``"`` quotes a field; a quoted field may hold delimiters and line breaks.

    Raises
    ------
    InputError
        If the file is empty, is not UTF-8, repeats a column name, or has a row of another length or an open quote.
    """
    check_utf8(data, path)
    if not data.strip():
        raise InputError(f"{path}: empty; expected a header line and rows")
    lines = functools.partial(_lines, data, delimiter, quotes)
    header = _header(data, delimiter, quotes)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputError(f"{path}, line 1: two columns are called {quoted(twice)}; rename one of them")
    ragged: list[tuple[int, int]] = []

    def skip(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append((row.number - 2, row.actual_columns))  # Arrow counts records from 1, the header included
        return "skip"

    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(data),
            # Arrow numbers the rows that it refuses only with one thread.
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter,
                quote_char='"' if quotes else False,
                newlines_in_values=quotes,
                invalid_row_handler=skip,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.large_string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{path}: cannot be read as delimited text ({error}); look for a quote that is never closed"
        ) from None
    _check_open_quote(path, data, table, lines, quotes)
    if ragged:
        _raise_ragged(path, ragged, len(header), lines)
    return FileTable(path, table, lines)


def _header(data: bytes, delimiter: str, quotes: bool) -> list[str]:
    rows = _records(data, delimiter, quotes)
    return next(row for row, _ in rows)


def _records(data: bytes, delimiter: str, quotes: bool) -> Iterator[tuple[list[str], int]]:
    """Yield (fields, first line) of each record that is not blank."""
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
    reader = csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE)
    start = 1
    for row in reader:
        if row:
            yield row, start
        start = reader.line_num + 1


def _lines(data: bytes, delimiter: str, quotes: bool, rows: np.ndarray) -> np.ndarray:
    """Return the lines of row positions by reading the file up to them; used only for messages."""
    last = int(np.max(rows))
    starts: list[int] = []
    with contextlib.suppress(csv.Error):  # a field that is too long for the reader of Python
        for _, start in _records(data, delimiter, quotes):
            starts.append(start)
            if len(starts) > last + 1:
                break
    known = np.array([starts[row + 1] if row + 1 < len(starts) else row + 2 for row in rows.tolist()])
    return known.astype(np.int64)


def _raise_ragged(
    path: Path, ragged: list[tuple[int, int]], width: int, lines: Callable[[np.ndarray], np.ndarray]
) -> None:
    numbers = lines(np.array([row for row, _ in ragged[:_SHOWN]]))
    found = "; ".join(
        f"line {line} has {count} fields" for line, (_, count) in zip(numbers, ragged[:_SHOWN], strict=True)
    )
    more = f" ({len(ragged):,} such rows in all)" if len(ragged) > _SHOWN else ""
    raise InputError(
        f"{path}: {found}{more}, the header has {width}; quote fields that hold the delimiter, or correct the rows"
    )


def _check_open_quote(
    path: Path, data: bytes, table: pa.Table, lines: Callable[[np.ndarray], np.ndarray], quotes: bool
) -> None:
    """Raise `InputError` for a quote that is never closed: one value would take all rows up to the end of the file."""
    if not quotes or not len(table):
        return
    takes_rows = "\n" in (table.column(table.num_columns - 1)[-1].as_py() or "")
    if takes_rows and not data.rstrip(b"\r\n").endswith(b'"'):
        line = int(lines(np.array([len(table) - 1]))[0])
        raise InputError(f'{path}, line {line}: a quote (") is opened and never closed; close or remove it')
