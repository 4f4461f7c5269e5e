"""A folder of lists, one file a shard of users: written whole, in any order, by whoever gets there; and resumed."""

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

PLAN = "_shards.json"  # what reads a folder of Parquet passes over names that begin so
USERS_AT_A_TIME = 2048  # rows in memory


@dataclass(frozen=True, eq=False)
class Shards:
    """Users cut into shards, and the folder that their lists go to.

    Attributes
    ----------
    folder
        Where the files are.
    users
        ``(n,)`` ids, in the order of the lists.
    size
        Users to a shard; the last may hold fewer.
    """

    folder: Path
    users: np.ndarray
    size: int

    def __len__(self) -> int:
        return -(-len(self.users) // self.size)

    def users_of(self, shard: int) -> np.ndarray:
        """Return the users of a shard."""
        return self.users[shard * self.size : (shard + 1) * self.size]

    def path(self, shard: int) -> Path:
        """Return the file of a shard, which is there when it is whole."""
        return shard_path(self.folder, shard)

    def missing(self) -> list[int]:
        """Return the shards that have no file yet."""
        return [shard for shard in range(len(self)) if not self.path(shard).exists()]


def shard_path(folder: Path, shard: int) -> Path:
    """Return the file of a shard."""
    return folder / f"part-{shard:05d}.parquet"


def open_shards(
    folder: Path, users: np.ndarray, size: int, question: ListRequest, fingerprints: Sequence[str]
) -> Shards:
    """Return the shards of a folder, a new one or one that was begun with the same question.

    Parameters
    ----------
    folder
        Made where there is none.
    users, size
        Ids in the order of the lists, and how many to a shard.
    question
        What is asked.
    fingerprints
        Of the model and the domain, so that a folder begun with others is not gone on with.

    Raises
    ------
    InputError
        If the folder holds something else, or lists of another question.
    """
    whom = hashlib.sha256("\0".join(users).encode()).hexdigest()
    asked = question.as_json() | {"model": None, "domain": None, "device": None}
    plan = {"question": asked, "fingerprints": list(fingerprints), "users": whom, "shard_users": size}
    path = folder / PLAN
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"--out {folder}: is a file, expected a folder to make or to go on with; name another one")
        if path.is_file():
            _check_plan(path, plan)
        elif folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"--out {folder}: exists, is not empty and has no {PLAN}; name another folder")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            beside = folder / f".{PLAN}.{uuid.uuid4().hex}.partial"
            beside.write_text(json.dumps(plan, indent=2) + "\n", encoding="utf-8")
            beside.replace(path)
        for left in folder.glob(".part-*.partial"):  # of a worker that was stopped
            left.unlink()
    except OSError as error:
        raise InputError(
            f"--out {folder}: cannot be written ({error.strerror or error}); name another folder"
        ) from None
    return Shards(folder, users, size)


def _check_plan(path: Path, plan: dict[str, object]) -> None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        differ = [name for name in plan if found.get(name) != plan[name]]
    except (ValueError, AttributeError):
        raise InputError(f"{path}: damaged, no valid JSON; remove the folder, or name another one") from None
    if differ:
        what = {"question": "other options", "fingerprints": "another model or domain", "users": "other users"}
        names = " and ".join(what.get(name, "another --shard-users") for name in differ)
        raise InputError(f"--out {path.parent}: was begun with {names}; name another folder, or remove this one")


def write_shard(recommender: ArrowRecommender, folder: Path, shard: int, users: Sequence[str]) -> int:
    """Write the lists of a shard, whole or not at all; return the number of rows."""
    beside = folder / f".part-{shard:05d}.{os.getpid()}-{uuid.uuid4().hex}.partial"
    ids = pa.array(users, pa.string())
    chunks = (ids.slice(begin, USERS_AT_A_TIME) for begin in range(0, len(ids), USERS_AT_A_TIME))
    rows = 0
    try:
        with pq.ParquetWriter(beside, SCHEMA) as writer:
            for lists in recommender.map(pa.record_batch({"user_id": chunk}) for chunk in chunks):
                writer.write_batch(lists)
                rows += len(lists)
        beside.replace(shard_path(folder, shard))
    finally:
        beside.unlink(missing_ok=True)
    return rows
