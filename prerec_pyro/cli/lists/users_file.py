"""File of ``infer --users``: ids of users of the domain, or histories of new users."""

from __future__ import annotations

import csv
import io
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from prerec_pyro.data.batching.histories import Unknown
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.data.readers.files import FileTable

logger = logging.getLogger(__name__)
_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_EXAMPLE = '{"user_id": "u1"}'
_COLUMNS = ("user_id", "item_id", "timestamp", "order")
_EXPECTED = (
    "expected one user id per line, a column user_id, or columns user_id and item_id with histories of new users"
)


@dataclass(frozen=True, eq=False)
class UsersFile:
    """Users to recommend to. One of the two attributes is None.

    Attributes
    ----------
    users
        ``(n,)`` distinct ids of users of the domain, in the order of the file.
    histories
        Histories of new users: ``user_id, item_id`` and, if the file has it, ``timestamp``, oldest event first.
    """

    users: np.ndarray | None = None
    histories: pd.DataFrame | None = None


def read_users(path: Path | None, domain: Domain, unknown: Unknown | None = None) -> UsersFile:
    """Return the users to recommend to, after a check of the ids; log their number.

    Parameters
    ----------
    path
        File of users; None for all users of the domain or, in a domain without users, for `NOBODY`.
    domain
        Domain to recommend in.
    unknown
        Users of the file who are not in the log: ``"popular"`` keeps them, ``"skip"`` drops them, ``"error"`` refuses
        them. None is ``"error"``, or ``"popular"`` in a domain without users.

    Raises
    ------
    InputError
        If the file cannot be read, or a user or an item is not in the domain.
    """
    unknown = unknown or ("error" if domain.num_users else "popular")
    if path is None:
        return _all_users(domain, unknown)
    named = read_users_file(path)
    try:
        if named.users is not None:
            return UsersFile(users=_known_or_kept(named.users, path, domain, unknown))
        if named.histories is not None:
            domain.item_position(named.histories["item_id"])
            count = named.histories["user_id"].nunique()
            logger.info("%s: histories of %s new users (the file has a column item_id)", path, f"{count:,}")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return named


def _all_users(domain: Domain, unknown: Unknown) -> UsersFile:
    import numpy as np

    from prerec_pyro.data.batching.histories import NOBODY

    if domain.num_users or unknown == "skip":
        logger.info("all %s users of domain %s", f"{domain.num_users:,}", domain.name)
        return UsersFile(users=domain.user_ids)
    if unknown == "error":
        raise InputError(
            f"domain {domain.name!r} has no log, so it has no users; for one list that suits anybody leave out "
            "--unknown error and --uncertainty"
        )
    logger.info("domain %s has no log: one list for anybody, with an empty user_id", domain.name)
    return UsersFile(users=np.array([NOBODY], dtype=object))


def _known_or_kept(users: np.ndarray, path: Path, domain: Domain, unknown: Unknown) -> np.ndarray:
    """Return the users to make lists for; log how many are not in the log of the domain."""
    try:
        known = domain.user_position(users, strict=unknown == "error") >= 0
    except InputError as error:
        ways = "--unknown popular (lists of what is popular) or --unknown skip (no lists)"
        raise InputError(f"{error}. Correct the ids, or give {ways}") from None
    missing = int((~known).sum())
    logger.info("%s: %s users of domain %s", path, f"{len(users) - missing:,}", domain.name)
    if missing:
        fate = "get no list" if unknown == "skip" else "get the list of somebody without a history"
        # Without a log nobody can be known, so that is no news.
        level = logging.WARNING if domain.num_users else logging.INFO
        where = f"{missing:,} of {len(users):,} users are not in the log of domain {domain.name!r} and {fate}"
        logger.log(level, "%s: %s", path, where)
    return users[known] if unknown == "skip" else users


def read_users_file(path: Path) -> UsersFile:
    """Return the users of a text, CSV, TSV, Parquet or JSON Lines file; with a column ``item_id``, their histories.

    Parameters
    ----------
    path
        File to read; its ending gives the format.

    Raises
    ------
    InputError
        If the file is missing, damaged or empty, or a column or a value is missing.
    """
    content = _read_table(path)
    if isinstance(content, list):
        return UsersFile(users=_distinct(content, path))
    names = content.table.column_names
    if "user_id" not in names:
        raise InputError(f"{path}: no column 'user_id'; it has {', '.join(map(repr, names))}; {_EXPECTED}")
    if "item_id" in names:
        return UsersFile(histories=_histories(content))
    return UsersFile(users=_distinct(_columns(content, ("user_id",))["user_id"].to_pylist(), path))


def _read_table(path: Path) -> FileTable | list[str]:
    """Return a table, or the user ids of a file without a header."""
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
    first_row = next(csv.reader(io.StringIO(text.lstrip()), delimiter=delimiter))
    if {"user_id", "item_id"} & set(first_row):
        return parse_delimited(path, data, delimiter=delimiter)
    if kind not in _DELIMITERS:
        return [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    if len(first_row) > 1:
        raise InputError(f"{path}: no column 'user_id'; it has {', '.join(map(repr, first_row))}; {_EXPECTED}")
    return [row[0] for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row and row[0].strip()]


def _parse_jsonl(path: Path, text: str) -> FileTable:
    """Return the known columns of a file with one JSON object per line."""
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
            raise InputError(f"{path}, line {number}: no valid JSON ({error}); write one object per line") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: expected a JSON object with the key user_id, as in {_EXAMPLE}")
        rows.append(row)
        numbers.append(number)
    names = dict.fromkeys(name for row in rows for name in row)
    columns: dict[str, pa.Array] = {}
    for name in names:
        if name in _COLUMNS:
            try:
                columns[name] = pa.array([row.get(name) for row in rows])
            except (pa.ArrowException, OverflowError) as error:
                raise InputError(f"{path}, key '{name}': mixed types ({error}); write all values as text") from None
        else:
            columns[name] = pa.nulls(len(rows))  # only its name is used, in error messages
    return FileTable(path, pa.table(columns), lines=lambda at: np.array(numbers)[at])


def _columns(file: FileTable, names: tuple[str, ...]) -> dict[str, pa.Array]:
    """Return ids as the strings in the file, times in seconds and positions as numbers."""
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
        raise InputError(f"{path}: no user; {_EXPECTED}")
    return np.array(list(dict.fromkeys(users)), dtype=object)
