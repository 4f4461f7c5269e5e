"""``prerec-pyro effect``: its files agree with `effect_report`, and bad options are rejected."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from prerec_pyro.data.domain import Domain
from prerec_pyro.recommenders.prerec import PreRec

FAST = ("--k-percent", "5", "--draws", "50", "--list-size", "5", "--device", "cpu")
MEASUREMENT = {"k_percent": 5.0, "draws": 50, "list_size": 5}


def test_report_figure_and_table(run: Callable, model: Path, world: Path, shop2: Domain, tmp_path: Path) -> None:
    expected = PreRec.load(model, "cpu").effect_report(shop2, as_if=["sim-1"], **MEASUREMENT)
    where = ("--model", model, "--domain", world / "sim-2", *FAST, "--as-if", "sim-1")
    result = run("effect", *where, "--out", tmp_path / "effect.json", "--plot", tmp_path / "effect.svg")
    assert result.exit_code == 0, result.stderr
    assert json.loads((tmp_path / "effect.json").read_text()) == expected.to_json()
    assert "<svg" in (tmp_path / "effect.svg").read_text()
    rows = result.stdout.splitlines()
    assert [row.split("  ")[0] for row in rows[:4]] == [
        *("change under", "do(D = sim-1)", "do(Z = 0)", "do(D = sim-1, Z = 0)")
    ]
    assert run("effect", *where, "--out", tmp_path / "effect.md").exit_code == 0
    assert (tmp_path / "effect.md").read_text() == expected.to_markdown()


@pytest.mark.parametrize(("graph", "edge"), [("extended", False), ("paper", True)])
def test_both_semantics_in_a_trained_domain(
    run: Callable, train_tiny: Callable, world: Path, tmp_path: Path, graph: str, edge: bool
) -> None:
    """Items depend on D through the edge D → V, which the paper's graph has."""
    assert train_tiny(tmp_path / "model", "--graph", graph).exit_code == 0
    levels = []
    for name in ("interventional", "counterfactual"):
        out = tmp_path / "effect.json"
        options = ("--model", tmp_path / "model", "--domain", world / "sim-0", "--semantics", name, "--out", out, *FAST)
        assert run("effect", *options).exit_code == 0
        found = json.loads(out.read_text())
        assert found["facts"]["trained_on_domain"]
        levels.append(found["arms"]["do(D = 0)"]["level"])
    assert (levels[0] != levels[1]) is edge


def test_an_unknown_domain_is_rejected(refused: Callable[..., None], world: Path, model: Path, tmp_path: Path) -> None:
    where = ("--model", model, "--domain", world / "sim-2", "--out", tmp_path / "x.json")
    refused("effect", *where, "--as-if", "sim-9", says="as_if 'sim-9': the model was not trained on this domain")
