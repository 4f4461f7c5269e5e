"""The script that trains the shipped models: what it writes, and the sources that it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from prerec_pyro.data.domain import Domain
from prerec_pyro.recommenders.prerec import PreRec
from tests.support.models import small_domain
from tests.support.scripts import load_script

SHAPE = """
graph: {name: extended, latent_dim: 4, num_layers: 1, feedforward: 1}
training: {epochs: 5, num_negatives: 8, k_percent: 20}
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("benchmarks/pretrain.py")


@pytest.fixture
def pretrain(script: ModuleType, tmp_path: Path) -> Callable[..., None]:
    """Run the script on domains of given names, into ``tmp_path / "models"``."""
    config = tmp_path / "run.yaml"
    config.write_text(SHAPE)

    def run(*names: str, name: str = "tiny", more: tuple[object, ...] = ()) -> None:
        corpus = []
        for seed, one in enumerate(names):
            small_domain(one, seed=seed).save(tmp_path / one)
            corpus += ["--corpus", tmp_path / one]
        out = ("--name", name, "--out", tmp_path / "models", "--device", "cpu")
        script.main([str(value) for value in (*corpus, *out, "--config", config, "--epochs", 1, *more)])

    return run


def test_it_writes_the_whole_model_and_the_portable_one(
    pretrain: Callable[..., None], script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "transfer.json"
    row = {"target": "sim-0", "label": "PreRec", "recall": {"mean": 0.5, "half_width": None}, "r_ndcg": {"mean": 0.25}}
    table.write_text(json.dumps({"rows": [row | {"subset": "all"}, row | {"subset": "unseen", "target": "x"}]}))
    pretrain("online-retail", "ml-100k", more=("--transfer", table, "--seed", 3))
    out = tmp_path / "models"
    assert {path.name for path in out.iterdir()} == {"tiny", "tiny-whole"}
    whole, tiny = (PreRec.from_pretrained(out / name, device="cpu") for name in ("tiny-whole", "tiny"))
    assert whole.sources.row(Domain.load(tmp_path / "ml-100k")) == 1
    assert tiny.sources.item_ids == {}
    assert (tiny.training.epochs, tiny.training.seed, tiny.config.latent_dim) == (1, 3, 4)
    card = (out / "tiny" / "MODEL_CARD.md").read_text("utf-8")
    assert "CC BY 4.0" in card
    assert "for research and evaluation. The terms of ml-100k" in card
    assert "| sim-0 | 0.5000 / 0.2500 |" in card
    assert "| x |" not in card
    assert "loaded in 0." in capsys.readouterr().out

    weights = (out / "tiny" / "weights.safetensors").read_bytes()
    script.main(["--model", str(out / "tiny-whole"), "--name", "again", "--out", str(out), "--device", "cpu"])
    assert (out / "again" / "weights.safetensors").read_bytes() == weights


@pytest.mark.parametrize(
    ("names", "name", "says"),
    [
        (("online-retail", "corner-shop"), "base", "says nothing of corner-shop"),
        (("online-retail", "ml-100k"), "open", "--name open: the terms of ml-100k do not allow any use"),
        ((), "base", "give the logs to train on by --corpus"),
    ],
)
def test_a_source_without_fitting_terms_is_refused_before_training(
    pretrain: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str], names, name: str, says: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        pretrain(*names, name=name)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_terms_are_stated_in_full(script: ModuleType) -> None:
    stated = json.loads(script.TERMS.read_text("utf-8"))
    assert all(set(note) == {"kind", "language", "terms", "any_use"} for note in stated.values())
    free = {name for name, note in stated.items() if note["any_use"]}
    assert {name for name in free if not name.startswith("sim-")} == {"online-retail", "movietweetings-100k"}
