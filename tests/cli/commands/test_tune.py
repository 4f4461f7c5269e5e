"""``prerec-pyro tune``: what it writes and prints, and what it refuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from prerec_pyro.recommenders.prerec import PreRec

pytest.importorskip("optuna")
SHORT = ("--set", "latent_dim=8", "--set", "num_layers=1", "--epochs", 1, "--device", "cpu")


def test_the_best_is_written_and_can_be_used(run, world: Path, tmp_path: Path) -> None:
    out, places = tmp_path / "tune.json", ("--source", world / "sim-0", "--source", world / "sim-1")
    arguments = ("tune", *places, "--target", world / "sim-2", "--out", out, *SHORT)
    first = run(*arguments, "--trials", 1)
    assert first.exit_code == 0, first.stderr
    found = run(*arguments, "--trials", 2, "-q")
    assert (found.exit_code, found.stderr) == (0, "")
    report = json.loads(out.read_text())
    assert [trial["number"] for trial in report["trials"]] == [0, 1]
    assert report["best"]["validation_r_ndcg"] == max(trial["validation_r_ndcg"] for trial in report["trials"])
    assert {path.name for path in tmp_path.iterdir()} == {"tune.json", "tune.json.journal"}
    lines = found.stdout.splitlines()
    assert lines[0].startswith("best of 2 trials: validation r-NDCG ")
    assert lines[1] == f"prerec-pyro train {report['options']}"
    options = lines[1].removeprefix("prerec-pyro train ").split()
    trained = run("train", *places, *options, "--device", "cpu", "-q", "--out", tmp_path / "model")
    assert trained.exit_code == 0, trained.stderr
    model = PreRec.load(tmp_path / "model", "cpu")
    assert model.config.latent_dim == 8
    assert model.priors.D.scale == report["best"]["settings"]["prior_D"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--set", "latent=3"], "there is no setting 'latent'"),
        (["--set", "seed=3"], "--set seed=3: is set by --seed"),
        (["--set", "min_steps=1"], "there is no setting 'min_steps'"),
        (["--target", "nowhere"], "nowhere: is no folder"),
        (["--out", "tune.csv"], "must end in .json"),
    ],
)
def test_what_cannot_be_is_refused(refused: Callable[..., None], world: Path, tmp_path: Path, options, says) -> None:
    refused("tune", "--source", world / "sim-0", "--out", tmp_path / "tune.json", "-q", *options, says=says)


def test_a_target_must_not_be_a_source(refused: Callable[..., None], world: Path, tmp_path: Path) -> None:
    places = ("--source", world / "sim-0", "--target", world / "sim-0", "--out", tmp_path / "tune.json", "-q")
    refused("tune", *places, says="two domains are called 'sim-0'")


def test_without_optuna_the_extra_is_named(refused, world: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    refused("tune", "--source", world / "sim-0", "--out", tmp_path / "tune.json", says="prerec-pyro[tune]")
