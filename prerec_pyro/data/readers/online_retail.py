"""Reader of UCI *Online Retail* as in Table 3 of the paper: an item is a description, a user is an invoice."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.frames import Origin
from prerec_pyro.data.readers.files import FileTable, existing_file, parse_delimited, read_bytes
from prerec_pyro.data.validation import require_columns
from prerec_pyro.errors import InputError

_COLUMNS = ("InvoiceNo", "Description", "InvoiceDate")
_MONTH_FIRST = r"^[0-9]{1,2}/[0-9]{1,2}/[0-9]{4} [0-9]{1,2}:[0-9]{2}$"


def read_online_retail(path: str | Path, name: str = "online-retail") -> Domain:
    """Return the domain of the raw file: 540,455 interactions, 24,446 users and 4,223 items.

    Rows without a Description are dropped and counted. An item is a Description exactly as written, so a Description
    with a trailing blank is an item of its own; the text of an item is stripped. Cancelled invoices stay. Rows of one
    invoice share a time and keep the order of the file.

    Parameters
    ----------
    path
        The original ``.xlsx`` (needs openpyxl), a ``.csv`` or ``.csv.gz`` of it (UTF-8 or Latin-1, ISO or month-first
        dates), or a folder that holds one of these.
    name
        Name of the domain.

    Raises
    ------
    InputError
        If the file is missing or damaged, lacks a column, or openpyxl is needed and missing.
    """
    file, notes = _read(_only_file(Path(path)))
    origin = Origin(file.path.name)
    require_columns(file.table.column_names, _COLUMNS, origin)
    described = pc.not_equal(pc.utf8_trim_whitespace(pc.fill_null(file.table["Description"], "")), "")
    kept = np.flatnonzero(described.to_numpy())
    without = len(described) - len(kept)
    if without:
        notes.append(f"{origin.label}: {without:,} rows without a Description were dropped")
    rows = file.table.take(pa.array(kept))
    unique = pc.unique(rows["Description"])
    interactions = pa.table(
        {
            "user_id": rows["InvoiceNo"],
            "item_id": rows["Description"],
            "timestamp": _dates(rows["InvoiceDate"]),
        }
    )
    items = pa.table({"item_id": unique, "text": pc.utf8_trim_whitespace(unique)})
    names = {
        "user_id": "InvoiceNo",
        "item_id": "Description",
        "timestamp": "InvoiceDate",
        "text": "Description",
    }
    lines = file.lines
    origin = Origin(origin.label, columns=names, lines=None if lines is None else lambda at: lines(kept[at]))
    domain = Domain.from_tables(interactions, items, name=name, source=(origin, origin))
    return domain.with_notes(*notes, dropped={"empty_description": without})


def _only_file(path: Path) -> Path:
    if not path.is_dir():
        return existing_file(path)
    found = sorted(p for p in path.iterdir() if p.name.lower().endswith((".csv", ".csv.gz", ".xlsx")))
    if len(found) != 1:
        names = ", ".join(p.name for p in found) or "none"
        raise InputError(f"{path}: expected one .csv, .csv.gz or .xlsx file, found {names}; name the file to read")
    return found[0]


def _read(path: Path) -> tuple[FileTable, list[str]]:
    lowered = path.name.lower()
    if lowered.endswith((".xlsx", ".xlsm")):
        return _read_excel(path), []
    if not lowered.endswith((".csv", ".csv.gz")):
        raise InputError(f"{path}: unknown kind of file; expected .xlsx, .csv or .csv.gz")
    data = read_bytes(path)
    notes: list[str] = []
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        # A common CSV of this data set is Latin-1: its pound signs are single bytes.
        data = data.decode("latin-1").encode("utf-8")
        notes.append(f"{path.name}: not UTF-8, so it was read as Latin-1")
    return parse_delimited(path, data, delimiter=","), notes


def _read_excel(path: Path) -> FileTable:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # openpyxl warns about styles
            frame = pd.read_excel(path, dtype=str, keep_default_na=False, engine="openpyxl")
    except ImportError:
        raise InputError(
            f"{path}: reading .xlsx needs openpyxl; `pip install 'prerec-pyro[excel]'`, or save the sheet as CSV"
        ) from None
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as .xlsx ({error}); download it again") from None
    table = pa.table({str(c): pa.array(frame[c].astype(str), pa.large_string()) for c in frame.columns})
    return FileTable(path, table, lambda rows: rows + 2)


def _dates(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """Return times if all values are month-first dates ("12/1/2010 8:26"); otherwise return the column unchanged."""
    if not len(column) or not pc.all(pc.match_substring_regex(column, _MONTH_FIRST)).as_py():
        return column
    parsed = pd.to_datetime(pd.Series(column.to_pandas()), format="%m/%d/%Y %H:%M", errors="coerce")
    return column if parsed.isna().any() else pa.array(parsed.dt.as_unit("s"))
