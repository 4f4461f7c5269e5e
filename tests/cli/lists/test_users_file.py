"""``infer --users``: user ids and histories in all formats, and bad files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prerec_pyro.data.domain import Domain
from tests.support.list_files import assert_same_lists, history_of

Infer = Callable[..., pd.DataFrame]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("users", "u2-00003\nu2-00001\n"),
        ("users.txt", "\ufeffu2-00003\r\n\r\nu2-00001\r\nu2-00003"),
        ("users.txt", "user_id\nu2-00003\nu2-00001\n"),
        ("users.csv", '"u2-00003"\nu2-00001\n'),
        ("users.csv", "age,user_id\n3,u2-00003\n4,u2-00001\n5,u2-00001\n"),
        ("users.tsv", "user_id\tname\nu2-00003\tA, B\nu2-00001\tC\n"),
        ("users.jsonl", '{"user_id": "u2-00003"}\n\n{"user_id": "u2-00001", "age": 4}\n'),
        ("users.parquet", ["u2-00003", "u2-00001"]),
    ],
)
def test_the_formats_of_user_ids(infer: Infer, tmp_path: Path, name: str, content: str | list[str]) -> None:
    if isinstance(content, list):
        pd.DataFrame({"user_id": content}).to_parquet(tmp_path / name)
    else:
        (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    lists = infer("--users", tmp_path / name)
    everybody = infer().set_index("user_id")
    assert_same_lists(lists, everybody.loc[["u2-00003", "u2-00001"]].reset_index())
    assert lists.attrs["log"].startswith(f"{tmp_path / name}: 2 users of domain sim-2\n")


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl"])
@pytest.mark.parametrize("by", ["timestamp", "order", None])
def test_new_users_get_lists_by_their_history(
    infer: Infer, shop2: Domain, tmp_path: Path, kind: str, by: str | None
) -> None:
    frame = pd.concat([history_of(shop2, 4, "x"), history_of(shop2, 9, "y")], ignore_index=True)
    frame["order"] = np.arange(8, 8 + len(frame))  # 10 sorts after 9
    frame = frame.drop(columns={"timestamp": ["order"], "order": ["timestamp"], None: ["order", "timestamp"]}[by])
    if by is not None:  # the newest first, and ties the other way round
        frame = frame.sort_values(by, ascending=False, kind="stable")
    path = tmp_path / f"histories.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    lists = infer("--users", path)
    expected = infer().query("user_id in ['u2-00004', 'u2-00009']")
    names = expected["user_id"].map({"u2-00004": "x", "u2-00009": "y"})
    assert_same_lists(
        lists.sort_values(["user_id", "rank"], ignore_index=True),
        expected.assign(user_id=names).reset_index(drop=True),
    )
    assert lists.attrs["log"].startswith(f"{path}: histories of 2 new users")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("u.txt", "", "u.txt: empty; expected one user id per line"),
        ("u.txt", " \n\n", "u.txt: empty"),
        ("u.csv", "user_id\n", "u.csv: no rows"),
        ("u.txt", "u2-00001\nnobody\n", ["u.txt: ", "'nobody' (1 of 2)"]),
        ("u.csv", "user_id,name\nu2-00001,A\n,B\n", "u.csv, column 'user_id': line 3: empty"),
        ("u.csv", "name,age\nA,3\n", ["u.csv: no column 'user_id'; it has 'name', 'age'"]),
        ("u.csv", "item_id\ns2-00001\n", "u.csv: no column 'user_id'"),
        ("u.csv", "user_id,item_id\nx,s2-00001\nx,car\n", ["u.csv: ", "unknown item ids: 'car' (1 of 2)"]),
        ("u.csv", "user_id,item_id\nx,s2-00001\nx,\n", "u.csv, column 'item_id': line 3: empty"),
        ("u.csv", "user_id,item_id,order\nx,s2-00001,b\n", "u.csv, column 'order': line 2: 'b' is no number"),
        ("u.csv", "user_id,item_id,timestamp\nx,s2-00001,later\n", "column 'timestamp': line 2: 'later' cannot be"),
        ("u.jsonl", '{"user_id": "x"}\n\n{"user_id"\n', "u.jsonl, line 3: no valid JSON"),
        (
            "u.jsonl",
            '["u2-00001"]\n',
            'u.jsonl, line 1: expected a JSON object with the key user_id, as in {"user_id": "u1"}',
        ),
        ("u.jsonl", '{"user_id": "x"}\n\n{"user_id": null}\n', "u.jsonl, column 'user_id': line 3: empty"),
        ("u.jsonl", '{"user_id": "x"}\n{"user_id": 1}\n', "u.jsonl, key 'user_id': mixed types"),
        ("u.parquet", "no", "u.parquet: cannot be read as Parquet"),
    ],
)
def test_a_bad_file_is_rejected(
    refused: Callable[..., None],
    world: Path,
    model: Path,
    tmp_path: Path,
    name: str,
    content: str,
    says: str | list[str],
) -> None:
    (tmp_path / name).write_text(content)
    arguments = ("--model", model, "--domain", world / "sim-2", "--users", tmp_path / name)
    refused("infer", *arguments, "--out", tmp_path / "new" / "lists.csv", "-q", says=says)


def test_unknown_users_are_refused_skipped_or_get_what_is_popular(
    infer: Infer, refused: Callable[..., None], model: Path, world: Path, tmp_path: Path
) -> None:
    users = tmp_path / "users.txt"
    users.write_text("new\nu2-00003\nnewer\n")
    known = infer().query("user_id == 'u2-00003'")
    skipped = infer("--users", users, "--unknown", "skip")
    assert_same_lists(skipped, known.reset_index(drop=True))
    said = f"Warning: {users}: 2 of 3 users are not in the log of domain 'sim-2' and get "
    assert f"{said}no list\n" in skipped.attrs["log"]
    lists = infer("--users", users, "--unknown", "popular")
    assert f"{said}the list of somebody without a history\n" in lists.attrs["log"]
    assert lists["user_id"].unique().tolist() == ["new", "u2-00003", "newer"]
    assert_same_lists(lists[20:40].reset_index(drop=True), known.reset_index(drop=True))
    assert lists["item_id"][:20].tolist() == lists["item_id"][40:].tolist()
    where = ("--model", model, "--domain", world / "sim-2", "--out", tmp_path / "x.csv", "--users", users)
    for options in ((), ("--unknown", "error")):
        refused("infer", *where, "-q", *options, says=["'new', 'newer' (2 of 3)", "--unknown popular"])
    refused(
        *("infer", *where, "--unknown", "popular", "--uncertainty"),
        says="--uncertainty: cannot be combined with --unknown popular",
    )


def test_known_users_without_an_event_yet_may_get_what_was_popular(infer: Infer, shop2: Domain) -> None:
    moment = int(np.median(shop2.timestamps[shop2.offsets[:-1]]))
    some, everybody = infer("--at", moment), infer("--at", moment, "--unknown", "popular")
    assert 0 < some["user_id"].nunique() < shop2.num_users == everybody["user_id"].nunique()
    here = everybody["user_id"].isin(some["user_id"])
    assert_same_lists(everybody[here].reset_index(drop=True), some)


def test_a_domain_without_a_log_has_a_list_for_anybody(
    infer: Infer, refused: Callable[..., None], run: Callable, model: Path, shop2: Domain, tmp_path: Path
) -> None:
    bare, users = tmp_path / "bare", tmp_path / "users.csv"
    shop2.items_frame().to_csv(tmp_path / "items.csv", index=False)
    imported = run("data", "import", "csv", tmp_path / "items.csv", "--name", "bare", "--out", bare)
    assert imported.exit_code == 0, imported.stderr
    Domain.load(bare).with_embeddings(shop2.embeddings).save(bare)
    lists = infer("--top-k", 5, domain=bare, out="lists.parquet")
    assert (lists["user_id"].tolist(), lists["rank"].tolist()) == ([""] * 5, [1, 2, 3, 4, 5])
    assert "domain bare has no log: one list" in lists.attrs["log"]
    users.write_text("ann\nbob\n")
    named = infer("--top-k", 5, "--users", users, domain=bare)
    assert named["user_id"].unique().tolist() == ["ann", "bob"]
    assert named["item_id"].tolist() == lists["item_id"].tolist() * 2
    assert "Warning" not in named.attrs["log"]
    assert len(infer("--unknown", "skip", domain=bare)) == 0
    where = ("infer", "--model", model, "--domain", bare, "--out", tmp_path / "x.csv", "-q")
    refused(*where, "--unknown", "error", says="domain 'bare' has no log, so it has no users")
    refused(*where, "--users", users, "--unknown", "error", says="unknown user ids: 'ann', 'bob'")
    refused(*where, "--uncertainty", says="domain 'bare' has no log, so it has no users")
    # A click on the first day is matched by its text.
    users.write_text(f"user_id,item_id\nann,{shop2.item_ids[7]}\n")
    clicked = infer("--top-k", 5, "--users", users, domain=bare)
    assert clicked["user_id"].unique().tolist() == ["ann"]
    assert clicked["item_id"].tolist() != lists["item_id"].tolist()
