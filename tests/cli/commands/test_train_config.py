"""``train --config`` and ``--print-config``: a run as a file gives the same model, and options replace its values."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result

from prerec_pyro.training.recipes import FEW_SHOT, FINE_TUNING, PRE_TRAINING
from tests.cli.conftest import ITEM_RATE, TINY

Run = Callable[..., Result]
FILES = ("weights.safetensors", "config.json")


def same_model(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in FILES)


def printed(run: Run, path: Path, *options: object) -> Path:
    """Write what --print-config prints to a file."""
    result = run("train", *options, "--print-config")
    assert (result.exit_code, result.stderr) == (0, "")
    path.write_text(result.stdout, encoding="utf-8")
    return path


@pytest.fixture
def sources(world: Path) -> tuple[object, ...]:
    return ("--source", world / "sim-0", "--source", world / "sim-1")


def test_what_is_printed_gives_the_same_model_to_the_bit(
    run: Run, sources: tuple[object, ...], model: Path, tmp_path: Path
) -> None:
    config = printed(run, tmp_path / "run.yaml", *sources, *TINY, *ITEM_RATE)
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"], "nothing is trained"
    content = yaml.safe_load(config.read_text())
    assert content["graph"]["name"] == "extended"
    assert content["training"]["recipe"] == PRE_TRAINING.recipe.model_dump() | {"full_learning_rate_queries": None}
    result = run("train", "--config", config, "--out", tmp_path / "again", "--device", "cpu", "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert same_model(tmp_path / "again", model)
    assert printed(run, tmp_path / "twice.yaml", "--config", config).read_text() == config.read_text()


@pytest.mark.parametrize(
    "options",
    [
        ("--graph", "paper", "--prior", "D=normal:scale=log_normal(median=0.05,sigma=1)", "--free", "D"),
        ("--graph", "unconfounded", "--seed", 3, "--set", "dropout=0.125"),
        ("--method", "sasrec", "--seed", 3, "--samples", 9),
        ("--method", "unisrec"),
    ],
    ids=["paper", "unconfounded", "sasrec", "unisrec"],
)
def test_every_method_has_a_file(run: Run, world: Path, tmp_path: Path, options: tuple[object, ...]) -> None:
    small = ("--source", world / "sim-0", "--set", "latent_dim=8", "--set", "num_layers=1", "--epochs", 1, *options)
    config = printed(run, tmp_path / "run.yaml", *small)
    for name, arguments in (("one", small), ("other", ("--config", config))):
        result = run("train", *arguments, "--out", tmp_path / name, "--device", "cpu", "-q")
        assert (result.exit_code, result.stderr) == (0, "")
    assert same_model(tmp_path / "one", tmp_path / "other")


def test_the_configuration_of_a_saved_model_gives_the_same_model(
    run: Run, sources: tuple[object, ...], model: Path, tmp_path: Path
) -> None:
    arguments = ("--config", model / "config.json", *sources, "--device", "cpu", "-q")
    assert run("train", *arguments, "--out", tmp_path / "again").exit_code == 0
    assert same_model(tmp_path / "again", model)


def test_fine_tuning_has_a_file(run: Run, world: Path, model: Path, tmp_path: Path) -> None:
    options = ("--from", model, "--source", world / "sim-2", "--epochs", 1, "--samples", 12)
    config = printed(run, tmp_path / "run.yaml", *options)
    content = yaml.safe_load(config.read_text())
    assert (content["from"], content["samples"], content["sources"]) == (str(model), 12, [str(world / "sim-2")])
    assert content["training"]["recipe"] == FEW_SHOT.recipe.model_dump()
    for name, arguments in (("one", options), ("other", ("--config", config))):
        result = run("train", *arguments, "--out", tmp_path / name, "--device", "cpu", "-q")
        assert (result.exit_code, result.stderr) == (0, "")
    assert same_model(tmp_path / "one", tmp_path / "other")


def test_fine_tuning_takes_the_recipe_for_the_queries_that_there_are(
    run: Run, world: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prerec_pyro.training import recipes

    monkeypatch.setattr(recipes, "FEW_QUERIES", 13)
    for samples, expected in ((12, FEW_SHOT), (13, FINE_TUNING)):
        options = ("--from", model, "--source", world / "sim-2", "--samples", samples, "--print-config")
        content = yaml.safe_load(run("train", *options).stdout)
        assert content["training"]["recipe"] == expected.recipe.model_dump()


def test_options_replace_what_a_file_says(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        "method: prerec\n"
        "graph: {name: extended, latent_dim: 8}\n"
        "priors: {D: {family: normal, scale: 0.5}, V: {family: normal, scale: 0.25}}\n"
        "free: [V]\n"
        "normalizer: active\n"
        "encoder: one\n"
        "seed: 3\n"
        "sources: [here]\n"
        "training: {epochs: 7, patience: 2, recipe: {min_steps: 1}}\n"
    )
    options = (
        "--graph",
        "paper",
        "--set",
        "latent_dim=16",
        "--prior",
        "D=laplace:scale=1",
        "--free",
        "D",
        "--free",
        "V",
    )
    more = ("--normalizer", "catalogue", "--encoder", "other", "--seed", 4, "--source", "there", "--epochs", 1)
    found = yaml.safe_load(run("train", "--config", tmp_path / "run.yaml", *options, *more, "--print-config").stdout)
    assert (found["method"], found["graph"]["name"], found["graph"]["latent_dim"]) == ("prerec_paper", "paper", 16)
    assert found["priors"]["D"] == {"family": "laplace", "scale": 1.0}
    assert found["priors"]["V"] == {"family": "normal", "scale": 0.25}, "the file's, where no option replaces it"
    assert (found["free"], found["normalizer"], found["encoder"]) == (["D", "V"], "catalogue", "other")
    assert (found["seed"], found["sources"]) == (4, ["there"])
    assert (found["training"]["epochs"], found["training"]["patience"]) == (1, 2)
    assert found["training"]["recipe"] == PRE_TRAINING.recipe.model_dump() | {"min_steps": 1}


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        (
            "training: {recipe: {min_step: 1}}",
            [],
            "training.recipe.min_step: there is no such key here; expected one of",
        ),
        ("training: {epochs: many}", [], "training.epochs: should be a valid integer"),
        ("graph: papr", [], "graph.name: should be 'paper', 'extended' or 'unconfounded'"),
        ("method: sasrec", ["--graph", "paper"], ["--graph paper: ", "has method sasrec, which has no graph"]),
        ("method: sasrec\nbaseline: {dropout: 0.3}", ["--method", "prerec"], "baseline: there is no such key here"),
        ("graph: paper", ["--method", "sasrec"], "graph: there is no such key here"),
        (
            "priors: {S: {family: normal, scale: 0.5}}",
            ["--graph", "paper"],
            "priors: prior of S: the graph paper has no",
        ),
        ("free: [D]", ["--graph", "unconfounded"], "free: free nodes: the graph unconfounded has no node D"),
        ("free: []", ["--set", "item_rate=1"], "--set item_rate=1: has no effect, since V is not free"),
        ("training: {epochs: 3", [], "is not valid YAML"),
        ("from: 3", [], "from: should be a model folder"),
    ],
)
def test_what_cannot_be_is_refused(
    refused: Callable[..., None], world: Path, tmp_path: Path, text: str, options: list[str], says: str | list[str]
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    arguments = ("--source", world / "sim-0", "--out", tmp_path / "model", "-q", "--config", path)
    refused("train", *arguments, *options, says=says)


def test_a_file_for_another_kind_of_run_is_refused(
    refused: Callable[..., None], run: Run, world: Path, model: Path, tmp_path: Path
) -> None:
    config = printed(run, tmp_path / "run.yaml")
    place = ("--source", world / "sim-2", "--out", tmp_path / "m", "-q")
    refused("train", *place, "--from", model, "--config", config, says="graph: there is no such key here")
    refused("train", *place, "--config", tmp_path / "no.yaml", says="no.yaml: cannot be read (No such file")
    refused("train", *place, "--config", model / "manifest.json", says="is not the configuration of a saved model")
    refused("train", "--source", world / "sim-2", says="--out: name the model folder to write")
    refused("train", "--out", tmp_path / "m", "--config", config, says="--source: there is no domain to train on")
    out = tmp_path / "inside"
    out.mkdir()
    (out / "manifest.json").write_text(json.dumps({}))
    (out / "run.yaml").write_text("")
    refused("train", "--source", world / "sim-2", "--out", out, "--config", out / "run.yaml", says="would replace")
