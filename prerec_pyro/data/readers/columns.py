"""Columns of files: recognised by common names, or mapped by the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from prerec_pyro.data.frames import Origin, quoted
from prerec_pyro.data.item_arrays import RESERVED_NAMES
from prerec_pyro.data.readers.files import FileTable
from prerec_pyro.errors import InputError

# Common names in lower case, without blanks, dashes and underscores; our own name comes first.
_KNOWN_NAMES: dict[str, tuple[str, ...]] = {
    "user_id": (
        *("userid", "user", "uid", "reviewerid", "customerid", "customer", "sessionid", "session"),
        *("memberid", "visitorid", "clientid", "accountid", "username", "invoiceno"),
    ),
    "item_id": (
        *("itemid", "item", "asin", "parentasin", "iid", "productid", "product", "movieid", "bookid", "articleid"),
        *("trackid", "songid", "sku", "stockcode", "goodsid", "contentid"),
    ),
    "timestamp": (
        *("timestamp", "time", "date", "datetime", "ts", "unixreviewtime", "eventtime", "unixtime", "createdat"),
        *("ratedat", "purchasedate", "invoicedate", "eventtimestamp", "unixtimestamp"),
    ),
    "order": ("order", "position", "pos", "index", "seq", "sequence", "rank", "step"),
    "text": (
        *("text", "title", "name", "description", "itemtext", "producttitle", "productname", "itemname"),
        *("itemtitle", "movietitle", "productdescription", "itemdescription"),
    ),
    "first_seen": ("firstseen", "dateadded", "addedat", "availablesince"),
}
INTERACTION_ROLES = ("user_id", "item_id", "timestamp", "order")
ITEM_ROLES = ("item_id", "text", "first_seen")
OPTIONAL_ROLES = ("first_seen",)
_TIE_BREAKERS = ("order", "position")


def check_mapping(columns: Mapping[str, str], tables: Sequence[FileTable]) -> None:
    """Check that a mapping names our columns on the left and columns of the files on the right.

    Raises
    ------
    InputError
        If an entry does not; the message names it and the columns that exist.
    """
    for ours, theirs in columns.items():
        if ours not in _KNOWN_NAMES:
            raise InputError(f"--column {ours}={theirs}: no column {ours!r}; map one of {', '.join(_KNOWN_NAMES)}")
        parts = theirs.split("+") if ours == "text" else [theirs]
        for part in parts:
            if not any(part in table.table.column_names or theirs in table.table.column_names for table in tables):
                existing = "; ".join(f"{t.path.name}: {', '.join(t.table.column_names)}" for t in tables)
                raise InputError(f"--column {ours}={theirs}: no file has a column {part!r} ({existing})")


def guess(names: Sequence[str], roles: Sequence[str], columns: Mapping[str, str], file: str) -> dict[str, str]:
    """Return our name → theirs for each of `roles` that is recognised.

    Parameters
    ----------
    names
        Names of the columns of the file.
    roles
        Our names of the columns to find.
    columns
        Our name → theirs, as the user mapped them; a mapping wins over a common name.
    file
        Name of the file, for the message.

    Raises
    ------
    InputError
        If two columns could have the same role and neither has our name.
    """
    found: dict[str, str] = {}
    for role in roles:
        if role in columns and all(part in names for part in _parts(role, columns[role], names)):
            found[role] = columns[role]
            continue
        candidates = _candidates(role, names, taken=set(found.values()) | set(columns.values()))
        if role == "order" and "timestamp" in found:  # next to times, an index or a rank may mean anything
            candidates = [name for name in candidates if _plain(name) in _TIE_BREAKERS]
        exact = [name for name in candidates if name == role]
        if exact or (candidates and role == "text"):
            candidates = exact or candidates[:1]
        if len(candidates) > 1:
            raise InputError(
                f"{file}: {quoted(candidates)} could each be {role}; choose one: --column {role}={candidates[0]}"
            )
        if candidates:
            found[role] = candidates[0]
    bare = [name for name in names if _plain(name) == "id"]
    if bare and "text" in roles and "item_id" not in found:  # in a file of items, "id" is the id of the item
        found["item_id"] = bare[0]
    return found


def add_covariates(
    found: Mapping[str, str], covariates: Sequence[str], names: Sequence[str], file: str
) -> dict[str, str]:
    """Return `found` with an entry for each item covariate, a column of the items file that keeps its name.

    Raises
    ------
    InputError
        If a name is reserved, or the file has no such column.
    """
    for name in covariates:
        if name in RESERVED_NAMES:
            raise InputError(f"item covariate {name!r}: {', '.join(RESERVED_NAMES)} are no covariates")
        if name not in names:
            raise InputError(f"{file}: no column {name!r} for the item covariate {name!r}; it has {', '.join(names)}")
    return {**found, **{name: name for name in covariates}}


def pick(file: FileTable, found: Mapping[str, str]) -> tuple[pa.Table, Origin]:
    """Return the columns that `guess` found, under our names, and their origin."""
    table = pa.table({role: joined(file.table, theirs) for role, theirs in found.items()})
    return table, Origin(file.path.name, columns=dict(found), lines=file.lines)


def joined(table: pa.Table, theirs: str) -> pa.ChunkedArray:
    """Return the column `theirs`, or for ``"title+brand"`` the two columns joined by a blank."""
    if theirs in table.column_names:
        return table[theirs]
    parts = [pc.fill_null(table[name].cast(pa.large_string()), "") for name in theirs.split("+")]
    joined = pc.binary_join_element_wise(*parts, pa.scalar(" ", pa.large_string()))
    # An empty part leaves a double blank, or a blank at an end.
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(joined, r"  +", " "))


def _parts(role: str, theirs: str, names: Sequence[str]) -> list[str]:
    return theirs.split("+") if role == "text" and theirs not in names else [theirs]


def _candidates(role: str, names: Sequence[str], taken: set[str]) -> list[str]:
    known = _KNOWN_NAMES[role]
    free = [name for name in names if _plain(name) in known and name not in taken]
    return sorted(free, key=lambda name: known.index(_plain(name)))


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter not in " -_.\ufeff")
