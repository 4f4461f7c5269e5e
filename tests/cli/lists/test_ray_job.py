"""``infer --engine ray``: checks before Ray starts, and the request that it gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result

from prerec_pyro.data.domain import Domain
from prerec_pyro.serving import ray_engine
from prerec_pyro.serving.arrow import ArrowRecommender
from prerec_pyro.serving.shards import PLAN, write_shard


@pytest.fixture
def asked(world: Path, model: Path, tmp_path: Path) -> list[object]:
    arguments = ["infer", "--model", model, "--domain", world / "sim-2", "--device", "cpu", "--engine", "ray"]
    return [*arguments, "--out", tmp_path / "lists", "--shard-users", 20]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Write the shards in this process; return the list of calls of Ray."""
    calls = []

    def run_here(shards, question, *, workers):
        calls.append((shards.missing(), workers))
        for shard in shards.missing():
            users = shards.users_of(shard).tolist()
            rows = write_shard(ArrowRecommender(question), shards.folder, shard, users)
            yield {"shard": shard, "users": len(users), "rows": rows}

    monkeypatch.setattr(ray_engine, "run_on_ray", run_here)
    return calls


def test_a_folder_of_files_holds_the_lists_of_all_users(run: Callable[..., Result], asked, started, tmp_path, world):
    result = run(*asked, "--do", "Z=0", "--workers", 3)
    assert result.exit_code == 0, result.output
    expected = run(*asked[:7], "--out", tmp_path / "local.csv", "--do", "Z=0")
    assert expected.exit_code == 0, expected.output
    local = pd.read_csv(tmp_path / "local.csv", dtype={"user_id": str, "item_id": str})
    found = pd.read_parquet(tmp_path / "lists")
    pd.testing.assert_frame_equal(found, local, check_dtype=False, rtol=1e-4, atol=1e-4)
    names = sorted(path.name for path in (tmp_path / "lists").iterdir())
    number = -(-Domain.load(world / "sim-2").num_users // 20)
    assert names == [PLAN, *(f"part-{shard:05d}.parquet" for shard in range(number))]
    assert json.loads((tmp_path / "lists" / PLAN).read_text())["question"]["do"] == {"Z": 0}
    assert started == [(list(range(number)), 3)]

    (tmp_path / "lists" / "part-00001.parquet").unlink()
    again = run(*asked, "--do", "Z=0")
    assert f"{number - 1} of {number} files exist already" in again.stderr
    assert started[1] == ([1], 2)


def test_bad_options_are_rejected_before_ray_starts(refused, asked, started, tmp_path):
    refused(*asked, "--uncertainty", says="--uncertainty: cannot be combined with --engine ray")
    refused(*asked, "--at", "tomorrow", "--users", tmp_path / "none.csv", says="none.csv")
    refused(*asked, "--quiet", "--at", "tomorrow", says="expected an ISO time")
    refused(*asked, "--do", "Q=0", says="Q")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "letter.txt").touch()
    refused(*asked, "--quiet", says="not empty")
    assert started == []


def test_histories_of_new_users_are_rejected(run, asked, started, tmp_path, world):
    histories = tmp_path / "histories.csv"
    histories.write_text(f"user_id,item_id\nme,{Domain.load(world / 'sim-2').item_ids[0]}\n")
    result = run(*asked, "--users", histories)
    assert result.exit_code == 2
    assert "holds histories" in result.stderr
    assert not (tmp_path / "lists").exists()
