"""``prerec-pyro reproduce transfer`` and ``scaling``: what they write, that they go on, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

SHORT = (
    *("--set", "latent_dim=8", "--set", "num_layers=1", "--set", "num_negatives=16"),
    *("--epochs", 1, "--seeds", 1, "--k-percent", 5, "--device", "cpu", "--methods", "pop,prerec"),
)


@pytest.fixture
def reproduce(run: Callable[..., Result], world: Path, tmp_path: Path) -> Callable[..., Result]:
    """Run a command on the three domains of the world, the first two of which overlap."""
    overlaps = tmp_path / "overlaps.json"
    overlaps.write_text('[["sim-0", "sim-1"]]')
    places = ("--corpus", world, "--overlaps", overlaps, "--out", tmp_path / "out")
    return lambda name, *more: run("reproduce", name, *places, *SHORT, *more)


def test_transfer_is_written_and_gone_on_with(reproduce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = reproduce("transfer")
    assert first.exit_code == 0, first.stderr
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        *("cells", "models", "transfer.json", "transfer.md", "transfer.png", "transfer.svg")
    }
    assert first.stdout == (out / "transfer.md").read_text()
    assert "target 3 of 3: sim-2, sources: 2" in first.stderr
    assert "evaluating prerec-sim-2-seed0: " in first.stderr
    report = json.loads((out / "transfer.json").read_text())
    assert [one["sources"] for one in report["targets"]] == [["sim-2"], ["sim-2"], ["sim-0", "sim-1"]]
    assert len(list((out / "models").iterdir())) == 2

    from prerec_pyro.reproduction.study import Study

    monkeypatch.setattr(Study, "_measure", lambda *_: pytest.fail("measured a finished cell again"))
    assert reproduce("transfer").stdout == first.stdout


def test_scaling_is_drawn_with_its_numbers(reproduce, tmp_path: Path) -> None:
    found = reproduce("scaling", "--domains", "1,9", "--orders", 2, "--target", "sim-2", "--max-queries", 20, "-q")
    assert (found.exit_code, found.stderr) == (0, "")
    out = tmp_path / "out"
    assert found.stdout == (out / "scaling.md").read_text()
    assert "**A sample, not the result:** about 20 queries" in found.stdout
    assert (out / "scaling.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads((out / "scaling.json").read_text())
    assert [(one["order"], one["domains"]) for one in report["points"]] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert report["about"]["sizes"] == [1, 2]


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("transfer", ["--target", "shop"], ["--target shop: is no domain of the corpus", "sim-0, sim-1, sim-2"]),
        ("transfer", ["--source", "shop"], "--source shop: is no domain of the corpus"),
        ("transfer", ["--source", "sim-0"], "target sim-0: no source is left"),
        ("transfer", ["--methods", "pop,best"], "'best' is no row here"),
        ("transfer", ["--methods", "prerec"], "--methods: a ratio needs"),
        ("transfer", ["--set", "prerec_n.latent=3"], "there is no setting 'latent'"),
        ("transfer", ["--k-percent", "0"], "--k-percent 0.0: is no percentage"),
        ("scaling", ["--methods", "pop,sbert"], "--methods: a ratio needs"),
        ("scaling", ["--domains", "1,x"], "--domains 1,x: 'x' is no number of 1 or more"),
        ("scaling", ["--domains", "0"], "--domains 0: '0' is no number"),
    ],
)
def test_what_cannot_be_is_refused(refused, world: Path, tmp_path: Path, name: str, options: list[str], says) -> None:
    places = ("--corpus", world / "sim-0", "--corpus", world / "sim-1", "--corpus", world / "sim-2")
    refused("reproduce", name, *places, "--out", tmp_path / "new", "--device", "cpu", "-q", *options, says=says)


def test_files_that_cannot_be_are_refused(refused, world: Path, tmp_path: Path) -> None:
    overlaps, out = tmp_path / "overlaps.json", ("--out", tmp_path / "new", "-q")
    overlaps.write_text('[["sim-0", "sim-9"]]')
    refused(
        "reproduce", "transfer", "--corpus", world, "--overlaps", overlaps, *out, says="'sim-9' is not in the corpus"
    )
    refused("reproduce", "transfer", "--corpus", tmp_path / "nowhere", *out, says="nowhere: is no folder")
    refused("reproduce", "transfer", "--corpus", world, "--out", world, "-q", says="is neither empty nor an earlier")
