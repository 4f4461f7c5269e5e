"""Options that `dial` and `effect` share: both reject the same mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["dial", "effect"])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--out", "x.txt"], "must end in .json, .md"),
        (["--out", "x.json", "--plot", "x.bmp"], "--plot x.bmp: the name must end in .png, .svg, .pdf"),
        (["--out", "{tmp}/x.json", "--plot", "{tmp}/x.json"], "must end in .png"),
        (["--k-percent", "0.001", "--out", "{tmp}/x.json"], "--k-percent 0.001: "),
        (
            ["--split", "train", "--calibrate", "--k-percent", "5", "--out", "{tmp}/x.json"],
            "--calibrate: reads the log of the training users",
        ),
        (["--out", "{world}/sim-2/x.json"], "which this command reads"),
        (["--out", "{tmp}/no/x.json", "--domain", "nowhere"], "nowhere: is no folder"),
    ],
)
def test_bad_options_are_rejected(
    refused: Callable[..., None], world: Path, model: Path, tmp_path: Path, name: str, options: list[str], says: str
) -> None:
    options = [option.format(tmp=tmp_path, world=world) for option in options]
    refused(name, "--model", model, "--domain", world / "sim-2", *options, says=says)


@pytest.mark.parametrize("name", ["dial", "effect"])
def test_a_model_without_confounders_is_rejected(
    refused: Callable[..., None], world: Path, model_n: Path, tmp_path: Path, name: str
) -> None:
    where = ("--model", model_n, "--domain", world / "sim-2", "--out", tmp_path / "x.json")
    refused(name, *where, says=["--model", "prerec_n, which has no D and no Z"])
