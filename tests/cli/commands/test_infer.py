"""``prerec-pyro infer``: the lists agree with `PreRec.recommend`, and bad options are rejected."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prerec_pyro.data.domain import Domain
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.prerec import PreRec
from tests.support.list_files import assert_same_lists

Infer = Callable[..., pd.DataFrame]


def served(model: Path, *, only_last: bool = True) -> CalibratedPreRec:
    """The model as `infer` serves it by default, at the end of the log."""
    return CalibratedPreRec(PreRec.load(model, "cpu"), only_last=only_last)


def test_all_users_get_their_lists(infer: Infer, model: Path, shop2: Domain) -> None:
    lists = infer("--top-k", 3)
    assert list(lists.columns) == ["user_id", "item_id", "score", "rank"]
    assert lists["user_id"].unique().tolist() == shop2.user_ids.tolist()
    assert lists["rank"].tolist() == [1, 2, 3] * shop2.num_users
    assert (lists.groupby("user_id")["score"].diff().dropna() <= 0).all()
    assert_same_lists(lists, served(model).recommend(shop2, k=3))
    assert f"all {shop2.num_users} users of domain sim-2\n" in lists.attrs["log"]
    assert f"lists.csv: {len(lists)} rows\n" in lists.attrs["log"]


def test_seen_items_are_dropped_or_kept(infer: Infer, shop2: Domain) -> None:
    own = pd.MultiIndex.from_frame(shop2.interactions_frame()[["user_id", "item_id"]])
    dropped, kept = (infer("--top-k", 999, "--seen", seen) for seen in ("drop", "keep"))
    pairs = pd.MultiIndex.from_frame(kept[["user_id", "item_id"]])
    assert len(kept) == shop2.num_users * shop2.num_items
    assert pairs.isin(own).sum() == len(own.unique())
    left = kept[~pairs.isin(own)].drop(columns="rank").reset_index(drop=True)
    assert_same_lists(dropped.drop(columns="rank"), left)


def test_do_takes_multiples_of_a_node(infer: Infer, model: Path, shop2: Domain) -> None:
    plain = infer()
    pd.testing.assert_frame_equal(infer("--do", "Z=observed", "--do", "D=observed"), plain)
    half = infer("--do", "Z=x0.5")
    pd.testing.assert_frame_equal(half, served(model).recommend(shop2, do={"Z": "x0.5"}), check_dtype=False)
    assert not half["item_id"].equals(plain["item_id"])


@pytest.mark.parametrize("options", [("--do", "Z=0"), ("--do", "Z=mean"), ("--do", "U=0.5", "--do", "D=-1e-1")])
def test_do_sets_nodes(infer: Infer, model: Path, shop2: Domain, options: tuple[str, ...]) -> None:
    do = {text[0]: text[2:] if text[2:] == "mean" else float(text[2:]) for text in options[1::2]}
    expected = served(model).recommend(shop2, do=do)
    lists = infer(*options)
    assert_same_lists(lists, expected)
    assert not np.allclose(lists["score"], infer()["score"])


def test_a_small_catalogue_is_ranked_exactly(infer: Infer) -> None:
    lists = infer("--approximate", 4)
    assert_same_lists(lists, infer())
    assert "exact lists: domain sim-2 has only " in lists.attrs["log"]


def test_only_events_before_the_time_count(infer: Infer, model: Path, shop2: Domain) -> None:
    moment = int(np.median(shop2.timestamps))
    lists = infer("--at", moment)
    assert_same_lists(lists, served(model, only_last=False).recommend(shop2, at=moment))
    assert 0 < lists["user_id"].nunique() < shop2.num_users
    empty = infer("--at", "1999-01-01")
    assert len(empty) == 0
    assert "Warning: no user has a list" in empty.attrs["log"]


def test_a_new_item_can_be_recommended(infer: Infer, world: Path, tmp_path: Path) -> None:
    for name in ("sim-0", "sim-2"):  # a trained domain and a new one
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
        # Without popularity, an offset of its own and users who have seen it, an item is what its text says.
        had = old.interactions_frame().query("item_id == @old.item_ids[5]")["user_id"]
        others = score.drop(index=had.unique())
        assert len(others) > 10
        assert np.allclose(others["new"], others[old.item_ids[5]], rtol=1e-4) == (name == "sim-2")


def test_a_trained_domain_is_recognised(infer: Infer, model: Path, world: Path) -> None:
    own = Domain.load(world / "sim-0")
    lists = infer(domain=world / "sim-0")
    assert_same_lists(lists, served(model).recommend(own))
    renamed = served(model).recommend(dataclasses.replace(own, name="elsewhere"))
    assert not np.allclose(lists["score"], renamed["score"])


def test_a_new_domain_is_calibrated_unless_plain_is_given(infer: Infer, model: Path, shop2: Domain) -> None:
    plain = infer("--plain")
    assert_same_lists(plain, PreRec.load(model, "cpu").recommend(shop2))
    assert "is estimated from its log" not in plain.attrs["log"]
    default = infer()
    assert not np.allclose(default["score"], plain["score"])
    assert "S of domain sim-2 is estimated from its log (--plain leaves that out)\n" in default.attrs["log"]
    assert_same_lists(infer("--calibrate"), default)
    given = infer("--do", "S=0")  # S is set, so there is nothing to estimate
    assert "is estimated" not in given.attrs["log"]
    assert_same_lists(given, infer("--plain", "--do", "S=0"))


def test_a_trained_domain_and_a_log_of_single_events_are_not_calibrated(
    infer: Infer, model: Path, world: Path, shop2: Domain, tmp_path: Path
) -> None:
    known = infer(domain=world / "sim-0")
    assert "is estimated" not in known.attrs["log"]
    assert_same_lists(infer("--plain", domain=world / "sim-0"), known)
    first = shop2.offsets[:-1]
    single = {"offsets": np.arange(shop2.num_users + 1), "item_index": shop2.item_index[first]}
    dataclasses.replace(shop2, **single, timestamps=shop2.timestamps[first]).save(tmp_path / "single")
    assert "is estimated" not in infer(domain=tmp_path / "single", out="single.csv").attrs["log"]


def test_plain_and_calibrate_exclude_each_other(
    refused: Callable[..., None], world: Path, model: Path, model_n: Path, tmp_path: Path
) -> None:
    where = ("--domain", world / "sim-2", "--out", tmp_path / "lists.csv")
    for options in (("--plain", "--calibrate"), ("--calibrate", "--plain")):
        refused("infer", "--model", model, *where, *options, says="--plain and --calibrate exclude each other")
    refused("infer", "--model", model_n, *where, "-q", "--calibrate", says="which has no S to calibrate; leave it out")


def test_prerec_n_makes_lists_too(infer: Infer, model_n: Path) -> None:
    assert len(infer("--model", model_n)) == len(infer())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--do", "X=1"], ["do(X)", "D, Z, V, U"]),
        (["--do", "Z=banana"], "--do Z=banana: 'banana' is no value of a node; expected a number, 'mean'"),
        (["--do", "D=mean"], "do(D='mean')"),
        (["--do", "Z=inf"], "--do Z=inf: expected a finite number"),
        (["--do", "Z=xinf"], "--do Z=xinf: expected a finite number"),
        (["--do", "Z=xhalf"], "'xhalf' is no value of a node"),
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
def test_bad_options_are_rejected(
    refused: Callable[..., None], world: Path, model: Path, tmp_path: Path, options: list[str], says: str | list[str]
) -> None:
    out = tmp_path / "new" / "lists.csv"
    refused("infer", "--model", model, "--domain", world / "sim-2", "--out", out, "-q", *options, says=says)


def test_do_is_checked_before_the_domain_is_read(refused: Callable[..., None], model: Path, tmp_path: Path) -> None:
    where = ("--model", model, "--domain", tmp_path / "nowhere", "--out", tmp_path / "lists.csv")
    refused("infer", *where, "--do", "X=1", says="do(X)")


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
    refused("infer", *arguments, "--do", "Z=0", says=["do(Z)", "the graph of this model has no node Z; it has V, U"])


def test_inputs_are_never_overwritten(refused: Callable[..., None], world: Path, model: Path, tmp_path: Path) -> None:
    users = tmp_path / "users.csv"
    users.write_text("u2-00001\n")
    arguments = ("infer", "--model", model, "--domain", world / "sim-2", "--users", users)
    refused(*arguments, "--out", users, says=f"--out {users}: is the same as {users}, which this command reads")
    for source, name in ((model, "lists.csv"), (world / "sim-2", "items.parquet")):
        out = source / name
        refused(*arguments, "--out", out, says=f"--out {out}: lies in {source}, which this command reads")
    refused(*arguments, "--out", users / "lists.csv", says=f"cannot be made because {users} is a file")
    (tmp_path / "folder.csv").mkdir()
    refused(*arguments, "--out", tmp_path / "folder.csv", says="is a folder, expected a file")
