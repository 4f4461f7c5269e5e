"""A folder of shards: complete files only, continued with the same request only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from prerec_pyro.errors import InputError
from prerec_pyro.serving.arrow import ArrowRecommender
from prerec_pyro.serving.shards import PLAN, open_shards, write_shard


@pytest.fixture
def arguments(list_request, users, tmp_path) -> tuple:
    return tmp_path / "lists", np.array(users, dtype=object), 7, list_request, ["model", "domain"]


def test_shards_hold_the_users_in_order_and_all_of_them(arguments):
    shards = open_shards(*arguments)
    assert len(shards) == -(-len(arguments[1]) // 7)
    assert np.concatenate([shards.users_of(shard) for shard in range(len(shards))]).tolist() == arguments[1].tolist()
    assert shards.missing() == list(range(len(shards)))


def test_a_written_shard_holds_the_lists_of_its_users(arguments):
    shards = open_shards(*arguments)
    rows = write_shard(ArrowRecommender(arguments[3]), shards.folder, 1, shards.users_of(1).tolist())
    table = pq.read_table(shards.path(1))
    assert rows == len(table)
    assert list(dict.fromkeys(table["user_id"].to_pylist())) == shards.users_of(1).tolist()
    again = open_shards(*arguments)
    assert again.missing() == [0, *range(2, len(shards))]


def test_a_shard_that_fails_leaves_no_file(arguments):
    shards = open_shards(*arguments)
    with pytest.raises(InputError, match="unknown user"):
        write_shard(ArrowRecommender(arguments[3]), shards.folder, 0, ["nobody"])
    assert [path.name for path in shards.folder.iterdir()] == [PLAN]


def test_partial_files_of_a_stopped_worker_are_removed(arguments):
    open_shards(*arguments)
    left = arguments[0] / ".part-00000.1-2.partial"
    left.touch()
    open_shards(*arguments)
    assert not left.exists()


@pytest.mark.parametrize(
    ("number", "other", "says"),
    [
        (1, np.array(["somebody"], dtype=object), "other users"),
        (2, 8, "another --shard-users"),
        (4, ["another", "domain"], "another model or domain"),
    ],
)
def test_a_folder_of_another_request_is_refused(arguments, number, other, says):
    open_shards(*arguments)
    changed = [*arguments]
    changed[number] = other
    with pytest.raises(InputError, match=says):
        open_shards(*changed)


def test_other_options_are_another_request_but_other_folders_are_not(arguments):
    folder, users, size, list_request, prints = arguments
    open_shards(*arguments)
    open_shards(folder, users, size, replace(list_request, model="elsewhere", device="cuda"), prints)
    with pytest.raises(InputError, match="other options"):
        open_shards(folder, users, size, replace(list_request, do={"Z": 0}), prints)


@pytest.mark.parametrize(("content", "says"), [("no JSON", "damaged"), (json.dumps([1]), "damaged")])
def test_a_damaged_plan_is_refused(arguments, content, says):
    open_shards(*arguments)
    (arguments[0] / PLAN).write_text(content)
    with pytest.raises(InputError, match=says):
        open_shards(*arguments)


def test_a_folder_of_other_things_and_a_file_are_refused(arguments, tmp_path: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    for name, says in (("full", "not empty and has no"), ("full/letter.txt", "is a file")):
        with pytest.raises(InputError, match=says):
            open_shards(tmp_path / name, *arguments[1:])
