"""Files of runs: what is read, what is written, and what is refused by file and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from prerec_pyro.errors import InputError
from prerec_pyro.models.priors import LogNormal, Normal, Priors, StudentT
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.runs.config import BaselineRun, GraphSection, PreRecRun
from prerec_pyro.recommenders.runs.files import (
    baseline_run,
    fine_tuning_run,
    method_in,
    parent_in,
    prerec_run,
    read_document,
    sources_in,
)
from prerec_pyro.recommenders.text_baseline import TextBaseline
from prerec_pyro.training.baseline_configs import BaselineTraining, defaults
from prerec_pyro.training.loop_config import LoopRecipe
from prerec_pyro.training.recipes import FINE_TUNING, PRE_TRAINING, Recipe, TrainConfig
from tests.support.models import prerec, small_domain, training

WIDE = Priors(D=Normal(LogNormal(0.02, 1.0)), V=StudentT(4.0, 0.5), W_z=Normal(0.3))
# A configuration of a model of format 4, with the settings that training had.
FORMAT_4 = {
    "format_version": 4,
    "graph": {
        **{"latent_dim": 4, "num_layers": 1, "num_heads": 2, "feedforward": 2, "dropout": 0.0, "history_dropout": 0.0},
        **{"sharpness": 10.0, "confounders": True, "domain_to_item": False, "popularity_to_item": False},
        **{"item_to_user": True, "repeats": True, "wandering": True, "strengths": True},
    },
    "training": {
        **{"epochs": 3, "patience": 9, "min_steps": 1, "batch_tokens": 40, "accumulate": 1, "num_negatives": 8},
        **{"precision": "auto", "k_percent": 20.0, "validation_queries": 100, "seed": 7, "learning_rate": 3e-3},
        **{"text_rate": 3e-3, "popularity_rate": 1e-2, "repeat_rate": 1e-2, "domain_rate": 1e-2, "item_rate": 1e-2},
        **{"strength_rate": 3e-2, "scale_rate": 3e-2, "learning_rate_at": None, "rates_at": None},
        **{"popularity_at": None, "strengths_at": None},
    },
    "priors": {"D": {"family": "normal", "scale": 0.5}},
    "free": ["D", "V"],
    "text_dim": 6,
    "encoder": {"name": None, "revision": None},
    "whitening": 0.25,
    "popularity": {"window": 3, "normalizer": "active"},
    "domains": ["a"],
}


def written(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content) if path.suffix == ".json" else yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["run.yaml", "run.yml", "run.json"])
def test_a_run_is_read(tmp_path: Path, name: str) -> None:
    path = written(
        tmp_path / name,
        {
            "graph": {"name": "paper", "latent_dim": 8},
            "priors": {"D": {"family": "student_t", "df": 4, "scale": "5e-1"}},
            "free": ["V"],
            "window": 3,
            "normalizer": "active",
            "whitening": 0.5,
            "training": {"epochs": 2, "learning_rate": "1e-3", "recipe": {"min_steps": 1}},
            "seed": 7,
            "sources": ["one", "two"],
        },
    )
    document = read_document(path)
    assert method_in(document, "run") == "prerec_paper"
    run = prerec_run(document, "run", "prerec_paper")
    assert run.graph == GraphSection(name="paper", latent_dim=8)
    assert run.priors == Priors(D=StudentT(4, 0.5))
    assert run.training == TrainConfig(epochs=2, learning_rate=1e-3, seed=7, recipe=Recipe(min_steps=1))
    assert (run.free, run.sources) == (("V",), ("one", "two"))
    model = run.model("cpu")
    assert (model.name, model.window, model.normalizer, model.whitening) == ("prerec_paper", 3, "active", 0.5)
    assert (model.free, model.priors, model.training) == ({"V"}, run.priors, run.training)


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("# nothing\n")
    run = prerec_run(read_document(tmp_path / "run.yaml"), "run").resolved()
    model = PreRec(device="cpu")
    assert run.training == PRE_TRAINING
    assert (run.free, run.whitening) == (("D", "V"), 0.25)
    assert (run.graph.config(), run.priors) == (model.config, model.priors)


@pytest.mark.parametrize("free", [None, (), ("D", "V", "W_z")])
def test_what_is_written_is_what_is_read(tmp_path: Path, free: tuple[str, ...] | None) -> None:
    training = TrainConfig(learning_rate=1 / 3, seed=5, recipe=Recipe(full_learning_rate_queries=None))
    graph = GraphSection(name="extended", latent_dim=8, sharpness=0.1)
    run = PreRecRun(method="prerec", graph=graph, priors=WIDE, free=free, training=training, sources=("a b",))
    (tmp_path / "run.yaml").write_text(run.resolved().to_yaml(), encoding="utf-8")
    again = prerec_run(read_document(tmp_path / "run.yaml"), "run")
    assert again == run.resolved()
    assert again.model("cpu").free == run.model("cpu").free


def test_a_baseline_starts_from_its_own_settings(tmp_path: Path) -> None:
    document = {"method": "unisrec", "baseline": {"latent_dim": 8}, "training": {"epochs": 1}, "samples": 3}
    run = baseline_run(document, "run", "unisrec")
    assert run.training == defaults("unisrec").model_copy(update={"epochs": 1})
    assert (run.baseline.latent_dim, run.samples) == (8, 3)
    (tmp_path / "run.yaml").write_text(run.to_yaml(), encoding="utf-8")
    again = baseline_run(read_document(tmp_path / "run.yaml"), "run", "unisrec")
    assert isinstance(again, BaselineRun)
    assert again == run
    assert again.model("cpu").config == run.baseline


def test_fine_tuning_starts_from_the_recipe(tmp_path: Path) -> None:
    model = prerec(training=training(epochs=0)).fit([small_domain("a")])
    document = {"from": "m", "training": {"epochs": 1}, "samples": 5, "seed": 2, "sources": ["t"]}
    run = fine_tuning_run(document, "run", Path("m"), model, FINE_TUNING)
    assert run.training == FINE_TUNING.model_copy(update={"epochs": 1, "seed": 2})
    (tmp_path / "run.yaml").write_text(run.to_yaml(), encoding="utf-8")
    again = read_document(tmp_path / "run.yaml")
    assert (parent_in(again, "run"), sources_in(again, "run")) == (Path("m"), [Path("t")])
    assert fine_tuning_run(again, "run", Path("m"), model, PRE_TRAINING) == run


def test_the_configuration_of_a_saved_model_is_a_run(tmp_path: Path) -> None:
    model = prerec("paper", priors=WIDE, normalizer="active").fit([small_domain("a")])
    model.save(tmp_path / "m")
    run = prerec_run(read_document(tmp_path / "m" / "config.json"), "run", "prerec_paper")
    untrained = run.model("cpu")
    for name in ("config", "priors", "free", "training", "window", "normalizer", "whitening", "name"):
        assert getattr(untrained, name) == getattr(model, name), name


def test_the_configuration_of_a_model_of_format_4_is_mapped(tmp_path: Path) -> None:
    run = prerec_run(read_document(written(tmp_path / "config.json", FORMAT_4)), "run")
    assert (run.graph.name, run.graph.latent_dim, run.window, run.normalizer) == ("extended", 4, 3, "active")
    assert (run.graph.num_interests, run.graph.popularity_windows) == (1, False)
    chosen = {name: FORMAT_4["training"][name] for name in TrainConfig.model_fields if name != "recipe"}
    assert run.training == TrainConfig(**chosen), "constants are those of the recipe"
    odd = FORMAT_4 | {"graph": FORMAT_4["graph"] | {"repeats": False}}
    with pytest.raises(InputError, match="repeats=false, which is none of the graphs"):
        read_document(written(tmp_path / "config.json", odd))


def test_the_configuration_of_a_saved_baseline_is_a_run(tmp_path: Path) -> None:
    training = BaselineTraining(epochs=0, recipe=LoopRecipe(min_steps=3))
    model = TextBaseline("sasrec", training=training, device="cpu").fit([small_domain("a")])
    model.save(tmp_path / "m")
    run = baseline_run(read_document(tmp_path / "m" / "config.json"), "run", "sasrec")
    assert (run.baseline, run.training) == (model.config, training)
    config = json.loads((tmp_path / "m" / "config.json").read_text()) | {"format_version": 4}
    config["training"] = config["training"] | {"min_steps": 5}
    del config["training"]["recipe"]
    old = baseline_run(read_document(written(tmp_path / "config.json", config)), "run", "sasrec")
    assert old.training == BaselineTraining(epochs=0)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"foo": 1}, "run: foo: there is no such key here; expected one of method, training"),
        ({"training": {"foo": 1}}, "run: training.foo: there is no such key here; expected one of epochs"),
        (
            {"training": {"recipe": {"rate": 1}}},
            "run: training.recipe.rate: there is no such key here; expected",
        ),
        ({"training": {"epochs": "x"}}, "run: training.epochs: should be a valid integer"),
        ({"training": {"learning_rate": -1}}, "run: training.learning_rate: should be greater than or equal to 0"),
        ({"training": {"learning_rate": "nan"}}, "run: training.learning_rate: should be a finite number"),
        ({"training": {"recipe": {"min_steps": 0}}}, "run: training.recipe.min_steps: should be greater than or equal"),
        ({"training": 3}, "run: training: should hold keys and values, and is 3"),
        ({"graph": {"name": "papr"}}, "run: graph.name: should be 'paper', 'extended' or 'unconfounded'"),
        ({"graph": "papr"}, "run: graph.name: should be 'paper', 'extended' or 'unconfounded'"),
        ({"graph": {"latent": 3}}, "run: graph.latent: there is no such key here; expected one of latent_dim"),
        ({"graph": {"latent_dim": 9}}, "run: graph: latent_dim 9 is no multiple of num_heads 2"),
        ({"graph": 3}, "run: graph: should hold keys and values, and is 3"),
        ({"priors": {"Q": {"family": "normal", "scale": 1}}}, "run: priors: prior of 'Q': there is no such node"),
        ({"priors": {"D": {"family": "cauchy"}}}, "run: priors: prior of D: no family 'cauchy'"),
        ({"free": ["U"]}, "run: free: free nodes: U cannot be free"),
        ({"free": "none"}, "run: free: should be a valid tuple"),
        ({"normalizer": "mean"}, "run: normalizer: should be 'catalogue' or 'active'"),
        ({"whitening": 2}, "run: whitening: should be less than or equal to 1"),
        ({"window": 0}, "run: window: should be greater than or equal to 1"),
        ({"seed": -1}, "run: seed: should be greater than or equal to 0"),
        ({"seed": 1, "training": {"seed": 2}}, "run: seed: is 1, but training.seed is 2; leave one out"),
        ({"samples": 3}, "run: samples: is for baselines and for fine-tuning"),
        ({"baseline": {}}, "run: baseline: there is no such key here"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_key(content: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as refused:
        prerec_run(content, "run")
    assert str(refused.value).startswith(says)
    assert "\n" not in str(refused.value)


def test_a_node_that_the_graph_lacks_is_refused() -> None:
    spread = {"priors": {"S": {"family": "normal", "scale": 0.5}}}
    with pytest.raises(InputError, match="run: priors: prior of S: the graph paper has no S"):
        prerec_run(spread, "run", "prerec_paper")
    with pytest.raises(InputError, match=r"run: free: .* unconfounded has no node D"):
        prerec_run({"free": ["D"]}, "run", "prerec_n")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("run.toml", "", "must end in .yaml, .yml or .json"),
        ("run.yaml", "a: [1", "line 1: is not valid YAML"),
        ("run.yaml", "a: b: c", "line 1: is not valid YAML (mapping values are not allowed here)"),
        ("run.yaml", "- 1", "expected keys and values"),
        ("run.yaml", "1: 2", "expected keys and values"),
        ("run.yaml", "a: !!python/object/apply:os.getcwd []", "is not valid YAML (could not determine a constructor"),
        ("run.json", "{", "is not valid JSON"),
        ("config.json", '{"format_version": 3}', "format_version: should be one of (4, 5, 6), and is 3"),
        ("config.json", '{"format_version": 5}', "is not the configuration of a saved model"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as refused:
        read_document(tmp_path / name)
    assert str(refused.value).startswith(f"{tmp_path / name}: ")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run\.yaml: cannot be read \(No such file"):
        read_document(tmp_path / "run.yaml")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"method": "best"}, "method: should be one of prerec, "),
        ({"method": "prerec_n", "graph": "paper"}, "graph: paper is the graph of prerec_paper, but method is prerec_n"),
        (
            {"method": "sasrec", "graph": {"name": "paper"}},
            "graph: paper is the graph of prerec_paper, but",
        ),
    ],
)
def test_method_and_graph_must_agree(content: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=f"run: {says}"):
        method_in(content, "run")
    assert method_in({"graph": "paper"}, "run") == "prerec_paper"
    assert method_in({}, "run") is None


def test_what_does_not_belong_to_a_baseline_is_refused() -> None:
    for content, says in (
        ({"graph": {}}, "run: graph: there is no such key here; expected one of method"),
        ({"baseline": {"latent": 8}}, "run: baseline.latent: there is no such key here"),
        ({"baseline": {"latent_dim": 9}}, "run: baseline: latent_dim 9 is no multiple of num_heads 2"),
        ({"training": {"recipe": {"domain_rate": 1}}}, "run: training.recipe.domain_rate: there is no such key here"),
    ):
        with pytest.raises(InputError, match=says):
            baseline_run(content, "run", "sasrec")


def test_what_does_not_belong_to_fine_tuning_is_refused() -> None:
    model, tuned = prerec(), TextBaseline("sasrec", device="cpu")
    for content, says in (
        ({"graph": "extended"}, "run: graph: there is no such key here; expected one of method, training"),
        ({"method": "prerec_n"}, "run: method: should be prerec, the method of m"),
        ({"baseline": {"dropout": 0.3}}, "run: baseline: m is a prerec, and no baseline"),
        ({"training": {"recipe": {"foo": 1}}}, "run: training.recipe.foo: there is no such key here"),
    ):
        with pytest.raises(InputError, match=says):
            fine_tuning_run(content, "run", Path("m"), model, FINE_TUNING)
    for content, says in (
        ({"latent_dim": 8}, "run: baseline: latent_dim: cannot change in fine-tuning sasrec"),
        ({"dropout": 3}, "run: baseline.dropout: should be less than 1"),
    ):
        with pytest.raises(InputError, match=says):
            fine_tuning_run({"baseline": content}, "run", Path("m"), tuned, defaults("sasrec", tuned=True))
    for content, read, says in (
        ({"from": 3}, parent_in, "run: from: should be a model folder"),
        ({"sources": "one"}, sources_in, "run: sources: should be a list of folders"),
    ):
        with pytest.raises(InputError, match=says):
            read(content, "run")
