"""The file of ``infer --users``: ids of users that the domain knows, or histories of people that it has never seen."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from prerec_pyro.data.readers.files import FileTable

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_COLUMNS = ("user_id", "item_id", "timestamp", "order")
_EXPECTED = "expected one user id a line, a column user_id, or the columns user_id and item_id for histories"


@dataclass(frozen=True, eq=False)
class UsersFile:
    """Whom a file names; one of the two is None.

    Attributes
    ----------
    users
        ``(n,)`` distinct ids of users of the domain, in the order of the file.
    histories
        ``user_id, item_id`` and, if it was there, ``timestamp``; oldest first.
    """

    users: np.ndarray | None = None
    histories: pd.DataFrame | None = None


def read_users_file(path: Path) -> UsersFile:
    """Return whom a text, CSV, TSV, Parquet or JSONL file names: with a column ``item_id`` it holds histories.

    Raises
    ------
    InputError
        If the file is missing, damaged or empty, or lacks a column or a value.
    """
    table = _read_table(path)
    if isinstance(table, list):
        return UsersFile(users=_distinct(table, path))
    names = table.table.column_names
    if "user_id" not in names:
        raise InputError(f"{path}: no column 'user_id'; it has {', '.join(map(repr, names))}; {_EXPECTED}")
    if "item_id" in names:
        return UsersFile(histories=_histories(table))
    return UsersFile(users=_distinct(_columns(table, ("user_id",))["user_id"].to_pylist(), path))


def _read_table(path: Path) -> FileTable | list[str]:
    from prerec_pyro.data.readers.files import check_utf8, parse_delimited, read_bytes
    from prerec_pyro.data.readers.tables import read_file

    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]
    if kind in (".parquet", ".pq"):
        return read_file(path)
    data = read_bytes(path)
    check_utf8(data, path)
    text = data.decode("utf-8-sig")
    if not text.strip():
        raise InputError(f"{path}: empty; {_EXPECTED}")
    if kind in (".jsonl", ".ndjson"):
        return _parse_jsonl(path, text)
    delimiter = _DELIMITERS.get(kind, ",")
    first = next(csv.reader(io.StringIO(text.lstrip()), delimiter=delimiter))
    if {"user_id", "item_id"} & set(first):
        return parse_delimited(path, data, delimiter=delimiter)
    if kind not in _DELIMITERS:
        return [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    if len(first) > 1:
        raise InputError(f"{path}: no column 'user_id'; it has {', '.join(map(repr, first))}; {_EXPECTED}")
    return [row[0] for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row and row[0].strip()]


def _parse_jsonl(path: Path, text: str) -> FileTable:
    """Return the columns that we know, of an object a line."""
    import numpy as np
    import pyarrow as pa

    from prerec_pyro.data.readers.files import FileTable

    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: no valid JSON ({error}); write one object a line") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: expected a JSON object with the key user_id")
        rows.append(row)
        numbers.append(number)
    found = dict.fromkeys(name for row in rows for name in row)
    columns: dict[str, pa.Array] = {}
    for name in found:
        if name in _COLUMNS:
            try:
                columns[name] = pa.array([row.get(name) for row in rows])
            except (pa.ArrowException, OverflowError) as error:
                raise InputError(f"{path}, key '{name}': mixed types ({error}); write all as text") from None
        else:
            columns[name] = pa.nulls(len(rows))  # named in messages, never read
    return FileTable(path, pa.table(columns), lines=lambda at: np.array(numbers)[at])


def _columns(file: FileTable, names: tuple[str, ...]) -> dict[str, pa.Array]:
    """Return ids as strings as they were written, times as seconds, positions as numbers."""
    import pyarrow as pa

    from prerec_pyro.data.frames import Origin, arrow_column, id_strings, open_frame
    from prerec_pyro.data.times import positions, seconds

    origin = Origin(str(file.path), lines=file.lines)
    if not len(file.table):
        raise InputError(f"{file.path}: no rows; {_EXPECTED}")
    frame = open_frame(file.table, origin)
    columns: dict[str, pa.Array] = {}
    for name in names:
        column = arrow_column(frame, name, origin)
        if name == "timestamp":
            columns[name] = pa.array(seconds(column, name, origin)[0])
        elif name == "order":
            columns[name] = pa.array(positions(column, name, origin))
        else:
            columns[name] = id_strings(column, name, origin)
    return columns


def _histories(file: FileTable) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    columns = _columns(file, tuple(name for name in _COLUMNS if name in file.table.column_names))
    table = pd.DataFrame({name: column.to_numpy(zero_copy_only=False) for name, column in columns.items()})
    keys = [table[name].to_numpy() for name in ("order", "timestamp") if name in table.columns]
    table = table.iloc[np.lexsort((*keys, pd.factorize(table["user_id"])[0]))].reset_index(drop=True)
    if "timestamp" in table.columns:
        table = table.assign(timestamp=pd.to_datetime(table["timestamp"], unit="s", utc=True))
    return table.drop(columns="order", errors="ignore")


def _distinct(users: list[str], path: Path) -> np.ndarray:
    import numpy as np

    if not users:
        raise InputError(f"{path}: names no user; {_EXPECTED}")
    return np.array(list(dict.fromkeys(users)), dtype=object)
