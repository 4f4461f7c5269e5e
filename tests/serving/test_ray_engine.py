"""``infer --engine ray`` writes the rows of the local engine, also when a worker dies. Skipped without Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prerec_pyro.errors import InputError
from prerec_pyro.serving.ray_engine import run_on_ray
from prerec_pyro.serving.shards import open_shards

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")


def command(list_request, out: Path, *options: str) -> list[str]:
    arguments = [
        "infer",
        "--model",
        list_request.model,
        "--domain",
        list_request.domain,
        "--top-k",
        "4",
        "--device",
        "cpu",
    ]
    return [sys.executable, "-m", "prerec_pyro", *arguments, "--out", str(out), *options]


RAY = ("--engine", "ray", "--workers", "2", "--shard-users", "2")


def run(*arguments: str) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=540)
    assert done.returncode == 0, done.stderr
    return done.stderr


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*.parquet"))}


def children(of: int) -> list[int]:
    """Return all descendants of a process, from Linux's /proc."""
    parent = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    found, new = [], [of]
    while new:
        new = [pid for pid, above in parent.items() if above in new]
        found += new
    return found


def workers(of: int) -> list[int]:
    found = []
    for pid in children(of):
        try:
            title = (Path("/proc") / str(pid) / "cmdline").read_bytes()
        except OSError:
            continue
        if b"ray::MapWorker" in title and b"ShardWriter" in title:
            found.append(pid)
    return found


@needs_ray
@pytest.mark.slow
def test_two_workers_give_the_rows_of_the_local_engine_also_after_one_is_killed(list_request, tmp_path):
    run(*command(list_request, tmp_path / "local.parquet"))
    run(*command(list_request, tmp_path / "lists", *RAY))
    expected, found = pd.read_parquet(tmp_path / "local.parquet"), pd.read_parquet(tmp_path / "lists")
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4, atol=1e-5)
    whole = parts(tmp_path / "lists")
    assert len(whole) > 4

    process = subprocess.Popen(command(list_request, tmp_path / "killed", *RAY), stderr=subprocess.PIPE, text=True)
    killed = None
    try:
        while process.poll() is None and killed is None:
            if parts(tmp_path / "killed") and (alive := workers(process.pid)):
                killed = alive[0]
                os.kill(killed, signal.SIGKILL)
            time.sleep(0.005)
        said = process.communicate(timeout=540)[1]
    finally:
        process.kill()
    assert killed is not None, "no worker was seen"
    assert process.returncode == 0, said
    assert parts(tmp_path / "killed") == whole

    for name in list(whole)[1:3]:
        (tmp_path / "killed" / name).unlink()
    before = {name: (tmp_path / "killed" / name).stat().st_mtime_ns for name in parts(tmp_path / "killed")}
    said = run(*command(list_request, tmp_path / "killed", *RAY))
    assert f"{len(before)} of {len(whole)} files are there already" in said
    assert parts(tmp_path / "killed") == whole
    assert all((tmp_path / "killed" / name).stat().st_mtime_ns == time for name, time in before.items())


def test_without_ray_the_error_names_the_extra(list_request, users, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    shards = open_shards(tmp_path / "lists", np.array(users, dtype=object), 7, list_request, [])
    with pytest.raises(InputError, match=r"install prerec-pyro\[ray\]"):
        next(run_on_ray(shards, list_request, workers=1))
