"""A domain on disk: interactions and items as Parquet, embeddings as safetensors, and ``domain.json``.

Item covariates are further columns of ``items.parquet``. ``domain.json`` lists them under ``item_covariates``, a key
that is there only if the domain has any. Days of listing are its column ``first_seen``, and a key of that name.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import safetensors
from safetensors.numpy import load_file

from prerec_pyro.data.protocols import DomainTables
from prerec_pyro.data.safetensors_io import write_tensors
from prerec_pyro.data.validation import to_objects
from prerec_pyro.errors import InputError

FORMAT_VERSION = 1
_MANIFEST = "domain.json"
_INTERACTIONS = "interactions.parquet"
_ITEMS = "items.parquet"
_EMBEDDINGS = "embeddings.safetensors"
_COVARIATES = "item_covariates"  # the key in domain.json
_FIRST_SEEN = "first_seen"  # the key in domain.json, and the column


def write_domain(domain: DomainTables, folder: Path) -> None:
    """Write `domain` to `folder`, completely or not at all.

    Raises
    ------
    InputError
        If `folder` exists and is neither empty nor a saved domain, or cannot be written.
    """
    if folder.exists() and not replaceable(folder):
        raise InputError(
            f"{folder}: exists and is neither empty nor a saved domain (it has no {_MANIFEST}), so it is "
            "left alone; name another folder"
        )
    temporary = folder.parent / f".{folder.name}.{uuid.uuid4().hex}.partial"
    try:
        temporary.mkdir(parents=True)
        try:
            _write_files(domain, temporary)
            _move_into_place(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error}); name another folder") from error


def replaceable(folder: Path) -> bool:
    """Return whether `folder` is empty or a saved domain, so that saving may replace it."""
    return folder.is_dir() and ((folder / _MANIFEST).is_file() or not any(folder.iterdir()))


def _move_into_place(temporary: Path, folder: Path) -> None:
    """Give the new folder its name; an old folder of that name is removed, or kept where the new one cannot take it."""
    if not folder.exists():
        temporary.rename(folder)
        return
    old = folder.parent / f".{folder.name}.{uuid.uuid4().hex}.old"
    folder.rename(old)
    try:
        temporary.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old)


def _write_files(domain: DomainTables, folder: Path) -> None:
    pq.write_table(_interactions(domain), folder / _INTERACTIONS, compression="zstd")
    pq.write_table(_items(domain), folder / _ITEMS, compression="zstd")
    names = [_INTERACTIONS, _ITEMS]
    if domain.embeddings is not None:
        write_tensors(folder / _EMBEDDINGS, {"embeddings": domain.embeddings})
        names.append(_EMBEDDINGS)
    manifest: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "name": domain.name,
        "num_items": domain.num_items,
        "num_users": domain.num_users,
        "num_interactions": domain.num_interactions,
        "fingerprint": domain.fingerprint,
        "files": {name: {"bytes": (folder / name).stat().st_size, "sha256": _sha256(folder / name)} for name in names},
        "provenance": domain.provenance,
    }
    if domain.item_covariates:
        manifest[_COVARIATES] = list(domain.item_covariates)
    if domain.first_seen is not None:
        manifest[_FIRST_SEEN] = True
    text = json.dumps(manifest, indent=2, ensure_ascii=False)
    (folder / _MANIFEST).write_text(text + "\n", encoding="utf-8")


def _interactions(domain: DomainTables) -> pa.Table:
    strings = pa.large_string()
    timed = domain.timestamps is not None
    return pa.table(
        {
            "user_id": pa.DictionaryArray.from_arrays(domain.user_of_event, pa.array(domain.user_ids, strings)),
            "item_id": pa.DictionaryArray.from_arrays(domain.item_index, pa.array(domain.item_ids, strings)),
            "timestamp" if timed else "order": pa.array(domain.timestamps if timed else domain.order, pa.int64()),
        }
    )


def _items(domain: DomainTables) -> pa.Table:
    strings = pa.large_string()
    columns = {"item_id": pa.array(domain.item_ids, strings), "text": pa.array(domain.item_texts, strings)}
    if domain.first_seen is not None:
        columns[_FIRST_SEEN] = pa.array(domain.first_seen, mask=domain.first_seen < 0)
    return pa.table(columns | {name: pa.array(values) for name, values in domain.item_covariates.items()})


def read_domain(folder: Path) -> dict[str, Any]:
    """Return the fields of the domain saved in `folder`.

    Raises
    ------
    InputError
        If there is no ``domain.json``, it is damaged or of another format version, or a file is missing or was
        changed.
    """
    manifest = _read_manifest(folder)
    for name, expected in manifest["files"].items():
        _check_file(folder / name, expected)
    try:
        return _read_files(folder, manifest)
    except (pa.ArrowException, safetensors.SafetensorError, KeyError, OSError) as error:
        raise InputError(f"{folder}: cannot be read as a domain ({error}); import it again") from error


def content_fingerprint(domain: DomainTables) -> str:
    """Return the SHA-256 (hex) of ids, texts, events and, if there are any, item covariates and days of listing."""
    digest = hashlib.sha256()
    for strings in (domain.item_ids, domain.item_texts, domain.user_ids):
        column = pa.array(strings, pa.large_string())
        _, ends, characters = column.buffers()
        digest.update(np.frombuffer(ends, dtype="<i8", count=len(column) + 1).tobytes())
        digest.update(b"" if characters is None else characters)
    digest.update(domain.offsets.astype("<i8").tobytes())
    digest.update(domain.item_index.astype("<i4").tobytes())
    digest.update(b"order" if domain.timestamps is None else domain.timestamps.astype("<i8").tobytes())
    for name in sorted(domain.item_covariates):
        digest.update(f"covariate {len(name)} {name}".encode())
        digest.update(domain.item_covariates[name].astype("<f4").tobytes())
    if domain.first_seen is not None:
        digest.update(b"first_seen" + domain.first_seen.astype("<i4").tobytes())
    return digest.hexdigest()


def check_fingerprint(domain: DomainTables, folder: Path) -> None:
    """Raise `InputError` if the loaded content differs from the saved content."""
    saved = _read_manifest(folder)["fingerprint"]
    if domain.fingerprint != saved:
        raise InputError(f"{folder}: its content is not what {_MANIFEST} says; import it again")


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    if not path.is_file():
        problem = "is no folder" if not folder.is_dir() else f"has no {_MANIFEST}"
        raise InputError(f"{folder}: {problem}; expected a domain made by `prerec-pyro data import`")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: damaged, no valid JSON ({error}); import the domain again") from None
    needed = {"format_version": int, "name": str, "fingerprint": str, "files": dict, "provenance": dict}
    if not isinstance(manifest, dict) or not all(isinstance(manifest.get(k), kind) for k, kind in needed.items()):
        raise InputError(f"{path}: damaged, it lacks one of {', '.join(needed)}; import the domain again")
    if manifest["format_version"] != FORMAT_VERSION:
        raise InputError(
            f"{path}: format version {manifest['format_version']}, this prerec-pyro reads {FORMAT_VERSION}; "
            "import the domain again, or use the version that wrote it"
        )
    files, covariates = manifest["files"], manifest.get(_COVARIATES, [])
    if not isinstance(covariates, list) or not all(isinstance(name, str) for name in covariates):
        raise InputError(f"{path}: damaged, {_COVARIATES} is no list of names; import the domain again")
    well_formed = all(isinstance(facts, dict) for facts in files.values())
    if not (well_formed and {_INTERACTIONS, _ITEMS} <= set(files) <= {_INTERACTIONS, _ITEMS, _EMBEDDINGS}):
        raise InputError(f"{path}: damaged, it lists the wrong files; import the domain again")
    return manifest


def _check_file(path: Path, expected: dict[str, Any]) -> None:
    if not path.is_file():
        raise InputError(f"{path}: missing, although {_MANIFEST} lists it; import the domain again")
    if path.stat().st_size != expected.get("bytes") or _sha256(path) != expected.get("sha256"):
        raise InputError(f"{path}: damaged or changed since it was written; import the domain again")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(column: pa.ChunkedArray) -> pa.Array:
    plain = column.cast(pa.large_string())
    return pa.concat_arrays(plain.chunks) if plain.num_chunks else pa.array([], pa.large_string())


def _read_files(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    items = pq.read_table(folder / _ITEMS)
    events = pq.read_table(folder / _INTERACTIONS)
    item_ids = _plain(items["item_id"])
    encoded = pc.dictionary_encode(_plain(events["user_id"]))
    users = encoded.indices.to_numpy(zero_copy_only=False)
    item_index = pc.index_in(_plain(events["item_id"]), value_set=item_ids)
    lengths = np.bincount(users, minlength=len(encoded.dictionary))
    embeddings = load_file(folder / _EMBEDDINGS)["embeddings"] if _EMBEDDINGS in manifest["files"] else None
    first_seen = pc.fill_null(items[_FIRST_SEEN], -1).to_numpy().copy() if manifest.get(_FIRST_SEEN) else None
    return {
        "name": manifest["name"],
        "item_ids": to_objects(item_ids),
        "item_texts": to_objects(_plain(items["text"])),
        "item_covariates": {name: items[name].to_numpy().copy() for name in manifest.get(_COVARIATES, [])},
        "user_ids": to_objects(encoded.dictionary),
        "offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "item_index": item_index.to_numpy(zero_copy_only=False),
        "timestamps": events["timestamp"].to_numpy().copy() if "timestamp" in events.column_names else None,
        "embeddings": embeddings,
        "first_seen": first_seen,
        "provenance": manifest["provenance"],
    }
