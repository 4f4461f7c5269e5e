"""The first part of the demo: lists with titles from a shipped model, or a line that says that there is none."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

from prerec_pyro.cli.main import main
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.simulation.simulate import simulate
from prerec_pyro.recommenders.pretrained import shipped
from tests.support.models import prerec, training
from tests.support.scripts import load_script


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script of the demo; it runs commands in this process, and no model ships yet."""
    script = load_script("examples/demo.py")
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "package")

    def command(*arguments: str) -> None:
        result = CliRunner().invoke(main, [*arguments, "--device", "cpu"])
        assert result.exit_code == 0, result.stderr

    monkeypatch.setattr(script, "command", command)
    return script


@pytest.fixture
def store(tmp_path: Path) -> Domain:
    """``sim-3`` in the folder of the demo, with embeddings in place of an encoder."""
    drawn = simulate(4, num_items=30, num_users=40, latent_dim=4)[3]
    domain = drawn.domain.with_embeddings(drawn.truth.item_mean @ np.random.default_rng(0).standard_normal((4, 6)))
    domain.save(tmp_path / "domains" / "sim-3")
    return domain


def test_lists_have_titles_and_take_no_training(
    demo: ModuleType, store: Domain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prerec(training=training(epochs=0)).fit([store]).export(tmp_path / "package" / "base")
    demo.lists_without_training(tmp_path)
    shown = capsys.readouterr().out
    first = shown.split(store.user_ids[1])[0]
    seen = store.item_texts[store.item_index[: store.offsets[1]]]
    assert first.strip().startswith(f"{store.user_ids[0]} chose last: ")
    assert first.strip().splitlines()[0].endswith("; ".join(seen[-3:]))
    titles = [line.partition(". ")[2] for line in first.strip().splitlines()[1:]]
    assert len(titles) == 5
    assert set(titles) <= set(store.item_texts)
    assert all(f"{user} chose last" in shown for user in store.user_ids[:3])
    assert store.user_ids[3] not in shown
    assert "No model was trained for these lists" in shown


def test_a_copy_without_models_says_so(
    demo: ModuleType, store: Domain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.lists_without_training(tmp_path)
    assert "ships no model called base" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"domains"}
