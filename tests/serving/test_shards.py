"""A folder of shards: whole files only, gone on with under the same question only."""

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
def asked(question, users, tmp_path) -> tuple:
    return tmp_path / "lists", np.array(users, dtype=object), 7, question, ["model", "domain"]


def test_shards_hold_the_users_in_order_and_all_of_them(asked):
    shards = open_shards(*asked)
    assert len(shards) == -(-len(asked[1]) // 7)
    assert np.concatenate([shards.users_of(shard) for shard in range(len(shards))]).tolist() == asked[1].tolist()
    assert shards.missing() == list(range(len(shards)))


def test_what_is_written_is_not_missing_and_holds_the_lists_of_its_users(asked):
    shards = open_shards(*asked)
    rows = write_shard(ArrowRecommender(asked[3]), shards.folder, 1, shards.users_of(1).tolist())
    table = pq.read_table(shards.path(1))
    assert rows == len(table)
    assert list(dict.fromkeys(table["user_id"].to_pylist())) == shards.users_of(1).tolist()
    again = open_shards(*asked)
    assert again.missing() == [0, *range(2, len(shards))]


def test_a_shard_that_fails_leaves_no_file(asked):
    shards = open_shards(*asked)
    with pytest.raises(InputError, match="unknown user"):
        write_shard(ArrowRecommender(asked[3]), shards.folder, 0, ["nobody"])
    assert [path.name for path in shards.folder.iterdir()] == [PLAN]


def test_what_a_stopped_worker_left_is_cleared_away(asked):
    open_shards(*asked)
    left = asked[0] / ".part-00000.1-2.partial"
    left.touch()
    open_shards(*asked)
    assert not left.exists()


@pytest.mark.parametrize(
    ("number", "other", "says"),
    [
        (1, np.array(["somebody"], dtype=object), "other users"),
        (2, 8, "another --shard-users"),
        (4, ["another", "domain"], "another model or domain"),
    ],
)
def test_a_folder_begun_with_another_question_is_refused(asked, number, other, says):
    open_shards(*asked)
    changed = [*asked]
    changed[number] = other
    with pytest.raises(InputError, match=says):
        open_shards(*changed)


def test_other_options_are_another_question_but_other_folders_are_not(asked):
    folder, users, size, question, prints = asked
    open_shards(*asked)
    open_shards(folder, users, size, replace(question, model="elsewhere", device="cuda"), prints)
    with pytest.raises(InputError, match="other options"):
        open_shards(folder, users, size, replace(question, do={"Z": 0}), prints)


@pytest.mark.parametrize(("content", "says"), [("no JSON", "damaged"), (json.dumps([1]), "damaged")])
def test_a_damaged_plan_is_refused(asked, content, says):
    open_shards(*asked)
    (asked[0] / PLAN).write_text(content)
    with pytest.raises(InputError, match=says):
        open_shards(*asked)


def test_a_folder_of_other_things_and_a_file_are_refused(asked, tmp_path: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    for name, says in (("full", "not empty and has no"), ("full/letter.txt", "is a file")):
        with pytest.raises(InputError, match=says):
            open_shards(tmp_path / name, *asked[1:])
