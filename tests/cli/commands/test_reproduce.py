"""``prerec-pyro reproduce``: what it writes, that it goes on, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

SHORT = (
    *("--set", "latent_dim=8", "--set", "num_layers=1", "--set", "num_negatives=16"),
    *("--target-set", "num_negatives=16"),
    *("--epochs", 1, "--seeds", 2, "--k-percent", 5, "--device", "cpu"),
)


@pytest.fixture
def reproduce(run: Callable[..., Result], world: Path, tmp_path: Path) -> Callable[..., Result]:
    """Run a command of ``reproduce`` on two sources and a target, into ``tmp_path / "out"``."""
    places = ("--source", world / "sim-0", "--source", world / "sim-1", "--target", world / "sim-2")
    return lambda name, *more: run("reproduce", name, *places, "--out", tmp_path / "out", *SHORT, *more)


def test_table1_is_written_and_gone_on_with(
    reproduce, run, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ("--methods", "pop,prerec,prerec_calibrated")
    first = reproduce("table1", *rows)
    assert first.exit_code == 0, first.stderr
    out = tmp_path / "out"
    text = (out / "table1.md").read_text()
    assert first.stdout == text
    assert "evaluating prerec-sim-2-seed1: 50 queries in 0:00" in first.stderr
    assert "Paired bootstrap" in text
    report = json.loads((out / "table1.json").read_text())
    assert [row["row"] for row in report["rows"]] == ["pop", "prerec", "prerec_calibrated"] * 2
    assert sum("**" in line for line in text.splitlines()) >= 1
    assert sorted(path.name for path in out.iterdir()) == ["cells", "models", "table1.json", "table1.md"]

    # A model of the study, measured by `evaluate`.
    model = next((out / "models").glob("prerec-seed1-*"))
    arguments = ("--model", model, "--calibrate", "--methods", "pop", "--k-percent", 5, "--device", "cpu", "-q")
    run("evaluate", "--domain", world / "sim-2", *arguments, "--out", tmp_path / "rows.json")
    measured = {row["method"]: row for row in json.loads((tmp_path / "rows.json").read_text())}
    for row in report["rows"][:3]:
        for metric in ("recall", "r_ndcg"):
            assert row[metric]["values"][-1] == measured[row["row"]][metric]

    from prerec_pyro.reproduction.study import Study

    monkeypatch.setattr(Study, "_measure", lambda *_: pytest.fail("measured a finished cell again"))
    again = reproduce("table1", *rows)
    assert again.stdout == first.stdout
    assert json.loads((out / "table1.json").read_text()) == report


def test_table2_says_what_it_is(reproduce, tmp_path: Path) -> None:
    found = reproduce("table2", "--methods", "pop,sasrec_scratch,prerec_fine_tuned", "--seeds", 1, "-q")
    assert (found.exit_code, found.stderr) == (0, "")
    assert found.stdout.startswith("# Table 2: full fine-tuning")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"cells", "models", "table2.json", "table2.md"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--methods", "pop,best"], ["'best' is no row here", "prerec_calibrated"]),
        (["--k-percent", "0.001"], ["--k-percent 0.001: ", "'sim-2'", "under one item"]),
        (["--k-percent", "5", "--k-percent", "6"], "is given 2 times for 1 targets"),
        (["--set", "min_steps=1"], "there is no setting 'min_steps'"),
        (["--set", "sasrec.item_rate=3"], ["'sasrec' is not trained here"]),
        (["--set", "latent=3"], ["--set latent=3: there is no setting 'latent'", "latent_dim"]),
        (["--target-set", "latent_dim=3"], ["--target-set latent_dim=3: there is no setting", "learning_rate"]),
        (["--target-set", "learning_rate=x"], "--target-set learning_rate=x: should be"),
        (["--target-set", "epochs"], "--target-set epochs: expected NAME=VALUE"),
        (["--set", "best.latent_dim=3"], ["--set best.latent_dim=3: 'best' is not trained here", "prerec_n"]),
        (["--set", "seed=3"], "use --seeds"),
        (["--set", "prerec.num_heads=3"], "latent_dim 256 is no multiple of num_heads 3"),
        (["--epochs", "1", "--set", "epochs=3"], "--epochs sets epochs too"),
        (["--source", "nowhere"], "nowhere: is no folder"),
    ],
)
def test_what_cannot_be_is_refused(refused, world: Path, tmp_path: Path, options: list[str], says) -> None:
    k = () if "--k-percent" in options else ("--k-percent", 5)
    places = ("--source", world / "sim-0", "--target", world / "sim-2", "--out", tmp_path / "new")
    refused("reproduce", "table1", *places, "--device", "cpu", "-q", *k, *options, says=says)


def test_places_that_cannot_be_are_refused(refused, world: Path, tmp_path: Path) -> None:
    command, rest = ("reproduce", "table1", "--target", world / "sim-2"), ("--k-percent", 5, "-q")
    refused(
        *command, "--source", world / "sim-2", "--out", tmp_path / "new", *rest, says="two domains are called 'sim-2'"
    )
    refused(*command, "--source", world / "sim-0", "--out", world, *rest, says="is neither empty nor an earlier result")
    (tmp_path / "file").write_text("")
    refused(*command, "--source", world / "sim-0", "--out", tmp_path / "file", *rest, says="is a file")


def test_figure3_is_drawn_with_its_numbers(reproduce, tmp_path: Path) -> None:
    rows = ("--methods", "pop,prerec_fine_tuned,sasrec_scratch", "--samples", "5,all", "--seeds", 1)
    found = reproduce("figure3", *rows)
    assert found.exit_code == 0, found.stderr
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        *("cells", "models", "figure3.json", "figure3.md", "figure3.png", "figure3.svg")
    }
    assert (out / "figure3.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads((out / "figure3.json").read_text())
    assert [row["samples"] for row in report["rows"] if row["subset"] == "all"][:3] == [0, 5, 5]
    assert reproduce("table1", "--methods", "pop", "--seeds", 1).exit_code == 0, "one folder for all of them"


def test_figure4_is_drawn_with_its_numbers(run, world: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    places = ("--source", world / "sim-0", "--target", world / "sim-2")
    found = run("reproduce", "figure4", *places, "--model", model, "--device", "cpu", "--out", out)
    assert found.exit_code == 0, found.stderr
    assert found.stdout.startswith("# Figure 4: popularity")
    assert {path.name for path in out.iterdir()} == {f"figure4.{end}" for end in ("json", "md", "png", "svg")}
    rows = json.loads((out / "figure4.json").read_text())["rows"]
    assert [row["measure"] for row in rows] == ["count", "share", "F_1", "F_2", "score"] * 2
    assert (out / "figure4.md").read_text() == found.stdout
    without = run("reproduce", "figure4", *places, "--window", 2, "--out", out)
    assert "score" not in without.stdout


def test_what_cannot_be_drawn_is_refused(refused, world: Path, model: Path, model_n: Path, tmp_path: Path) -> None:
    place, out = ("--source", world / "sim-0"), ("--out", tmp_path / "new", "-q")
    refused("reproduce", "figure4", *out, says="nothing to draw; name domains by --source or --target")
    refused("reproduce", "figure4", *place, *place, *out, says="two domains share a name")
    refused("reproduce", "figure4", *place, "--model", model_n, *out, says="is a prerec_n, it has no popularity score")
    refused("reproduce", "figure4", *place, "--model", model, "--window", 3, *out, says="--window 3: ")
    target = ("--target", world / "sim-2", "--k-percent", 5)
    refused("reproduce", "figure3", *place, *target, "--samples", "10,many", *out, says="'many' is neither a number")
