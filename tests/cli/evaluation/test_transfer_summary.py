"""Summary of transfer at the end of ``evaluate``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from prerec_pyro.cli.main import main
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.splits import split_users
from prerec_pyro.evaluation.protocol import evaluate
from prerec_pyro.evaluation.transfer import METRICS, Rival, transfer_summary
from prerec_pyro.models.baselines import MostPopular
from prerec_pyro.recommenders.registry import load_model


@pytest.fixture
def measure(run: Callable[..., Result], world: Path, tmp_path: Path) -> Callable[..., list[dict]]:
    def ask(*options: object, domain: str = "sim-2") -> list[dict]:
        out = tmp_path / "rows.json"
        ask.result = run("evaluate", "--domain", world / domain, "--k-percent", 5, "-q", "--out", out, *options)
        assert ask.result.exit_code == 0, ask.result.stderr
        return json.loads(out.read_text())

    return ask


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """A SASRec trained on ``sim-2`` itself."""
    out = tmp_path_factory.mktemp("models") / "sasrec"
    settings = ("--set", "latent_dim=8", "--set", "num_layers=1", "--set", "num_negatives=16", "--set", "k_percent=5")
    arguments = ("train", "--source", world / "sim-2", "--method", "sasrec", "--out", out, *settings, "--epochs", 1)
    result = CliRunner().invoke(main, [str(argument) for argument in (*arguments, "--device", "cpu", "-q")])
    assert result.exit_code == 0, result.stderr
    return out


def test_the_summary_compares_the_queries(measure, model: Path, model_n: Path, scratch: Path, world: Path) -> None:
    models = ("--model", model, "--model", model_n, "--model", scratch)
    rows = measure("--plain", *models, "--methods", "random,pop,sbert")
    assert [row["method"] for row in rows if "transfer" in row] == ["prerec"]
    transfer = rows[0]["transfer"]
    assert list(transfer["against"]) == ["prerec_n", "sasrec from scratch", "pop", "sbert"]
    shop = Domain.load(world / "sim-2")
    ours = load_model(model, "cpu")
    encoded, users = ours.encode(shop), split_users(shop).test
    found = [evaluate(one, encoded, users, k_percent=5.0) for one in (ours, MostPopular())]
    values = [{metric: one.ranking.per_query(metric) for metric in METRICS} for one in found]
    expected = transfer_summary(values[0], [Rival("pop", "popularity", values[1])], found[0].users)
    gain = expected.against["pop"]["r_ndcg"]
    assert transfer["against"]["pop"]["difference"] == pytest.approx(rows[0]["r_ndcg"] - rows[4]["r_ndcg"])
    assert transfer["against"]["pop"]["low"] == pytest.approx(gain.low)
    assert transfer["against"]["pop"]["recall"]["high"] == pytest.approx(expected.against["pop"]["recall"].high)
    last = measure.result.stdout.splitlines()[-1]
    assert last == transfer["text"]
    assert f"Recommendation: {transfer['recommendation']}" in last
    assert "Not measured" not in last


def test_a_calibrated_row_is_summarised(measure, model: Path) -> None:
    rows = measure("--model", model, "--methods", "pop")
    assert [row["method"] for row in rows if "transfer" in row] == ["prerec_calibrated"]
    assert "r-NDCG of prerec_calibrated minus" in measure.result.stdout
    for hint in ("--methods sbert", "--method prerec_n", "--method sasrec"):
        assert hint in rows[1]["transfer"]["text"]


def test_two_models_get_a_summary_each(measure, model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "copy")
    rows = measure("--plain", "--model", model, "--model", tmp_path / "copy", "--methods", "pop")
    texts = [row["transfer"]["text"] for row in rows[:2]]
    assert [str(path) in text for path, text in zip((model, tmp_path / "copy"), texts, strict=True)] == [True, True]
    assert rows[0]["transfer"]["against"] == rows[1]["transfer"]["against"]


def test_no_summary_without_a_new_model_and_a_rival(measure, model: Path, model_n: Path) -> None:
    for options in (
        ("--model", model),
        ("--model", model, "--methods", "random"),
        ("--model", model_n, "--methods", "pop"),
        ("--model", model, "--methods", "pop", "--split", "train"),
        ("--model", model, "--methods", "pop", "--do", "Z=0"),
    ):
        assert not any("transfer" in row for row in measure(*options))
        assert "transfer" not in measure.result.stdout
    # A trained domain is not zero-shot.
    assert not any("transfer" in row for row in measure("--model", model, "--methods", "pop", domain="sim-0"))
