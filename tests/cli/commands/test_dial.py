"""``prerec-pyro dial``: its files agree with `popularity_dial`, and bad options are rejected."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from prerec_pyro.causal.dial import popularity_dial
from prerec_pyro.causal.measurement.measurement import Measurement
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.splits import split_users
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.prerec import PreRec

FAST = ("--k-percent", "5", "--draws", "50", "--list-size", "5", "--device", "cpu")
MEASUREMENT = {"k_percent": 5.0, "draws": 50, "list_size": 5}


@pytest.fixture
def dial(run: Callable, world: Path, model: Path) -> Callable[..., str]:
    """Run ``dial`` on ``sim-2`` and return its output."""

    def run_dial(*options: object) -> str:
        result = run("dial", "--model", model, "--domain", world / "sim-2", *FAST, *options)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    return run_dial


def test_three_formats_and_a_figure(dial: Callable[..., str], model: Path, shop2: Domain, tmp_path: Path) -> None:
    expected = PreRec.load(model, "cpu").popularity_dial(shop2, [0, 2], **MEASUREMENT)
    out = {end: tmp_path / f"dial.{end}" for end in ("json", "md", "csv", "png")}
    printed = dial("--values", "0,2", "--out", out["json"], "--plot", out["png"])
    assert json.loads(out["json"].read_text()) == expected.to_json()
    assert out["png"].read_bytes().startswith(b"\x89PNG")
    assert [line.split()[0] for line in printed.splitlines()] == ["recall", "0", "1", "2"]
    dial("--values", "0,2", "--out", out["md"])
    assert out["md"].read_text() == expected.to_markdown()
    dial("--values", "2,0,1", "--out", out["csv"])
    pd.testing.assert_frame_equal(pd.read_csv(out["csv"]), expected.table)


def test_a_calibrated_model_on_another_split(
    dial: Callable[..., str], model: Path, shop2: Domain, tmp_path: Path
) -> None:
    dial("--values", "0", "--calibrate", "--split", "validation", "--out", tmp_path / "dial.json")
    calibrated = CalibratedPreRec(PreRec.load(model, "cpu"), split_users(shop2).train)
    expected = popularity_dial(calibrated, shop2, [0], measurement=Measurement(split="validation", **MEASUREMENT))
    assert json.loads((tmp_path / "dial.json").read_text()) == expected.to_json()


@pytest.mark.parametrize(
    ("values", "says"),
    [("0,loud", "--values 0,loud: expected numbers"), ("0,inf", "--values 0,inf: expected finite numbers")],
)
def test_bad_values_are_rejected(
    refused: Callable[..., None], world: Path, model: Path, tmp_path: Path, values: str, says: str
) -> None:
    where = ("--model", model, "--domain", world / "sim-2", "--out", tmp_path / "x.json")
    refused("dial", *where, "--values", values, says=says)
