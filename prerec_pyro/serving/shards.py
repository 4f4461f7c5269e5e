"""Shards of users: a folder with one file of lists per shard, written atomically in any order, and resumable."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from prerec_pyro.errors import InputError
from prerec_pyro.serving.arrow import SCHEMA, ArrowRecommender, ListRequest

PLAN = "_shards.json"  # readers of a Parquet folder skip names that start with an underscore
USERS_AT_A_TIME = 2048  # bounds the lists in memory


@dataclass(frozen=True, eq=False)
class Shards:
    """Users in shards, and the folder of their lists.

    Attributes
    ----------
    folder
        Folder of the files.
    users
        ``(n,)`` ids, in the order of the lists.
    size
        Number of users per shard; the last shard may hold fewer.
    """

    folder: Path
    users: np.ndarray
    size: int

    def __len__(self) -> int:
        return -(-len(self.users) // self.size)

    def users_of(self, shard: int) -> np.ndarray:
        """Return the user ids of a shard."""
        return self.users[shard * self.size : (shard + 1) * self.size]

    def path(self, shard: int) -> Path:
        """Return the file of a shard; it exists once it is complete."""
        return shard_path(self.folder, shard)

    def missing(self) -> list[int]:
        """Return the shards that have no file yet."""
        return [shard for shard in range(len(self)) if not self.path(shard).exists()]


def shard_path(folder: Path, shard: int) -> Path:
    """Return the file of a shard."""
    return folder / f"part-{shard:05d}.parquet"


def open_shards(
    folder: Path, users: np.ndarray, size: int, request: ListRequest, fingerprints: Sequence[str]
) -> Shards:
    """Return the shards of a folder, a new one or one that was started with the same request.

    Parameters
    ----------
    folder
        Folder of the files; created if it does not exist.
    users
        ``(n,)`` ids in the order of the lists.
    size
        Number of users per shard.
    request
        Model, domain and options of the lists.
    fingerprints
        Fingerprints of the model and the domain: a folder that was started with others is not continued.

    Raises
    ------
    InputError
        If the folder holds something else, or lists of another request.
    """
    users_hash = hashlib.sha256("\0".join(users).encode()).hexdigest()
    options = request.as_json() | {"model": None, "domain": None, "device": None}
    # "question" is the key in files of earlier versions, too.
    plan = {"question": options, "fingerprints": list(fingerprints), "users": users_hash, "shard_users": size}
    path = folder / PLAN
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"--out {folder}: is a file, expected a new folder or one to continue; name another one")
        if path.is_file():
            _check_plan(path, plan)
        elif folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"--out {folder}: exists, is not empty and has no {PLAN}; name another folder")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            partial = folder / f".{PLAN}.{uuid.uuid4().hex}.partial"
            partial.write_text(json.dumps(plan, indent=2) + "\n", encoding="utf-8")
            partial.replace(path)
        for leftover in folder.glob(".part-*.partial"):  # from a worker that was stopped
            leftover.unlink()
    except OSError as error:
        raise InputError(
            f"--out {folder}: cannot be written ({error.strerror or error}); name another folder"
        ) from None
    return Shards(folder, users, size)


def _check_plan(path: Path, plan: dict[str, object]) -> None:
    """Raise `InputError` if a folder was started with another plan."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        differ = [name for name in plan if found.get(name) != plan[name]]
    except (ValueError, AttributeError):
        raise InputError(f"{path}: damaged, not valid JSON; remove the folder, or name another one") from None
    if differ:
        changes = {"question": "other options", "fingerprints": "another model or domain", "users": "other users"}
        names = " and ".join(changes.get(name, "another --shard-users") for name in differ)
        raise InputError(f"--out {path.parent}: was started with {names}; name another folder, or remove this one")


def write_shard(recommender: ArrowRecommender, folder: Path, shard: int, users: Sequence[str]) -> int:
    """Write the file of a shard completely or not at all; return the number of list rows.

    Parameters
    ----------
    recommender
        Recommender of the lists.
    folder
        Folder of the files.
    shard
        Number of the shard.
    users
        User ids of the shard.

    Raises
    ------
    InputError
        If a user is unknown.
    """
    partial = folder / f".part-{shard:05d}.{os.getpid()}-{uuid.uuid4().hex}.partial"
    ids = pa.array(users, pa.string())
    chunks = (ids.slice(begin, USERS_AT_A_TIME) for begin in range(0, len(ids), USERS_AT_A_TIME))
    rows = 0
    try:
        with pq.ParquetWriter(partial, SCHEMA) as writer:
            for lists in recommender.map(pa.record_batch({"user_id": chunk}) for chunk in chunks):
                writer.write_batch(lists)
                rows += len(lists)
        partial.replace(shard_path(folder, shard))
    finally:
        partial.unlink(missing_ok=True)
    return rows
