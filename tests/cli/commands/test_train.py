"""``prerec-pyro train``: settings that arrive, runs that repeat, runs that are cut off, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from safetensors.numpy import load_file

from prerec_pyro.cli import set_option
from prerec_pyro.errors import InputError
from prerec_pyro.models.graphs.config import ExtendedConfig
from prerec_pyro.recommenders.registry import offered_settings
from prerec_pyro.training.recipes import TrainConfig
from prerec_pyro.training.trainer import Trainer

Run = Callable[..., Result]


def config_of(model: Path) -> dict:
    return json.loads((model / "config.json").read_text())


def same_model(one: Path, other: Path) -> bool:
    return all((one / n).read_bytes() == (other / n).read_bytes() for n in ("weights.safetensors", "config.json"))


def cut_off(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """Press Ctrl-C as this epoch begins."""
    whole = Trainer._epoch

    def stopped(trainer: Trainer, number: int) -> dict[str, float]:
        if number == epoch:
            raise KeyboardInterrupt
        return whole(trainer, number)

    monkeypatch.setattr(Trainer, "_epoch", stopped)


def test_it_says_how_it_went_on_stderr_alone(run: Run, world: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "model"
    settings = ("--set", "latent_dim=8", "--set", "num_layers=1")
    result = run("train", "--source", world / "sim-0", "--out", out, *settings, "--epochs", 1, "--device", "cpu")
    assert (result.exit_code, result.stdout) == (0, "")
    said = result.stderr.splitlines()
    manifest = json.loads((out / "manifest.json").read_text())
    assert said[0].startswith("source sim-0: ")
    assert said[0].endswith(" of 50 users with 40 items")
    assert said.pop(1).endswith(", not 5e-05: no domain has more than 120 training queries")
    assert said[1].startswith("epoch 1: loss ")
    best = (manifest["best_epoch"], manifest["validation_r_ndcg"])
    assert said[2:] == ["best epoch {}: validation r-NDCG {:.4f}".format(*best), f"wrote {out}"]
    assert [path.name for path in out.parent.iterdir()] == ["model"]
    assert manifest["method"] == "prerec"


def test_the_same_seed_gives_the_same_model(
    train_tiny: Run, run: Run, world: Path, model: Path, tmp_path: Path
) -> None:
    assert train_tiny(tmp_path / "again").exit_code == 0
    assert train_tiny(tmp_path / "other", "--seed", 1).exit_code == 0
    for folder in (model, tmp_path / "again", tmp_path / "other"):
        to = tmp_path / f"{folder.name}.csv"
        assert (
            run("infer", "--model", folder, "--domain", world / "sim-2", "--out", to, "--device", "cpu").exit_code == 0
        )
    lists = [(tmp_path / f"{name}.csv").read_bytes() for name in ("prerec", "again", "other")]
    assert lists[0] == lists[1]
    assert lists[0] != lists[2]
    assert same_model(model, tmp_path / "again")


def test_a_model_is_replaced(train_tiny: Run, model: Path, tmp_path: Path) -> None:
    for seed in (1, 0):
        assert train_tiny(tmp_path / "model", "--seed", seed, "--epochs", 2).exit_code == 0
    assert same_model(tmp_path / "model", model)


def test_a_person_chooses_fifteen_settings() -> None:
    assert offered_settings("prerec") == (
        *("latent_dim", "num_layers", "num_heads", "dropout"),
        *("epochs", "patience", "batch_tokens", "accumulate", "num_negatives", "precision", "k_percent", "seed"),
        *("learning_rate", "text_rate", "item_rate"),
    )


def test_every_setting_can_be_set() -> None:
    bases, offered = [ExtendedConfig(), TrainConfig()], offered_settings("prerec")
    defaults = ExtendedConfig().model_dump() | TrainConfig().model_dump()
    graph, training = set_option.configs({name: str(defaults[name]) for name in offered}, bases, offered)
    assert (graph, training) == (ExtendedConfig(), TrainConfig())
    changed = {"latent_dim": "16", "dropout": "0.25", "patience": "3", "item_rate": "1e-5"}
    graph, training = set_option.configs(changed, bases, offered)
    assert graph == ExtendedConfig(latent_dim=16, dropout=0.25)
    assert training == TrainConfig(patience=3, item_rate=1e-5)
    for name in ("recipe", "min_steps", "feedforward", "sharpness"):
        with pytest.raises(InputError, match=f"there is no setting '{name}'"):
            set_option.configs({name: "1"}, bases, offered)


def test_options_arrive_in_the_model(train_tiny: Run, tmp_path: Path) -> None:
    out = tmp_path / "model"
    priors = ("--prior", "D=student_t:df=4,scale=0.5", "--prior", "V=laplace:scale=2")
    options = (*priors, "--free", "V", "--normalizer", "active", "--seed", 7, "--epochs", 1)
    assert train_tiny(out, *options, "--set", "patience=9").exit_code == 0
    config = config_of(out)
    assert config["priors"]["D"] == {"family": "student_t", "df": 4.0, "scale": 0.5}
    assert config["priors"]["V"] == {"family": "laplace", "scale": 2.0}
    assert config["free"] == ["V"]
    assert config["popularity"]["normalizer"] == "active"
    assert config["graph"]["latent_dim"] == 8
    assert {name: config["training"][name] for name in ("seed", "epochs", "patience")} == {
        "seed": 7,
        "epochs": 1,
        "patience": 9,
    }
    assert config["domains"] == ["sim-0", "sim-1"]


def test_a_learnt_scale_and_a_lifted_weight_arrive_in_the_model(train_tiny: Run, tmp_path: Path) -> None:
    out = tmp_path / "model"
    priors = ("--prior", "D=normal:scale=log_normal(median=0.05,sigma=1)", "--prior", "W_z=horseshoe:scale=0.3")
    assert train_tiny(out, *priors, "--epochs", 1).exit_code == 0
    config = config_of(out)
    scale = {"family": "log_normal", "median": 0.05, "sigma": 1.0}
    assert config["priors"]["D"] == {"family": "normal", "scale": scale}
    assert config["priors"]["W_z"] == {"family": "horseshoe", "scale": 0.3}
    weights = load_file(out / "weights.safetensors")
    assert {"map.D", "map.D_scale", "map.W_z", "map.W_z_local"} <= set(weights)
    assert "graph.W_z" not in weights


def test_nothing_need_be_free(train_tiny: Run, tmp_path: Path) -> None:
    assert train_tiny(tmp_path / "model", "--free", "none", "--epochs", 1).exit_code == 0
    assert config_of(tmp_path / "model")["free"] == []
    found = [name for name in load_file(tmp_path / "model" / "weights.safetensors") if name.startswith("map.")]
    assert "map.S" in found, "which is estimated after training"
    assert set(found) <= {"map.S", "map.S_features", "map.S_sources"}


def test_prerec_n_has_no_confounders(model: Path, model_n: Path) -> None:
    confounders = {"graph.W_z", "graph.W_d", "map.D"}
    assert confounders <= set(load_file(model / "weights.safetensors"))
    assert not confounders & set(load_file(model_n / "weights.safetensors"))
    assert json.loads((model_n / "manifest.json").read_text())["method"] == "prerec_n"


def test_a_run_that_was_cut_off_goes_on(
    train_tiny: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, state = tmp_path / "model", tmp_path / ".model.training"
    with monkeypatch.context() as patch:
        cut_off(patch, epoch=2)
        result = train_tiny(out)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "\nInterrupted.\n")
    assert [path.name for path in tmp_path.iterdir()] == [".model.training"]
    with monkeypatch.context() as patch:
        cut_off(patch, epoch=1)  # the first epoch is not run again
        result = train_tiny(out, "--resume")
    assert result.exit_code == 0, result.stderr
    assert not state.exists()
    assert same_model(out, model)
    history, whole = (json.loads((m / "manifest.json").read_text())["history"] for m in (out, model))
    assert history == whole


def test_a_run_that_was_cut_off_is_not_resumed_unasked(
    train_tiny: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        cut_off(patch, epoch=2)
        train_tiny(tmp_path / "model", "--seed", 5)
    result = train_tiny(tmp_path / "model", "--seed", 5, "--set", "patience=2", "--resume")
    assert result.exit_code == 2
    assert "other settings or data (training.patience)" in result.stderr
    result = train_tiny(tmp_path / "model")
    assert result.exit_code == 0
    assert result.stderr.startswith(f"Warning: {tmp_path / '.model.training'} holds an unfinished run")
    assert same_model(tmp_path / "model", model)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--set", "foo=1"], ["--set foo=1: there is no setting 'foo'", "latent_dim (B,", "patience (epochs without"]),
        (["--set", "latent_dim"], "--set latent_dim: expected NAME=VALUE"),
        (["--set", "latent_dim=abc"], "--set latent_dim=abc: should be a valid integer"),
        (["--set", "latent_dim=1"], "--set latent_dim=1: should be greater than or equal to 2"),
        (["--set", "latent_dim=9"], "--set latent_dim=9: latent_dim 9 is no multiple of num_heads 2"),
        (["--set", "latent_dim=8", "--set", "latent_dim=8"], "latent_dim is set to 8 already"),
        (["--set", "latent_dim=1", "--set", "dropout=1"], ["--set latent_dim=1: ", "--set dropout=1: "]),
        (["--set", "learning_rate=nan"], "--set learning_rate=nan: should be"),
        (["--set", "learning_rate=inf"], "--set learning_rate=inf: should be a finite number"),
        (["--set", "seed=-1"], "--set seed=-1: should be"),
        (["--set", "epochs=3", "--epochs", "2"], "--set epochs=3: --epochs sets epochs too"),
        (["--set", "epochs=none"], "--set epochs=none: should be a valid integer"),
        (["--set", "min_steps=1"], "is a constant; give it in --config, as training.recipe.min_steps"),
        (["--set", "feedforward=1"], "--set feedforward=1: is a constant; give it in --config, as graph.feedforward"),
        (["--free", "none", "--set", "item_rate=1"], "--set item_rate=1: has no effect, since V is not free"),
        (["--free", "D", "--set", "item_rate=1"], "--set item_rate=1: has no effect, since V is not free"),
        (["--graph", "paper", "--prior", "S=normal:scale=1"], "--prior S=normal:scale=1: the graph paper has no S"),
        (["--graph", "unconfounded", "--prior", "W_z=normal:scale=1"], "the graph unconfounded has no W_z"),
        (["--graph", "unconfounded", "--free", "D"], "the graph unconfounded has no node D"),
        (["--graph", "unconfounded", "--normalizer", "active"], "--normalizer active: the graph unconfounded has no"),
        (["--graph", "paper", "--method", "sasrec"], "--graph paper: --method sasrec has no graph"),
        (["--graph", "paper", "--method", "prerec_n"], "--graph paper: --method prerec_n has the graph unconfounded"),
        (["--prior", "Q=normal:scale=1"], ["'Q'", "D, Z, V, U"]),
        (["--prior", "D=cauchy:scale=1"], ["'cauchy'", "normal, student_t, laplace"]),
        (["--prior", "D=normal:scale=0"], "positive"),
        (["--prior", "V=horseshoe:scale=1"], ["prior of V", "random scale"]),
        (["--prior", "W_z=normal:scale=gamma(shape=1)"], ["'gamma'", "log_normal, half_normal, half_cauchy"]),
        (["--prior", "D=normal:scale=1", "--prior", "D=normal:scale=1"], "D has a prior already"),
        (["--free", "U"], "U cannot be free"),
        (["--free", "none", "--free", "D"], "--free none: excludes --free D"),
        (["--resume"], ["model.training", "no unfinished training run to resume"]),
        (["--source", "nowhere"], "nowhere: is no folder"),
    ],
)
def test_what_cannot_be_is_refused(
    refused: Callable[..., None], world: Path, tmp_path: Path, options: list[str], says: str | list[str]
) -> None:
    refused("train", "--source", world / "sim-0", "--out", tmp_path / "model", "-q", *options, says=says)


def test_folders_are_left_alone(refused: Callable[..., None], world: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    refused("train", "--source", world / "sim-0", "--out", tmp_path / "notes", says="so it is left alone")
    refused("train", "--source", world / "sim-0", "--out", tmp_path / "notes" / "a.txt", says="is a file")
    refused("train", "--source", world / "sim-0", "--out", world / "sim-1", says="so it is left alone")


def test_two_sources_need_two_names(refused: Callable[..., None], world: Path, tmp_path: Path) -> None:
    twice = ("--source", world / "sim-0", "--source", world / "sim-0")
    refused("train", *twice, "--out", tmp_path / "m", "-q", "--set", "latent_dim=8", says="share a name: sim-0, sim-0")


@pytest.mark.parametrize("name", ["train", "infer", "evaluate"])
def test_help_loads_nothing_heavy(name: str) -> None:
    code = (
        "import sys\nfrom prerec_pyro.cli.main import main\n"
        f"main([{name!r}, '--help'], standalone_mode=False)\n"
        "heavy = {'torch', 'pandas', 'numpy', 'pyarrow', 'pyro', 'pydantic', 'tqdm'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: ")
