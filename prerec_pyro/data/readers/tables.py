"""Reader of CSV, TSV and Parquet: one file of items and, where there is a log, one of interactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.frames import Origin
from prerec_pyro.data.readers.columns import (
    INTERACTION_ROLES,
    ITEM_ROLES,
    OPTIONAL_ROLES,
    add_covariates,
    check_mapping,
    guess,
    pick,
)
from prerec_pyro.data.readers.files import FileTable, existing_file, parse_delimited, read_bytes
from prerec_pyro.data.validation import require_columns
from prerec_pyro.errors import InputError

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_PARQUET = (".parquet", ".pq")
_ACCEPTED = "expected .csv, .tsv (each also .gz) or .parquet"


def read_tables(
    source: str | Path | Sequence[str | Path],
    *,
    columns: Mapping[str, str] | None = None,
    name: str | None = None,
    item_covariates: Sequence[str] = (),
) -> Domain:
    """Return the domain of an interactions file and an items file, or of an items file alone.

    Parameters
    ----------
    source
        A folder that holds ``interactions.*`` and ``items.*``, or the two files in either order; the file with users
        holds the interactions. One file of items, or a folder that holds ``items.*`` and no other table, makes a domain
        without a log.
    columns
        Our column → theirs, such as ``{"user_id": "reviewerID"}``, where a common name is not enough;
        ``{"text": "title+brand"}`` joins columns by a blank. Our columns are ``user_id``, ``item_id``, ``timestamp``,
        ``order``, ``text`` and, optionally, ``first_seen``: the day on which the store listed an item.
    name
        Name of the domain; by default the name of the folder.
    item_covariates
        Names of columns of the items file that hold a number for each item.

    Raises
    ------
    InputError
        If a file is missing or damaged, a column is not recognised, or the tables fail the checks of
        `Domain.from_tables`.
    """
    mapping = dict(columns or {})
    paths = _paths(source)
    files = [read_file(path) for path in paths]
    check_mapping(mapping, files)
    interactions, items = _tell_apart(files, mapping)
    catalogue, items_origin = _chosen(items, ITEM_ROLES, mapping, item_covariates)
    events, events_origin = None, items_origin
    if interactions is not None:
        events, events_origin = _chosen(interactions, INTERACTION_ROLES, mapping)
    return Domain.from_tables(
        events,
        catalogue,
        name=name or _folder_name(paths[0]),
        source=(events_origin, items_origin),
        item_covariates=item_covariates,
    )


def read_file(path: Path) -> FileTable:
    """Return one CSV, TSV or Parquet file as a table; values of delimited text are strings exactly as written.

    Raises
    ------
    InputError
        If the file is missing, damaged, or of another type.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]
    if kind in _DELIMITERS:
        return parse_delimited(path, read_bytes(path), delimiter=_DELIMITERS[kind])
    existing_file(path)
    if suffixes[-1:] and suffixes[-1] in _PARQUET:
        try:
            return FileTable(path, pq.read_table(path))
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: cannot be read as Parquet ({error}); write or copy it again") from None
    raise InputError(f"{path}: unknown kind of file; {_ACCEPTED}")


def _folder_name(path: Path) -> str:
    return path.resolve().parent.name


def _paths(source: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the paths of two files, or of one file of items."""
    paths = [Path(source)] if isinstance(source, str | Path) else [Path(part) for part in source]
    if len(paths) == 1 and paths[0].is_dir():
        alone = all(_stem(path) == "items" for path in paths[0].iterdir() if _is_table(path))
        return [_only_file(paths[0], stem) for stem in (("items",) if alone else ("interactions", "items"))]
    for path in paths:
        existing_file(path)
    if len(paths) not in (1, 2):
        given = ", ".join(str(path) for path in paths) or "nothing"
        raise InputError(
            f"{given}: expected two files, the interactions and the items, one file of items for a domain without a "
            "log, or the folder that holds interactions.* and items.*"
        )
    return paths


def _stem(path: Path) -> str:
    return path.name.lower().split(".")[0]


def _is_table(path: Path) -> bool:
    return path.is_file() and any(suffix.lower() in (*_DELIMITERS, *_PARQUET) for suffix in path.suffixes)


def _only_file(folder: Path, stem: str) -> Path:
    found = sorted(path for path in folder.iterdir() if path.is_file() and _stem(path) == stem)
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found or sorted(folder.iterdir())[:8]) or "nothing"
    if found:
        raise InputError(f"{folder}: more than one {stem} file ({names}); name the two files to read")
    raise InputError(f"{folder}: no {stem}.csv, .tsv or .parquet; it holds {names}. Name the two files to read")


def _tell_apart(files: Sequence[FileTable], mapping: Mapping[str, str]) -> tuple[FileTable | None, FileTable]:
    """Return (interactions, items); only interactions have a column of users, and one file is the items."""
    with_users = ["user_id" in _users(file, mapping) for file in files]
    if with_users == [True]:
        raise InputError(
            f"{files[0].path}: has a column of users, so it holds interactions; name the file of items too"
        )
    if with_users == [False]:
        return None, files[0]
    if with_users == [False, True]:
        return files[1], files[0]
    if with_users == [True, True]:
        raise InputError(
            f"{files[0].path} and {files[1].path}: both have a column of users; give one file of "
            "interactions and one of items"
        )
    return files[0], files[1]


def _users(file: FileTable, mapping: Mapping[str, str]) -> dict[str, str]:
    return guess(file.table.column_names, ("user_id",), mapping, file.path.name)


def _chosen(
    file: FileTable, roles: tuple[str, ...], mapping: Mapping[str, str], covariates: Sequence[str] = ()
) -> tuple[pa.Table, Origin]:
    names = file.table.column_names
    found = guess(names, roles, mapping, file.path.name)
    needed = ["user_id", "item_id", "timestamp or order"] if "user_id" in roles else list(roles)
    needed = [need for need in needed if need not in OPTIONAL_ROLES]
    missing = [need for need in needed if not any(option in found for option in need.split(" or "))]
    if missing:
        require_columns(names, missing, Origin(file.path.name))
    return pick(file, add_covariates(found, covariates, names, file.path.name))
