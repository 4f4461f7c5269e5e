"""The built wheel holds the package's data: the shipped models, with their cards."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from prerec_pyro.recommenders.pretrained.shipped import SHIPPED, shipped_names

ROOT = Path(__file__).resolve().parent.parent
FILES = ("weights.safetensors", "config.json", "manifest.json", "MODEL_CARD.md")
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names in a wheel built by the project's own settings, from a tree of a few of its files and two models."""
    pytest.importorskip("setuptools", minversion="77", reason="setuptools, which builds the package, is too old")
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "README.md", "LICENSE", "prerec_pyro/__init__.py", "prerec_pyro/_version.py"):
        (tree / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    for model in ("base", "open"):
        for name in FILES:
            (tree / "prerec_pyro" / "pretrained" / model).mkdir(parents=True, exist_ok=True)
            (tree / "prerec_pyro" / "pretrained" / model / name).write_text(name)
    done = subprocess.run([sys.executable, "-c", BUILD, tree], cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tree.glob("*.whl"))) as built:
        return built.namelist()


def test_the_wheel_holds_every_file_of_every_model(wheel: list[str]) -> None:
    assert {f"prerec_pyro/pretrained/{model}/{name}" for model in ("base", "open") for name in FILES} <= set(wheel)
    assert "prerec_pyro/__init__.py" in wheel
    assert len(wheel) == len(set(wheel))


@pytest.mark.parametrize("name", shipped_names() or [None])
def test_each_shipped_model_is_whole_and_small(name: str | None) -> None:
    if name is None:
        pytest.skip(f"no model ships in {SHIPPED}")
    from prerec_pyro.recommenders.prerec import PreRec

    sizes = {path.name: path.stat().st_size for path in (SHIPPED / name).iterdir()}
    assert set(sizes) == set(FILES)
    assert sum(sizes.values()) < 8 * 2**20
    model = PreRec.from_pretrained(name, device="cpu")
    assert model.facts["portable"] is True
    assert model.sources.item_ids == {}
    assert all("terms" in one and "fingerprint" not in one for one in model.facts["domains"])
    assert name != "open" or all(one["any_use"] for one in model.facts["domains"])
