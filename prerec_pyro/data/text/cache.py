"""Disk cache of text embeddings in one SQLite file, so that no text is encoded twice."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from prerec_pyro.errors import InputError

CACHE_FILE = "text-embeddings-v1.sqlite"
_KEYS_PER_QUERY = 500  # below 999, the number of variables that every SQLite build allows
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS encoders (id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE,
                                     dim INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS vectors (encoder INTEGER NOT NULL, key BLOB NOT NULL, vector BLOB NOT NULL,
                                    PRIMARY KEY (encoder, key));
"""
_Result = TypeVar("_Result")


def cache_folder() -> Path:
    """Return ``PREREC_PYRO_CACHE``, or else the folder ``prerec-pyro`` in ``XDG_CACHE_HOME`` or ``~/.cache``."""
    if chosen := os.environ.get("PREREC_PYRO_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "prerec-pyro"


def text_key(text: str) -> bytes:
    """Return the SHA-256 (32 bytes) of the text in UTF-8; the cache holds no texts.

    Raises
    ------
    UnicodeEncodeError
        If the text holds half of a surrogate pair.
    """
    return hashlib.sha256(text.encode("utf-8")).digest()


class EmbeddingCache:
    """Vectors by (encoder fingerprint, text key) in one SQLite file, safe for several processes at once.

    A damaged file is renamed, with a warning, and a new file is started: its vectors can be computed again. Any other
    failure (no space, no permission, locked for more than `timeout` seconds) raises `InputError`.

    Parameters
    ----------
    folder
        Folder of the file, created if it does not exist. None: `cache_folder`.
    timeout
        Seconds to wait for the commit of another process.
    """

    # The rollback journal, not WAL: commits are short, and WAL needs memory that all processes share, which network
    # file systems do not offer.

    def __init__(self, folder: str | Path | None = None, timeout: float = 60.0) -> None:
        self.path = (Path(folder).expanduser() if folder is not None else cache_folder()) / CACHE_FILE
        self._timeout = timeout
        self._connection: sqlite3.Connection | None = None
        self._inode = -1

    def __enter__(self) -> EmbeddingCache:
        """Open the file; create it if it does not exist."""
        self._run(lambda connection: None)
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file; the next use of the cache opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def dim(self, fingerprint: str) -> int | None:
        """Return the length of the vectors of an encoder, or None if the cache holds none of them."""
        row = self._run(lambda connection: _encoder_row(connection, fingerprint))
        return None if row is None else row[1]

    def read(self, fingerprint: str, keys: Sequence[bytes], into: np.ndarray) -> list[int]:
        """Return the positions in `keys` that the cache lacks, and fill in the rows of the others.

        Parameters
        ----------
        fingerprint
            Fingerprint of the encoder.
        keys
            ``(num_keys,)`` distinct text keys.
        into
            Array to fill, ``(num_keys, dim)`` float32.
        """
        return self._run(lambda connection: _read(connection, fingerprint, keys, into))

    def write(self, fingerprint: str, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        """Commit `vectors`, ``(num_keys, dim)`` float32; a key that is already stored keeps its vector."""
        rows = np.ascontiguousarray(vectors, dtype="<f4")
        self._run(lambda connection: _write(connection, fingerprint, keys, rows))

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=self._timeout, isolation_level=None)
            self._inode = self.path.stat().st_ino
            self._connection.executescript(_SCHEMA)
        return self._connection

    def _run(self, action: Callable[[sqlite3.Connection], _Result]) -> _Result:
        try:
            try:
                return action(self._open())
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
                    raise
                self._rename_damaged(error)
                return action(self._open())
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise InputError(
                f"{self.path}: the cache of text embeddings cannot be used ({error}); free the file or the "
                "disk, or name another folder with the environment variable PREREC_PYRO_CACHE."
            ) from error

    def _rename_damaged(self, error: sqlite3.DatabaseError) -> None:
        self.close()
        # Another process may have renamed it already: then the file of this name is a new and sound one.
        if not self.path.exists() or self._inode != self.path.stat().st_ino:
            return
        renamed = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
        self.path.replace(renamed)
        journal = self.path.with_name(self.path.name + "-journal")
        if journal.exists():  # SQLite would apply it to the new file
            journal.replace(renamed.with_name(renamed.name + "-journal"))
        warnings.warn(
            f"{self.path}: the cache of text embeddings is damaged ({error}); it was renamed to "
            f"{renamed.name}, which can be deleted, and the texts are encoded again.",
            UserWarning,
            stacklevel=4,
        )


def _encoder_row(connection: sqlite3.Connection, fingerprint: str) -> tuple[int, int] | None:
    return connection.execute("SELECT id, dim FROM encoders WHERE fingerprint = ?", (fingerprint,)).fetchone()


def _read(connection: sqlite3.Connection, fingerprint: str, keys: Sequence[bytes], into: np.ndarray) -> list[int]:
    encoder = _encoder_row(connection, fingerprint)
    if encoder is None:
        return list(range(len(keys)))
    position = {key: row for row, key in enumerate(keys)}
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        some = keys[start : start + _KEYS_PER_QUERY]
        query = f"SELECT key, vector FROM vectors WHERE encoder = ? AND key IN ({','.join('?' * len(some))})"
        for key, vector in connection.execute(query, (encoder[0], *some)).fetchall():
            into[position.pop(key)] = np.frombuffer(vector, dtype="<f4")
    return list(position.values())


def _write(connection: sqlite3.Connection, fingerprint: str, keys: Sequence[bytes], vectors: np.ndarray) -> None:
    with connection:  # commits, or rolls back on an error
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "INSERT OR IGNORE INTO encoders (fingerprint, dim) VALUES (?, ?)", (fingerprint, vectors.shape[1])
        )
        identity, dim = connection.execute(
            "SELECT id, dim FROM encoders WHERE fingerprint = ?", (fingerprint,)
        ).fetchone()
        if dim != vectors.shape[1]:
            raise InputError(
                f"The text encoder {fingerprint!r} gives vectors of {vectors.shape[1]} numbers, but "
                f"the cache holds vectors of {dim} numbers under that fingerprint; give the changed "
                "encoder another revision."
            )
        connection.executemany(
            "INSERT OR IGNORE INTO vectors (encoder, key, vector) VALUES (?, ?, ?)",
            ((identity, key, vector.tobytes()) for key, vector in zip(keys, vectors, strict=True)),
        )
