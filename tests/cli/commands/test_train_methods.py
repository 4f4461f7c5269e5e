"""``train --method`` and ``--from``: baselines from the command line, through training, tuning, lists and metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result

from prerec_pyro.training.recipes import FEW_SHOT

Run = Callable[..., Result]
BASELINES = ("gru4rec", "sasrec", "zesrec", "unisrec")
SMALL = ("--set", "latent_dim=8", "--set", "num_layers=1", "--epochs", 1, "--device", "cpu")


def manifest_of(model: Path) -> dict:
    return json.loads((model / "manifest.json").read_text())


def config_of(model: Path) -> dict:
    return json.loads((model / "config.json").read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """A folder with a small model of each baseline, trained on two domains."""
    from click.testing import CliRunner

    from prerec_pyro.cli.main import main

    folder = tmp_path_factory.mktemp("baselines")
    for method in BASELINES:
        sources = ("--source", world / "sim-0", "--source", world / "sim-1")
        asked = ("train", *sources, "--out", folder / method, "--method", method, *SMALL)
        result = CliRunner().invoke(main, [str(part) for part in asked])
        assert result.exit_code == 0, result.output
    return folder


@pytest.mark.parametrize("method", BASELINES)
def test_a_baseline_is_trained_measured_and_asked_for_lists(
    run: Run, world: Path, trained: Path, tmp_path: Path, method: str
) -> None:
    assert manifest_of(trained / method)["method"] == method
    assert config_of(trained / method)["domains"] == ["sim-0", "sim-1"]
    lists = tmp_path / "lists.csv"
    result = run("infer", "--model", trained / method, "--domain", world / "sim-2", "--out", lists, "--top-k", 3)
    assert result.exit_code == 0, result.stderr
    assert pd.read_csv(lists).groupby("user_id")["rank"].max().eq(3).all()
    out = tmp_path / "rows.json"
    result = run("evaluate", "--domain", world / "sim-2", "--model", trained / method, "--k-percent", 10, "--out", out)
    assert result.exit_code == 0, result.stderr
    (row,) = json.loads(out.read_text())
    assert row["method"] == method
    assert 0 <= row["r_ndcg"] <= row["recall"] <= 1


@pytest.mark.parametrize("method", BASELINES)
def test_from_fine_tunes_on_the_target(run: Run, world: Path, trained: Path, tmp_path: Path, method: str) -> None:
    old = {path.name: path.read_bytes() for path in (trained / method).iterdir()}
    options = ("--from", trained / method, "--samples", 12, "--epochs", 1, "--device", "cpu")
    result = run("train", "--source", world / "sim-2", "--out", tmp_path / "tuned", *options)
    assert result.exit_code == 0, result.stderr
    manifest = manifest_of(tmp_path / "tuned")
    assert (manifest["method"], manifest["num_samples"]) == (method, 12)
    assert [one["name"] for one in manifest["domains"]] == ["sim-2"]
    assert [one["name"] for one in manifest["fine_tuned_from"]["domains"]] == ["sim-0", "sim-1"]
    assert config_of(tmp_path / "tuned")["training"]["epochs"] == 1
    assert {path.name: path.read_bytes() for path in (trained / method).iterdir()} == old


def test_from_fine_tunes_prerec_with_its_own_defaults_and_what_is_set(
    run: Run, world: Path, model: Path, tmp_path: Path
) -> None:
    old = {path.name: path.read_bytes() for path in model.iterdir()}
    options = ("--from", model, "--samples", 12, "--epochs", 1, "--set", "patience=2", "--device", "cpu")
    result = run("train", "--source", world / "sim-2", "--out", tmp_path / "tuned", *options)
    assert result.exit_code == 0, result.stderr
    assert manifest_of(tmp_path / "tuned")["method"] == "prerec"
    config = config_of(tmp_path / "tuned")
    assert config["domains"] == ["sim-2"]
    training = config["training"]
    assert (training["epochs"], training["patience"], training["learning_rate"]) == (1, 2, FEW_SHOT.learning_rate)
    assert training["recipe"] == FEW_SHOT.recipe.model_dump()
    assert {path.name: path.read_bytes() for path in model.iterdir()} == old


def test_unisrec_is_tuned_transductively_where_asked(run: Run, world: Path, trained: Path, tmp_path: Path) -> None:
    options = ("--from", trained / "unisrec", "--set", "tuning=transductive", "--set", "item_rate=0.01", "--epochs", 1)
    result = run("train", "--source", world / "sim-2", "--out", tmp_path / "tuned", *options, "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    config = config_of(tmp_path / "tuned")
    assert (config["baseline"]["tuning"], config["tuned"], config["training"]["item_rate"]) == (
        "transductive",
        True,
        0.01,
    )
    assert config["baseline"]["latent_dim"] == 8


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--method", "sasrec", "--set", "foo=1"], ["there is no setting 'foo'", "text_hidden (", "text_rate ("]),
        (["--method", "sasrec", "--set", "popularity_rate=1"], "there is no setting 'popularity_rate'"),
        (["--method", "sasrec", "--set", "item_rate=1"], "there is no setting 'item_rate'"),
        (
            ["--method", "unisrec", "--set", "item_rate=1"],
            "--set item_rate=1: has no effect, since unisrec",
        ),
        (["--method", "sasrec", "--set", "min_steps=1"], "give it in --config, as training.recipe.min_steps"),
        (["--method", "gru4rec", "--set", "num_heads=2"], "there is no setting 'num_heads'"),
        (["--method", "unisrec", "--set", "tuning=both"], "--set tuning=both: should be 'inductive' or 'transductive'"),
        (["--method", "sasrec", "--set", "latent_dim=9"], "latent_dim 9 is no multiple of num_heads 2"),
        (["--method", "sasrec", "--prior", "D=normal:scale=1"], "--prior D=normal:scale=1: is for the nodes of PreRec"),
        (["--method", "sasrec", "--free", "D"], "--free D: is for the nodes of PreRec, and sasrec has none"),
        (["--method", "sasrec", "--normalizer", "active"], "--normalizer active: is for the nodes of PreRec"),
        (["--samples", 5], "--samples 5: is for baselines and for fine-tuning"),
        (["--from", "nowhere"], "nowhere: there is no such model folder"),
    ],
)
def test_what_cannot_be_is_refused(
    refused: Callable[..., None], world: Path, tmp_path: Path, options: list, says: str | list[str]
) -> None:
    refused("train", "--source", world / "sim-0", "--out", tmp_path / "model", "-q", *options, says=says)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--set", "latent_dim=16"], ["there is no setting 'latent_dim'", "tuning (", "learning_rate ("]),
        (["--method", "sasrec"], "is a unisrec; leave --method and --graph out"),
        (["--graph", "paper"], "is a unisrec; leave --method and --graph out"),
        (["--free", "D"], "--free D: is a setting of the model"),
        (["--encoder", "other"], "--encoder other: is a setting of the model"),
        (["--set", "item_rate=1"], "since unisrec has vectors of items with tuning=transductive only"),
    ],
)
def test_what_cannot_be_tuned_is_refused(
    refused: Callable[..., None], world: Path, trained: Path, tmp_path: Path, options: list, says: str | list[str]
) -> None:
    parent = ("--from", trained / "unisrec")
    refused("train", "--source", world / "sim-2", "--out", tmp_path / "m", "-q", *parent, *options, says=says)


def test_one_target_at_a_time(refused: Callable[..., None], world: Path, trained: Path, tmp_path: Path) -> None:
    two = ("train", "--source", world / "sim-1", "--source", world / "sim-2", "--out", tmp_path / "m", "-q")
    refused(*two, "--from", trained / "sasrec", says="fine-tunes on one domain, but there are 2 sources")
    refused(*two, "--method", "sasrec", "--samples", 3, says="--samples 3: are those of one domain")


def test_a_model_is_not_written_over_itself(
    refused: Callable[..., None], run: Run, world: Path, trained: Path, tmp_path: Path
) -> None:
    refused(
        *("train", "--source", world / "sim-2", "--from", trained / "sasrec", "--out", trained / "sasrec", "-q"),
        says="sasrec",
    )


@pytest.mark.parametrize("command", ["infer", "evaluate"])
def test_a_baseline_has_no_node_to_set(
    refused: Callable[..., None], world: Path, trained: Path, tmp_path: Path, command: str
) -> None:
    out = tmp_path / ("lists.csv" if command == "infer" else "rows.json")
    asked = ("--model", trained / "sasrec", "--domain", world / "sim-2", "--out", out, "--do", "D=0", "-q")
    refused(command, *asked, says="do(D): sasrec is no causal graph, it has no such node; leave it out")
