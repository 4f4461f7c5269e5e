"""A model that ships with the package, by its name in every command that takes a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prerec_pyro.data.simulation.simulate import FIRST_DAY, simulate
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.pretrained import shipped
from tests.support.list_files import read_lists

FAST = ("--k-percent", "5", "--draws", "50", "--list-size", "5")


@pytest.fixture
def base(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation that ships a small ``base``; in the working folder lies a file of that name."""
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "package")
    PreRec.load(model, "cpu").export(tmp_path / "package" / "base")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path / "package" / "base"


@pytest.mark.parametrize(
    ("command", "out"),
    [
        (("infer",), "lists.csv"),
        (("infer", "--calibrate", "--uncertainty", "--draws", "4"), "lists.csv"),
        (("evaluate", "--k-percent", "5", "--calibrate"), "rows.json"),
        (("diagnose", "--draws", "20", "--queries", "40"), "posterior.nc"),
        (("dial", *FAST, "--values", "0,1"), "dial.json"),
        (("effect", *FAST), "effect.json"),
    ],
    ids=lambda value: "-".join(str(part).strip("-") for part in value[:2]) if isinstance(value, tuple) else None,
)
def test_the_answer_is_that_of_its_folder(run: Callable, base: Path, world: Path, command: tuple, out: str) -> None:
    name, *more = command
    answers = []
    for model in ("base", base)[: 1 if name == "diagnose" else 2]:  # ten seconds each
        place = ("--domain", world / "sim-2", "--out", out, "--device", "cpu", "-q")
        result = run(name, "--model", model, *more, *place)
        assert result.exit_code == 0, result.stderr
        answers.append((result.stdout, Path(out).read_bytes()))
    assert answers[0] == answers[-1]


def test_drift_is_tested_with_it(run: Callable, base: Path) -> None:
    drawn = simulate(1, seed=3, num_items=40, num_users=250, num_days=20, latent_dim=4)[0]
    projection = np.random.default_rng(0).standard_normal((4, 6))
    drawn.domain.with_embeddings(drawn.truth.item_mean @ projection).save("shop")
    since = str(np.datetime64("1970-01-01") + FIRST_DAY + 12)
    place = ("--domain", "shop", "--out", "drift.json", "--device", "cpu", "-q")
    result = run("drift", "--model", "base", "--since", since, "--max-queries", "600", *place)
    assert result.exit_code in (0, 3), result.stderr
    assert 0 <= json.loads(Path("drift.json").read_text())["p_value"] <= 1


def test_rows_and_warnings_name_it(run: Callable, base: Path, world: Path) -> None:
    arguments = ("--model", "base", "--methods", "pop", "--k-percent", "5", "--out", "rows.json", "--device", "cpu")
    result = run("evaluate", "--domain", world / "sim-2", *arguments)
    assert json.loads(Path("rows.json").read_text())[0]["model"] == "base"
    assert "was trained on a domain called" not in result.stderr
    result = run("evaluate", "--domain", world / "sim-0", *arguments)
    assert "base was trained on a domain called sim-0" in result.stderr


def test_it_is_the_start_of_fine_tuning(run: Callable, base: Path, world: Path) -> None:
    source = ("--source", world / "sim-2", "--epochs", "1")
    printed = run("train", "--from", "base", *source, "--print-config")
    assert "from: base\n" in printed.stdout
    Path("run.yaml").write_text(printed.stdout)
    for number, start in enumerate((("--from", "base", *source), ("--config", "run.yaml"), ("--from", base, *source))):
        result = run("train", *start, "--out", f"tuned-{number}", "--device", "cpu", "-q")
        assert result.exit_code == 0, result.stderr
    for number in range(3):
        where = ("--domain", world / "sim-2", "--out", f"{number}.csv", "--device", "cpu", "-q")
        assert run("infer", "--model", f"tuned-{number}", *where).exit_code == 0
        pd.testing.assert_frame_equal(read_lists(Path(f"{number}.csv")), read_lists(Path("0.csv")))
    card = Path("tuned-0/MODEL_CARD.md").read_text()
    assert "fine-tuned from a model that was trained on sim-0, sim-1" in card


def test_its_popularity_is_drawn(run: Callable, base: Path, world: Path) -> None:
    result = run("reproduce", "figure4", "--target", world / "sim-2", "--model", "base", "--out", "out")
    assert result.exit_code == 0, result.stderr
    assert "score" in result.stdout


@pytest.mark.parametrize(
    ("command", "option"),
    [("infer", "--model"), ("evaluate", "--model"), ("dial", "--model"), ("diagnose", "--model"), ("train", "--from")],
)
def test_an_unknown_name_lists_what_ships(
    refused: Callable, base: Path, world: Path, command: str, option: str
) -> None:
    out = {"evaluate": "rows.json", "diagnose": "p.nc", "train": "new"}.get(command, "out.csv")
    out = "out.json" if command == "dial" else out
    place = ("--source" if command == "train" else "--domain", world / "sim-2", "--out", out)
    says = "bose: there is no such model folder, and this installation ships the model base; give a folder made by"
    refused(command, option, "bose", *place, "-q", says=says)


def test_the_shipped_model_is_never_written_over(refused: Callable, base: Path, world: Path) -> None:
    refused(
        "train", "--from", "base", "--source", world / "sim-2", "--out", base, "-q", says="which this command reads"
    )


SHORT = ("--target-set", "num_negatives=16", "--epochs", 1, "--seeds", 1, "--k-percent", 5, "--device", "cpu")


def test_figure_3_starts_from_it(run: Callable, base: Path, world: Path) -> None:
    """Without a source there are no unseen queries, and rows of other pre-trained methods are left out."""
    rows = ("--methods", "pop,prerec,prerec_fine_tuned", "--samples", "5", "--target", world / "sim-2")
    result = run("reproduce", "figure3", "--from", "base", *rows, *SHORT, "--out", "out")
    assert result.exit_code == 0, result.stderr
    report = json.loads(Path("out/figure3.json").read_text())
    assert [row["row"] for row in report["rows"]] == ["pop", "prerec", "prerec_fine_tuned"]
    assert report["about"]["from"][0] == "base"
    assert {path.name.partition("-")[0] for path in Path("out/cells").iterdir()} == {
        *("pop", "prerec", "prerec_fine_tuned")
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--from", "base", "--methods", "unisrec"), "--from base: is a prerec, and no row here starts from it"),
        (("--from", "base", "--methods", "prerec,unisrec"), "--methods unisrec: is pre-trained on domains"),
        (("--from", "base", "--window", 3), "--window 3: --from base has a window of 15 days"),
        (("--from", "base", "--encoder", "x"), "--encoder x: all rows read texts as --from base does"),
        (("--methods", "pop"), "--source: there is no domain to pre-train on"),
    ],
)
def test_a_figure_without_a_start_is_refused(
    refused: Callable, base: Path, world: Path, options: tuple, says: str
) -> None:
    refused(
        "reproduce", "figure3", *options, "--target", world / "sim-2", "--k-percent", 5, "--out", "out", "-q", says=says
    )
