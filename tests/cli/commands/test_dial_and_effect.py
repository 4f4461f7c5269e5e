"""``prerec-pyro dial`` and ``effect``: what they write is what the library says, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from prerec_pyro.causal.dial import popularity_dial
from prerec_pyro.causal.measurement.measurement import Measurement
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.splits import split_users
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.prerec import PreRec

PNG = b"\x89PNG"
FAST = ("--k-percent", "5", "--draws", "50", "--list-size", "5", "--device", "cpu")
ASKED = {"k_percent": 5.0, "draws": 50, "list_size": 5}


@pytest.fixture
def ask(run, world: Path, model: Path, tmp_path: Path):
    """Run a command on ``sim-2`` and return what it printed."""

    def asked(name: str, *more: object, domain: str = "sim-2") -> str:
        result = run(name, "--model", model, "--domain", world / domain, *FAST, *more)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    return asked


def test_the_dial_in_three_formats_and_as_a_picture(ask, model: Path, world: Path, tmp_path: Path) -> None:
    expected = PreRec.load(model, "cpu").popularity_dial(Domain.load(world / "sim-2"), [0, 2], **ASKED)
    out = {end: tmp_path / f"dial.{end}" for end in ("json", "md", "csv", "png")}
    printed = ask("dial", "--values", "0,2", "--out", out["json"], "--plot", out["png"])
    assert json.loads(out["json"].read_text()) == expected.to_json()
    assert out["png"].read_bytes().startswith(PNG)
    assert [line.split()[0] for line in printed.splitlines()] == ["recall", "0", "1", "2"]
    ask("dial", "--values", "0,2", "--out", out["md"])
    assert out["md"].read_text() == expected.to_markdown()
    ask("dial", "--values", "2,0,1", "--out", out["csv"])
    pd.testing.assert_frame_equal(pd.read_csv(out["csv"]), expected.table)


def test_the_dial_of_a_calibrated_model_on_another_split(ask, model: Path, world: Path, tmp_path: Path) -> None:
    ask("dial", "--values", "0", "--calibrate", "--split", "validation", "--out", tmp_path / "dial.json")
    shop = Domain.load(world / "sim-2")
    calibrated = CalibratedPreRec(PreRec.load(model, "cpu"), split_users(shop).train)
    expected = popularity_dial(calibrated, shop, [0], measurement=Measurement(split="validation", **ASKED))
    assert json.loads((tmp_path / "dial.json").read_text()) == expected.to_json()


def test_the_effect_report(ask, model: Path, world: Path, tmp_path: Path) -> None:
    expected = PreRec.load(model, "cpu").effect_report(Domain.load(world / "sim-2"), as_if=["sim-1"], **ASKED)
    printed = ask("effect", "--as-if", "sim-1", "--out", tmp_path / "effect.json", "--plot", tmp_path / "effect.svg")
    assert json.loads((tmp_path / "effect.json").read_text()) == expected.to_json()
    assert "<svg" in (tmp_path / "effect.svg").read_text()
    rows = printed.splitlines()
    assert [row.split("  ")[0] for row in rows[1:4]] == ["do(D = sim-1)", "do(Z = 0)", "do(D = sim-1, Z = 0)"]
    ask("effect", "--as-if", "sim-1", "--out", tmp_path / "effect.md")
    assert (tmp_path / "effect.md").read_text() == expected.to_markdown()


@pytest.mark.parametrize("edge", [False, True])
def test_the_effect_report_of_a_trained_domain_in_both_meanings(
    run, train_tiny, world: Path, tmp_path: Path, edge: bool
) -> None:
    """Items descend from D by the edge D → V alone."""
    assert train_tiny(tmp_path / "model", "--set", f"domain_to_item={edge}").exit_code == 0
    levels = []
    for name in ("interventional", "counterfactual"):
        out = tmp_path / "effect.json"
        options = ("--model", tmp_path / "model", "--domain", world / "sim-0", "--semantics", name, "--out", out, *FAST)
        assert run("effect", *options).exit_code == 0
        found = json.loads(out.read_text())
        assert found["facts"]["trained_on_domain"]
        levels.append(found["arms"]["do(D = 0)"]["level"])
    assert (levels[0] != levels[1]) is edge


@pytest.mark.parametrize("name", ["dial", "effect"])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--out", "x.txt"], "must end in .json, .md"),
        (["--out", "x.json", "--plot", "x.bmp"], "--plot x.bmp: the name must end in .png, .svg, .pdf"),
        (["--k-percent", "0.001", "--out", "{tmp}/x.json"], "--k-percent 0.001: "),
        (
            ["--split", "train", "--calibrate", "--k-percent", "5", "--out", "{tmp}/x.json"],
            "--calibrate: reads the log",
        ),
        (["--out", "{world}/sim-2/x.json"], "is read"),
        (["--out", "{tmp}/no/x.json", "--domain", "nowhere"], "nowhere: is no folder"),
    ],
)
def test_what_means_nothing_is_refused(refused, world, model, tmp_path, name, options, says) -> None:
    options = [option.format(tmp=tmp_path, world=world) for option in options]
    refused(name, "--model", model, "--domain", world / "sim-2", *options, says=says)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("dial", ["--values", "0,loud"], "--values 0,loud: expected numbers"),
        ("dial", ["--values", "0,inf"], "expected finite numbers"),
        ("effect", ["--as-if", "sim-9"], "as if it were 'sim-9': the model was not trained on that"),
    ],
)
def test_what_one_of_them_refuses(refused, world, model, tmp_path, name, options, says) -> None:
    where = ("--model", model, "--domain", world / "sim-2", "--out", tmp_path / "x.json")
    refused(name, *where, *options, says=says)


@pytest.mark.parametrize("name", ["dial", "effect"])
def test_a_model_without_confounders_is_refused(refused, world, model_n, tmp_path, name) -> None:
    where = ("--model", model_n, "--domain", world / "sim-2", "--out", tmp_path / "x.json")
    refused(name, *where, says=["--model", "prerec_n, which has no D and no Z"])
