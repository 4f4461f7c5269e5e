"""``prerec-pyro infer``: the same lists in every format, for users and for strangers, and what is refused."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result

from prerec_pyro.cli.commands import infer as infer_module
from prerec_pyro.data.domain import Domain
from prerec_pyro.errors import InputError
from prerec_pyro.recommenders.prerec import PreRec

Infer = Callable[..., pd.DataFrame]
READERS = {
    ".csv": lambda path: pd.read_csv(path, dtype={"user_id": str, "item_id": str}),
    ".jsonl": lambda path: pd.read_json(path, lines=True),
    ".parquet": pd.read_parquet,
}


@pytest.fixture
def infer(run: Callable[..., Result], world: Path, model: Path, tmp_path: Path) -> Infer:
    """Run ``infer`` and return the lists; what it said is in their ``attrs``."""

    def ask(*options: object, domain: Path = world / "sim-2", out: str = "lists.csv") -> pd.DataFrame:
        arguments = ("--model", model, "--domain", domain, "--out", tmp_path / out, "--device", "cpu")
        result = run("infer", *arguments, *options)
        assert (result.exit_code, result.stdout) == (0, ""), result.stderr
        lists = READERS[Path(out).suffix](tmp_path / out)
        lists.attrs["said"] = result.stderr
        return lists

    return ask


@pytest.fixture
def shop2(world: Path) -> Domain:
    return Domain.load(world / "sim-2")


def same(lists: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(lists, expected, check_dtype=False, rtol=1e-4, atol=1e-4)


def history(domain: Domain, row: int, name: str) -> pd.DataFrame:
    """The events of a user of the domain, oldest first, as those of somebody else."""
    own = slice(domain.offsets[row], domain.offsets[row + 1])
    items = domain.item_ids[domain.item_index[own]]
    return pd.DataFrame({"user_id": name, "item_id": items, "timestamp": domain.timestamps[own]})


def test_all_users_get_their_lists(infer: Infer, model: Path, shop2: Domain) -> None:
    lists = infer("--top-k", 3)
    assert list(lists.columns) == ["user_id", "item_id", "score", "rank"]
    assert lists["user_id"].unique().tolist() == shop2.user_ids.tolist()
    assert lists["rank"].tolist() == [1, 2, 3] * shop2.num_users
    assert (lists.groupby("user_id")["score"].diff().dropna() <= 0).all()
    same(lists, PreRec.load(model, "cpu").recommend(shop2, k=3))
    assert f"all {shop2.num_users} users of domain sim-2\n" in lists.attrs["said"]
    assert f"lists.csv: {len(lists)} rows\n" in lists.attrs["said"]


@pytest.mark.parametrize("out", ["deep/er/lists.parquet", "lists.jsonl"])
def test_the_formats_hold_the_same(infer: Infer, tmp_path: Path, out: str) -> None:
    same(infer(out=out), infer())
    assert {path.name for path in (tmp_path / out).parent.iterdir()} <= {Path(out).name, "lists.csv"}
    if out.endswith("parquet"):
        assert pq.read_schema(tmp_path / out).types == [pa.string(), pa.string(), pa.float32(), pa.int32()]
    else:
        assert (tmp_path / out).read_text().startswith('{"user_id":"u2-00000","item_id":"s2-')


def test_users_are_served_some_at_a_time(infer: Infer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    infer(out="whole.csv")
    monkeypatch.setattr(infer_module, "USERS_AT_A_TIME", 7)
    infer(out="parts.csv")
    same(infer(out="parts.parquet"), infer(out="parts.jsonl"))
    same(READERS[".csv"](tmp_path / "parts.csv"), READERS[".csv"](tmp_path / "whole.csv"))


def test_seen_items_are_dropped_or_kept(infer: Infer, shop2: Domain) -> None:
    own = pd.MultiIndex.from_frame(shop2.interactions_frame()[["user_id", "item_id"]])
    dropped, kept = (infer("--top-k", 999, "--seen", seen) for seen in ("drop", "keep"))
    pairs = pd.MultiIndex.from_frame(kept[["user_id", "item_id"]])
    assert len(kept) == shop2.num_users * shop2.num_items
    assert pairs.isin(own).sum() == len(own.unique())
    left = kept[~pairs.isin(own)].drop(columns="rank").reset_index(drop=True)
    same(dropped.drop(columns="rank"), left)


def test_do_takes_multiples_of_what_a_node_is(infer: Infer, model: Path, shop2: Domain) -> None:
    plain = infer()
    pd.testing.assert_frame_equal(infer("--do", "Z=observed", "--do", "D=observed"), plain)
    half = infer("--do", "Z=x0.5")
    pd.testing.assert_frame_equal(half, PreRec.load(model, "cpu").recommend(shop2, do={"Z": "x0.5"}), check_dtype=False)
    assert not half["item_id"].equals(plain["item_id"])


@pytest.mark.parametrize("options", [("--do", "Z=0"), ("--do", "Z=mean"), ("--do", "U=0.5", "--do", "D=-1e-1")])
def test_do_sets_nodes(infer: Infer, model: Path, shop2: Domain, options: tuple[str, ...]) -> None:
    do = {text[0]: text[2:] if text[2:] == "mean" else float(text[2:]) for text in options[1::2]}
    expected = PreRec.load(model, "cpu").recommend(shop2, do=do)
    lists = infer(*options)
    same(lists, expected)
    assert not np.allclose(lists["score"], infer()["score"])


def test_a_small_catalogue_is_ranked_exactly_all_the_same(infer: Infer) -> None:
    lists = infer("--approximate", 4)
    same(lists, infer())
    assert "exact lists: domain sim-2 has but " in lists.attrs["said"]


def test_only_events_before_a_moment_count(infer: Infer, model: Path, shop2: Domain) -> None:
    moment = int(np.median(shop2.timestamps))
    lists = infer("--at", moment)
    same(lists, PreRec.load(model, "cpu").recommend(shop2, at=moment))
    assert 0 < lists["user_id"].nunique() < shop2.num_users
    nobody = infer("--at", "1999-01-01")
    assert len(nobody) == 0
    assert "Warning: nobody gets a list" in nobody.attrs["said"]


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
def test_users_may_be_named(infer: Infer, tmp_path: Path, name: str, content: str | list[str]) -> None:
    if isinstance(content, list):
        pd.DataFrame({"user_id": content}).to_parquet(tmp_path / name)
    else:
        (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    lists = infer("--users", tmp_path / name)
    everybody = infer().set_index("user_id")
    same(lists, everybody.loc[["u2-00003", "u2-00001"]].reset_index())
    assert lists.attrs["said"].startswith(f"{tmp_path / name}: 2 users of domain sim-2\n")


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl"])
@pytest.mark.parametrize("by", ["timestamp", "order", None])
def test_strangers_are_served_by_their_history(
    infer: Infer, shop2: Domain, tmp_path: Path, kind: str, by: str | None
) -> None:
    frame = pd.concat([history(shop2, 4, "x"), history(shop2, 9, "y")], ignore_index=True)
    frame["order"] = np.arange(8, 8 + len(frame))  # 10 sorts after 9
    frame = frame.drop(columns={"timestamp": ["order"], "order": ["timestamp"], None: ["order", "timestamp"]}[by])
    if by is not None:  # the newest first, and ties the other way round
        frame = frame.sort_values(by, ascending=False, kind="stable")
    path = tmp_path / f"people.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    lists = infer("--users", path)
    expected = infer().query("user_id in ['u2-00004', 'u2-00009']")
    names = expected["user_id"].map({"u2-00004": "x", "u2-00009": "y"})
    same(
        lists.sort_values(["user_id", "rank"], ignore_index=True),
        expected.assign(user_id=names).reset_index(drop=True),
    )
    assert lists.attrs["said"].startswith(f"{path}: 2 people with histories of their own")


def test_an_item_that_was_added_can_be_recommended(infer: Infer, world: Path, tmp_path: Path) -> None:
    for name in ("sim-0", "sim-2"):  # one that was trained on, one that was not
        old = Domain.load(world / name)
        new = dataclasses.replace(
            old,
            item_ids=np.append(old.item_ids, "new"),
            item_texts=np.append(old.item_texts, "New"),
            embeddings=np.vstack([old.embeddings, old.embeddings[5]]),
        )
        new.save(tmp_path / name)
        lists = infer("--do", "Z=0", "--top-k", 999, "--seen", "keep", domain=tmp_path / name, out=f"{name}.csv")
        score = lists.pivot(index="user_id", columns="item_id", values="score")
        assert score["new"].notna().all()
        # Without popularity, an offset of its own and people who met it, an item is what its text says.
        had = old.interactions_frame().query("item_id == @old.item_ids[5]")["user_id"]
        others = score.drop(index=had.unique())
        assert len(others) > 10
        assert np.allclose(others["new"], others[old.item_ids[5]], rtol=1e-4) == (name == "sim-2")


def test_a_trained_domain_is_recognised(infer: Infer, model: Path, world: Path) -> None:
    own = Domain.load(world / "sim-0")
    lists = infer(domain=world / "sim-0")
    same(lists, PreRec.load(model, "cpu").recommend(own))
    stranger = PreRec.load(model, "cpu").recommend(dataclasses.replace(own, name="elsewhere"))
    assert not np.allclose(lists["score"], stranger["score"])


def test_prerec_n_serves_too(infer: Infer, model_n: Path) -> None:
    assert len(infer("--model", model_n)) == len(infer())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--do", "X=1"], ["do(X)", "D, Z, V, U"]),
        (["--do", "Z=banana"], "--do Z=banana: 'banana' is neither a number nor 'mean'"),
        (["--do", "D=mean"], "do(D='mean')"),
        (["--do", "Z=inf"], "--do Z=inf: expected a finite number"),
        (["--do", "Z=xinf"], "--do Z=xinf: expected a finite number"),
        (["--do", "Z=xhalf"], "'xhalf' is neither a number nor 'mean', 'observed' or a multiple"),
        (["--do", "V=x0.5"], "do(V='x0.5'): expected a number or a tensor"),
        (["--do", "Z"], "--do Z: expected NODE=VALUE"),
        (["--do", "Z=0", "--do", "Z=1"], "Z is set already"),
        (["--at", "banana"], "at 'banana': expected an ISO time"),
        (["--out", "lists.xlsx"], "must end in .parquet, .csv, .jsonl"),
        (["--users", "nowhere.csv"], "nowhere.csv: no such file"),
        (["--model", "nowhere"], "nowhere: there is no such model folder"),
        (["--domain", "nowhere"], "nowhere: is no folder"),
    ],
)
def test_what_cannot_be_is_refused(
    refused: Callable[..., None], world: Path, model: Path, tmp_path: Path, options: list[str], says: str | list[str]
) -> None:
    out = tmp_path / "new" / "lists.csv"
    refused("infer", "--model", model, "--domain", world / "sim-2", "--out", out, "-q", *options, says=says)


def test_do_is_checked_before_the_domain_is_read(refused: Callable[..., None], model: Path, tmp_path: Path) -> None:
    where = ("--model", model, "--domain", tmp_path / "nowhere", "--out", tmp_path / "lists.csv")
    refused("infer", *where, "--do", "X=1", says="do(X)")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("u.txt", "", "u.txt: empty; expected one user id a line"),
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
        ("u.jsonl", '["u2-00001"]\n', "u.jsonl, line 1: expected a JSON object"),
        ("u.jsonl", '{"user_id": "x"}\n\n{"user_id": null}\n', "u.jsonl, column 'user_id': line 3: empty"),
        ("u.jsonl", '{"user_id": "x"}\n{"user_id": 1}\n', "u.jsonl, key 'user_id': mixed types"),
        ("u.parquet", "no", "u.parquet: cannot be read as Parquet"),
    ],
)
def test_a_file_of_users_is_checked(
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


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json", "manifest.json"])
def test_a_damaged_model_is_refused(
    refused: Callable[..., None], world: Path, model: Path, tmp_path: Path, name: str
) -> None:
    arguments = ("--domain", world / "sim-2", "--out", tmp_path / "lists.csv")
    broken = shutil.copytree(model, tmp_path / "broken")
    content = bytearray((broken / name).read_bytes())
    content[0 if name == "manifest.json" else -9] ^= 1
    (broken / name).write_bytes(content)
    refused("infer", "--model", broken, *arguments, says=f"{broken / name}: damaged")
    (broken / name).unlink()
    refused("infer", "--model", broken, *arguments, says=f"{broken / name}: missing")


def test_prerec_n_has_no_confounders_to_set(
    refused: Callable[..., None], world: Path, model_n: Path, tmp_path: Path
) -> None:
    arguments = ("--model", model_n, "--domain", world / "sim-2", "--out", tmp_path / "new" / "lists.csv", "-q")
    refused("infer", *arguments, "--do", "Z=0", says=["do(Z)", "PreRec_n"])


def test_what_is_read_is_never_written_over(
    refused: Callable[..., None], world: Path, model: Path, tmp_path: Path
) -> None:
    users = tmp_path / "users.csv"
    users.write_text("u2-00001\n")
    arguments = ("infer", "--model", model, "--domain", world / "sim-2", "--users", users)
    for out in (users, model / "lists.csv", world / "sim-2" / "items.parquet"):
        refused(*arguments, "--out", out, says=f"--out {out}: would be written over or into")
    refused(*arguments, "--out", users / "lists.csv", says=f"cannot be made, since {users} is a file")
    (tmp_path / "folder.csv").mkdir()
    refused(*arguments, "--out", tmp_path / "folder.csv", says="is a folder, expected a file")


@pytest.mark.parametrize("out", ["old.csv", "old.parquet", "old.jsonl"])
def test_a_run_that_fails_leaves_what_was_there(
    refused: Callable[..., None],
    world: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: str,
) -> None:
    calls, whole = [], PreRec.recommend

    def fails_later(*arguments: object, **options: object) -> pd.DataFrame:
        calls.append(1)
        if len(calls) > 1:
            raise InputError("no more")
        return whole(*arguments, **options)

    monkeypatch.setattr(PreRec, "recommend", fails_later)
    monkeypatch.setattr(infer_module, "USERS_AT_A_TIME", 7)
    (tmp_path / out).write_text("old")
    refused("infer", "--model", model, "--domain", world / "sim-2", "--out", tmp_path / out, "-q", says="no more")
    assert len(calls) == 2
