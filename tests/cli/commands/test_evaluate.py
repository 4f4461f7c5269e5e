"""``prerec-pyro evaluate``: the JSON rows, the table, and rejected options."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from prerec_pyro.cli.commands import evaluate as evaluate_module
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.splits import split_users
from prerec_pyro.evaluation.protocol import evaluate as evaluate_users
from prerec_pyro.evaluation.protocol import num_queries
from prerec_pyro.models.baselines import MostPopular
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.prerec import PreRec

Rows = list[dict]
Measure = Callable[..., Rows]
CONTRACT = ["method", "domain", "split", "subset", "k_percent", "recall", "r_ndcg"]
METRICS = ["recall", "r_ndcg", "recall@10", "ndcg@10", "mrr", "coverage"]


@pytest.fixture
def measure(run: Callable[..., Result], world: Path, tmp_path: Path) -> Measure:
    """Run ``evaluate`` on ``sim-2`` and return the rows; ``measure.result`` holds the output."""

    def ask(*options: object) -> Rows:
        fixed = ("--domain", world / "sim-2", "--k-percent", 5, "--device", "cpu", "--out", tmp_path / "rows.json")
        ask.result = run("evaluate", *fixed, *options)
        assert ask.result.exit_code == 0, ask.result.stderr
        return json.loads((tmp_path / "rows.json").read_text())

    return ask


def test_rows_keep_the_contract(measure: Measure, model: Path, shop2: Domain, tmp_path: Path) -> None:
    rows = measure("--plain", "--model", model, "--methods", "random,pop,sbert")
    assert [row["method"] for row in rows] == ["prerec", "random", "pop", "sbert"]
    total = num_queries(shop2, split_users(shop2).test)
    for row in rows:
        assert list(row)[:7] == CONTRACT
        assert {"num_queries", "mrr", "coverage", "mean_popularity"} <= set(row)
        assert (row["domain"], row["split"], row["subset"], row["k_percent"]) == ("sim-2", "test", "all", 5.0)
        assert row["num_queries"] == total
    assert [row.get("model") for row in rows] == [str(model), None, None, None]
    random = rows[1]
    assert math.isclose(random["recall"], (shop2.num_items * 5 // 100) / shop2.num_items)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.json"]


def test_the_metrics_are_those_of_the_protocol(measure: Measure, model: Path, shop2: Domain) -> None:
    rows = measure("--plain", "--model", model, "--methods", "pop", "--split", "validation", "--split-seed", 3)
    loaded, users = PreRec.load(model, "cpu"), split_users(shop2, 3).validation
    encoded = loaded.encode(shop2)
    for row, recommender in zip(rows, (loaded, MostPopular()), strict=True):
        expected = evaluate_users(recommender, encoded, users, k_percent=5.0).rows("validation")[0]
        assert {name: row[name] for name in expected} == expected


def test_the_table_marks_the_best(measure: Measure, model: Path) -> None:
    rows = measure("--plain", "--model", model, "--methods", "pop,random")
    lines = measure.result.stdout.splitlines()
    assert lines[0].split() == ["method", "subset", *METRICS, "mean_popularity", "queries"]
    assert len(lines) == 7
    for line, row in zip(lines[1:4], rows, strict=True):
        cells = dict(zip(lines[0].split(), line.split(), strict=True))
        assert cells["method"] == row["method"]
        for name in METRICS:
            values = {other[name] for other in rows}
            best = len(values) > 1 and row[name] == max(values)
            assert cells[name] == f"{row[name]:.4f}" + "*" * best
    assert lines[4] == "* the best of its column"
    assert (lines[5], lines[6][:14]) == ("", "Transfer to si")
    assert measure.result.stdout.count("*") > 5


def test_one_method_gets_no_star(measure: Measure) -> None:
    measure("--methods", "pop")
    assert "*" not in measure.result.stdout
    assert measure.result.stderr.splitlines()[0].startswith("evaluating pop: ")


def test_unseen_rows(measure: Measure, world: Path) -> None:
    elsewhere = measure("--methods", "pop,random", "--unseen-from", world / "sim-0", "--unseen-from", world / "sim-1")
    assert [row["subset"] for row in elsewhere] == ["all", "unseen"] * 2
    assert elsewhere[1]["recall"] == elsewhere[0]["recall"]
    assert elsewhere[1]["num_queries"] == elsewhere[0]["num_queries"]
    every, unseen = (line.count("*") for line in measure.result.stdout.splitlines()[1:3])
    assert (every > 3, unseen) == (True, 5)  # each subset has its own best; coverage is that of all queries
    here = measure("--methods", "pop", "--unseen-from", world / "sim-2")
    assert (here[1]["num_queries"], here[1]["recall"]) == (0, None)
    assert " - " in measure.result.stdout.splitlines()[2]


def test_the_domain_is_encoded_once(
    measure: Measure, model: Path, model_n: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, whole = [], PreRec.encode

    def encode(self: PreRec, domain: Domain) -> EncodedDomain:
        encoded.append(self.window)
        return whole(self, domain)

    monkeypatch.setattr(PreRec, "encode", encode)
    rows = measure("--plain", "--model", model, "--model", model_n, "--methods", "pop,random,sbert")
    assert encoded == [15]
    other = measure("--plain", "--model", model, "--methods", "pop", "--window", 2)
    assert encoded[1:] == [15, 2]
    assert other[0]["recall"] == rows[0]["recall"]
    assert other[1]["mean_popularity"] < rows[2]["mean_popularity"]  # fewer days, fewer events


def test_two_models_are_named_by_folder(measure: Measure, model: Path, model_n: Path) -> None:
    rows = measure("--plain", "--model", model, "--model", model_n)
    assert [(row["method"], row["model"]) for row in rows] == [("prerec", str(model)), ("prerec_n", str(model_n))]
    assert str(model_n) in measure.result.stdout


def test_do_changes_models_only(measure: Measure, model: Path) -> None:
    plain = measure("--plain", "--model", model, "--methods", "pop")
    without = measure("--plain", "--model", model, "--methods", "pop", "--do", "Z=mean", "--do", "D=1")
    assert without[0]["do"] == {"Z": "mean", "D": 1.0}
    assert without[0]["mrr"] != plain[0]["mrr"]
    assert without[1] == plain[1]


def test_another_split_of_a_source_gives_a_warning(
    run: Callable[..., Result], world: Path, model: Path, tmp_path: Path
):
    arguments = ("evaluate", "--model", model, "--k-percent", 5, "-q", "--out", tmp_path / "rows.json", "--domain")
    assert run(*arguments, world / "sim-0").stderr == ""
    assert run(*arguments, world / "sim-2", "--split-seed", 1).stderr == ""
    assert (
        "trained on this domain with --split-seed 0; with --split-seed 1 some of its"
        in run(*arguments, world / "sim-0", "--split-seed", 1).stderr
    )


def test_a_bar_moves_by_queries(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    bars, whole = [], evaluate_module.console.progress

    def spy(work: int, desc: str, **options: str) -> object:
        bars.append(whole(work, desc, **options))
        return bars[-1]

    monkeypatch.setattr(evaluate_module.console, "progress", spy)
    rows = measure("--methods", "pop")
    assert [(bar.total, bar.done, bar.unit) for bar in bars] == [(rows[0]["num_queries"],) * 2 + ("queries",)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "nothing to measure; give a --model or --methods"),
        (["--methods", "pop,best"], ["'best'", "random, pop, sbert"]),
        (["--methods", "pop", "--k-percent", "0.001"], ["--k-percent 0.001: ", "under one item"]),
        (["--methods", "pop", "--k-percent", "101"], "--k-percent 101.0: "),
        (["--methods", "pop", "--k-percent", "nan"], "--k-percent nan: "),
        (["--methods", "pop", "--do", "Z=0"], "--do: needs a --model"),
        (["--methods", "pop", "--unseen-from", "nowhere"], "nowhere: is no folder"),
        (["--methods", "pop", "--out", "rows.csv"], "must end in .json"),
        (["--model", "nowhere"], "nowhere: there is no such model folder"),
    ],
)
def test_bad_options_are_rejected(
    refused: Callable[..., None], world: Path, tmp_path: Path, options: list[str], says: str | list[str]
) -> None:
    out = tmp_path / "new" / "rows.json"
    refused("evaluate", "--domain", world / "sim-2", "--out", out, "-q", "--k-percent", 5, *options, says=says)


def test_nodes_are_checked_before_the_work(
    refused: Callable[..., None], world: Path, model: Path, model_n: Path, tmp_path: Path
) -> None:
    arguments = ("evaluate", "--domain", world / "sim-2", "--out", tmp_path / "rows.json", "--model", model)
    refused(*arguments, "--do", "X=1", says="do(X)")
    refused(*arguments, "--model", model_n, "--do", "Z=1", says=["--do: ", str(model_n), "has no node Z"])


def test_a_split_without_queries_is_rejected(refused: Callable[..., None], shop2: Domain, tmp_path: Path) -> None:
    first = Domain(
        name="first",
        item_ids=shop2.item_ids,
        item_texts=shop2.item_texts,
        user_ids=shop2.user_ids,
        offsets=range(shop2.num_users + 1),
        item_index=shop2.item_index[shop2.offsets[:-1]],
        embeddings=shop2.embeddings,
    )
    first.save(tmp_path / "first")
    options = ("--methods", "pop", "--k-percent", 5)
    refused("evaluate", "--domain", tmp_path / "first", "--out", tmp_path / "rows.json", *options, says="--split test")


def test_a_model_that_is_new_to_the_domain_has_a_calibrated_row_too(
    measure: Measure,
    run: Callable[..., Result],
    world: Path,
    model: Path,
    model_n: Path,
    shop2: Domain,
    tmp_path: Path,
) -> None:
    rows = measure("--model", model)
    assert [row["method"] for row in rows] == ["prerec", "prerec_calibrated"]
    assert measure("--model", model, "--calibrate") == rows
    assert measure("--model", model, "--plain") == rows[:1]
    assert [row["method"] for row in measure("--model", model, "--do", "S=0")] == ["prerec"]
    assert [row["method"] for row in measure("--model", model, "--split", "train")] == ["prerec"]
    assert [row["method"] for row in measure("--model", model_n)] == ["prerec_n"]
    splits = split_users(shop2)
    trained = PreRec.load(model, device="cpu")
    encoded = trained.encode(shop2)
    expected = evaluate_users(CalibratedPreRec(trained, splits.train), encoded, splits.test, k_percent=5)
    assert math.isclose(rows[1]["r_ndcg"], expected.ranking.compute()["r_ndcg"], rel_tol=1e-6)
    known = (
        "--domain",
        world / "sim-0",
        "--model",
        model,
        "--k-percent",
        5,
        "--out",
        tmp_path / "k.json",
    )
    result = run("evaluate", *known)
    assert result.exit_code == 0
    assert "nothing to calibrate" in result.stderr
    assert [row["method"] for row in json.loads((tmp_path / "k.json").read_text())] == ["prerec"]


def test_calibrate_rejects_the_users_that_it_reads(refused: Callable[..., None], world: Path, model: Path) -> None:
    known = ("--domain", world / "sim-2", "--model", model, "--out", "rows.json", "--split", "train", "--calibrate")
    refused("evaluate", *known, says="--calibrate: reads the log of the training users")
    refused("evaluate", *known, "--plain", says="--plain and --calibrate exclude each other")
