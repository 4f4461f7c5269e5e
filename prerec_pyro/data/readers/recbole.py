"""Reader of RecBole atomic files: ``.inter`` and ``.item``, tab-separated, with headers ``name:type``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.frames import Origin
from prerec_pyro.data.readers.files import FileTable, existing_file, parse_delimited, read_bytes
from prerec_pyro.data.validation import require_columns
from prerec_pyro.errors import InputError

_TYPES = ("token", "token_seq", "float", "float_seq")


def read_recbole(source: str | Path | Sequence[str | Path], name: str | None = None) -> Domain:
    """Return the domain of a pair of RecBole files.

    The text of an item joins all its ``token`` and ``token_seq`` columns except ids and web addresses by a blank, in
    the order of the file: ``"Toy Story 1995 Animation Children's Comedy"``.

    Parameters
    ----------
    source
        A folder that holds one ``.inter`` and one ``.item`` file, or one of the two files (with the other in the same
        folder), or both.
    name
        Name of the domain; by default the name of the ``.inter`` file.

    Raises
    ------
    InputError
        If a file is missing or damaged, a header has no type, or the tables fail the checks of
        `Domain.from_tables`.
    """
    inter, item = _two_paths(source)
    events, events_header = _read(inter)
    catalogue, items_header = _read(item)
    require_columns(list(events_header), ["user_id", "item_id", "timestamp"], Origin(inter.name))
    require_columns(list(items_header), ["item_id"], Origin(item.name))
    texts = [field for field, kind in items_header.items() if kind.startswith("token") and _describes(field)]
    if not texts:
        raise InputError(
            f"{item}: no column of words (token or token_seq) besides item_id; add one, such as title:token_seq"
        )
    items = pa.table({"item_id": catalogue.table["item_id"], "text": _joined(catalogue.table, texts)})
    origins = (
        Origin(inter.name, columns=_typed(events_header), lines=events.lines),
        Origin(item.name, columns=_typed(items_header) | {"text": "+".join(texts)}, lines=catalogue.lines),
    )
    used = events.table.select(["user_id", "item_id", "timestamp"])
    return Domain.from_tables(used, items, name=name or inter.name.split(".")[0], source=origins)


def _two_paths(source: str | Path | Sequence[str | Path]) -> tuple[Path, Path]:
    paths = [Path(source)] if isinstance(source, str | Path) else [Path(part) for part in source]
    if len(paths) == 1 and paths[0].is_dir():
        folder = paths[0]
        paths = sorted(path for path in folder.iterdir() if _kind(path))
    elif len(paths) == 1:
        folder = paths[0].parent
        existing_file(paths[0])
        paths = sorted(path for path in folder.iterdir() if _kind(path) and _stem(path) == _stem(paths[0]))
    else:
        folder = paths[0].parent if paths else Path()
        for path in paths:
            existing_file(path)
    return _only(paths, ".inter", folder), _only(paths, ".item", folder)


def _kind(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return next((kind for kind in (".inter", ".item") if name.endswith(kind)), "")


def _stem(path: Path) -> str:
    return path.name.lower().removesuffix(".gz").removesuffix(_kind(path))


def _only(paths: Sequence[Path], kind: str, folder: Path) -> Path:
    found = [path for path in paths if _kind(path) == kind]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found)
        raise InputError(f"{folder}: more than one {kind} file ({names}); name the files to read")
    why = " (it holds the item texts, which the model needs)" if kind == ".item" else ""
    raise InputError(f"{folder}: no {kind} file{why}; put it in the folder of the other file, or name both files")


def _read(path: Path) -> tuple[FileTable, dict[str, str]]:
    """Return the table with names without types, and name → type in the order of the file."""
    file = parse_delimited(path, read_bytes(path), delimiter="\t", quotes=False)
    header: dict[str, str] = {}
    for column in file.table.column_names:
        field, _, kind = column.rpartition(":")
        if kind not in _TYPES or not field or ":" in field:
            raise InputError(
                f"{path}, line 1: column {column!r} has no type; RecBole headers are name:type with type "
                f"one of {', '.join(_TYPES)}, separated by tabs"
            )
        header[field] = kind
    if len(header) < file.table.num_columns:
        raise InputError(f"{path}, line 1: two columns have the same name; rename one of them")
    return FileTable(path, file.table.rename_columns(list(header)), file.lines), header


def _typed(header: dict[str, str]) -> dict[str, str]:
    return {field: f"{field}:{kind}" for field, kind in header.items()}


def _describes(field: str) -> bool:
    """Return False for fields that hold ids or web addresses, which do not describe an item."""
    plain = field.lower()
    return not (plain.endswith(("_id", "url", "urls")) or plain in ("id", "asin"))


def _joined(table: pa.Table, names: Sequence[str]) -> pa.ChunkedArray:
    joined = pc.binary_join_element_wise(*(table[name] for name in names), pa.scalar(" ", pa.large_string()))
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(joined, r"  +", " "))
