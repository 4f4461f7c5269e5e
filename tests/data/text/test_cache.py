"""The cache file with several processes, with damage, and without space on the disk."""

from __future__ import annotations

import sqlite3
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from prerec_pyro.data.text.cache import CACHE_FILE, EmbeddingCache, cache_folder, text_key
from prerec_pyro.errors import InputError


def vectors_for(number: int, dim: int = 4) -> tuple[list[bytes], np.ndarray]:
    keys = [text_key(f"text {row}") for row in range(number)]
    return keys, np.random.default_rng(0).normal(size=(number, dim)).astype(np.float32)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    keys, vectors = vectors_for(1203)
    with EmbeddingCache(tmp_path) as cache:
        assert cache.dim("e") is None
        cache.write("e", keys[3:], vectors[3:])
    into = np.zeros_like(vectors)
    with EmbeddingCache(tmp_path) as cache:
        assert cache.dim("e") == 4
        assert cache.read("e", keys, into) == [0, 1, 2]
        assert cache.read("other", keys[:2], into) == [0, 1]
    np.testing.assert_array_equal(into[3:], vectors[3:])
    assert [path.name for path in tmp_path.iterdir()] == [CACHE_FILE]
    connection = sqlite3.connect(tmp_path / CACHE_FILE)
    (stored,) = connection.execute("SELECT vector FROM vectors WHERE key = ?", (keys[5],)).fetchone()
    connection.close()
    assert stored == struct.pack("<4f", *vectors[5])  # the same file on every machine


def test_the_first_vector_stays(tmp_path: Path) -> None:
    keys, vectors = vectors_for(2)
    into = np.zeros_like(vectors)
    with EmbeddingCache(tmp_path) as cache:
        cache.write("e", keys, vectors)
        cache.write("e", keys, vectors + 1)
        cache.read("e", keys, into)
        np.testing.assert_array_equal(into, vectors)
        with pytest.raises(InputError, match="another revision"):
            cache.write("e", keys, vectors[:, :3])
        cache.write("f", keys, vectors[:, :3])  # the failed commit left the file free


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PREREC_PYRO_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "prerec-pyro"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "prerec-pyro"
    monkeypatch.setenv("PREREC_PYRO_CACHE", "~/own")
    assert cache_folder() == tmp_path / "own"
    with EmbeddingCache() as cache:
        assert cache.path == tmp_path / "own" / CACHE_FILE


def test_a_file_that_is_no_database_is_renamed(tmp_path: Path) -> None:
    (tmp_path / CACHE_FILE).write_bytes(b"not a database " * 100)
    keys, vectors = vectors_for(3)
    with (
        pytest.warns(UserWarning, match="damaged.*renamed to .*damaged-"),
        EmbeddingCache(tmp_path) as cache,
    ):
        cache.write("e", keys, vectors)
    aside = [path for path in tmp_path.iterdir() if path.name != CACHE_FILE]
    assert len(aside) == 1 and aside[0].read_bytes().startswith(b"not a database")
    with EmbeddingCache(tmp_path) as cache:
        assert cache.read("e", keys, np.zeros_like(vectors)) == []


def test_damage_inside_the_file_is_found_when_it_is_read(tmp_path: Path) -> None:
    keys, vectors = vectors_for(2000)
    with EmbeddingCache(tmp_path) as cache:
        cache.write("e", keys, vectors)
    path = tmp_path / CACHE_FILE
    content = bytearray(path.read_bytes())
    content[5 * 4096 :] = b"\xff" * (len(content) - 5 * 4096)  # all but the first pages
    path.write_bytes(content)
    with EmbeddingCache(tmp_path) as cache:
        with pytest.warns(UserWarning, match="damaged"):
            missing = cache.read("e", keys, np.zeros_like(vectors))
        assert missing == list(range(2000))
        cache.write("e", keys, vectors)
        assert cache.read("e", keys, np.zeros_like(vectors)) == []


def test_a_new_file_of_another_process_is_kept(tmp_path: Path) -> None:
    keys, vectors = vectors_for(3)
    cache = EmbeddingCache(tmp_path)
    with cache:
        cache.dim("e")
        # The other process renames the damaged file and starts a new one.
        cache.path.rename(tmp_path / "aside")
        with EmbeddingCache(tmp_path) as other:
            other.write("e", keys, vectors)
        cache._rename_damaged(sqlite3.DatabaseError("as if"))
        assert cache.read("e", keys, np.zeros_like(vectors)) == []


def test_disk_errors_give_one_message(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a file where a folder should be", encoding="utf-8")
    with pytest.raises(InputError, match="PREREC_PYRO_CACHE"), EmbeddingCache(file):
        pass
    keys, vectors = vectors_for(1)
    with EmbeddingCache(tmp_path) as holder, EmbeddingCache(tmp_path, timeout=0.05) as waiting:
        holder._open().execute("BEGIN IMMEDIATE")
        with pytest.raises(InputError, match="locked"):
            waiting.write("e", keys, vectors)
        holder._open().execute("ROLLBACK")
        waiting.write("e", keys, vectors)


def test_processes_write_at_the_same_time(tmp_path: Path) -> None:
    script = (
        "import sys, numpy as np\n"
        "from prerec_pyro.data.text.cache import EmbeddingCache, text_key\n"
        "with EmbeddingCache(sys.argv[1]) as cache:\n"
        "    for start in range(0, 400, 8):\n"
        "        rows = [(start + shift + 100 * int(sys.argv[2])) % 400 for shift in range(8)]\n"
        "        cache.write('e', [text_key(str(row)) for row in rows], np.array(rows, 'f4')[:, None])\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(number)], stderr=subprocess.PIPE)
        for number in range(3)
    ]
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [(b"", 0)] * 3
    into = np.zeros((400, 1), dtype=np.float32)
    with EmbeddingCache(tmp_path) as cache:
        assert cache.read("e", [text_key(str(row)) for row in range(400)], into) == []
    np.testing.assert_array_equal(into[:, 0], np.arange(400))


def test_a_hundred_thousand_texts_are_looked_up_in_seconds(tmp_path: Path) -> None:
    keys, vectors = vectors_for(100_000, dim=16)
    with EmbeddingCache(tmp_path) as cache:
        cache.write("e", keys, vectors)
        start = time.perf_counter()
        assert cache.read("e", keys, vectors) == []
        # About half a second on one slow core; the bound fails loops over single rows.
        assert time.perf_counter() - start < 5
