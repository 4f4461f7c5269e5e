"""Fixtures of the command line: runs, rejected runs, a small shop, simulated domains and small models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from prerec_pyro.cli.main import main
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.simulation.simulate import simulate
from tests.support.list_files import read_lists

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """Run ``prerec-pyro`` with the given arguments, in this process."""
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def refused(tmp_path: Path, run: Run) -> Callable[..., None]:
    """Run ``prerec-pyro``, and check that it ends with status 2 and one message and leaves `tmp_path` unchanged."""

    def check(*arguments: object, says: str | list[str]) -> None:
        before = _tree(tmp_path)
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        messages = [line for line in result.stderr.splitlines() if not line.startswith(("reading ", "drawing "))]
        assert len(messages) == 1, messages
        assert messages[0].startswith("Error: ")
        for part in [says] if isinstance(says, str) else says:
            assert part in messages[0]
        assert _tree(tmp_path) == before

    return check


def _tree(folder: Path) -> dict[str, bytes | None]:
    """Return all files of `folder`, hidden ones too, with their contents."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with two valid files: an unknown item, a repeated item and an item without text."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "interactions.csv").write_text(
        "user,asin,date\nu,01,2015-09-29\nu,1,2015-09-28\nv,01,2015-09-27\nv,9,2015-09-27\n"
    )
    (folder / "items.csv").write_text('asin,title\n01,Apple pie\n1,"Bread, white"\n1,"Bread, white"\n2,\n')
    return folder


@pytest.fixture
def saved(shop: Path, run: Run, tmp_path: Path) -> Path:
    """Domain folder imported from `shop`."""
    assert run("data", "import", "csv", shop, "--out", tmp_path / "saved", "-q").exit_code == 0
    return tmp_path / "saved"


# A small model with learning rates so high that every part of it changes the scores.
TINY = (
    *("--config", Path(__file__).parent / "tiny.yaml"),
    *("--set", "latent_dim=8", "--set", "num_layers=1", "--set", "num_negatives=16", "--set", "batch_tokens=256"),
    *("--set", "k_percent=5", "--set", "learning_rate=0.01", "--set", "text_rate=0.01"),
    *("--epochs", "2", "--device", "cpu", "--quiet"),
)
ITEM_RATE = ("--set", "item_rate=0.01")  # of models in which V is free


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the domains ``sim-0``, ``sim-1``, ``sim-2`` with their own embeddings. Tests must not write to it."""
    folder = tmp_path_factory.mktemp("world")
    projection = np.random.default_rng(0).standard_normal((4, 6))
    for drawn in simulate(3, num_items=40, num_users=50, num_days=20, latent_dim=4):
        drawn.domain.with_embeddings(drawn.truth.item_mean @ projection).save(folder / drawn.domain.name)
    return folder


@pytest.fixture(scope="session")
def train_tiny(world: Path) -> Callable[..., Result]:
    """Train on ``sim-0`` and ``sim-1``: ``train_tiny(out, *more)``."""

    def train(out: Path, *more: object) -> Result:
        sources = ("--source", world / "sim-0", "--source", world / "sim-1")
        item_rate = () if "none" in more else ITEM_RATE
        arguments = [str(a) for a in ("train", *sources, "--out", out, *TINY, *item_rate, *more)]
        return CliRunner().invoke(main, arguments)

    return train


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, train_tiny: Callable[..., Result]) -> Path:
    """A PreRec trained on ``sim-0`` and ``sim-1``. Tests must not write to it."""
    out = tmp_path_factory.mktemp("models") / "prerec"
    result = train_tiny(out)
    assert result.exit_code == 0, result.stderr
    return out


@pytest.fixture(scope="session")
def model_n(tmp_path_factory: pytest.TempPathFactory, train_tiny: Callable[..., Result]) -> Path:
    """A PreRec_n trained on ``sim-0`` and ``sim-1``. Tests must not write to it."""
    out = tmp_path_factory.mktemp("models") / "prerec_n"
    result = train_tiny(out, "--method", "prerec_n")
    assert result.exit_code == 0, result.stderr
    return out


@pytest.fixture
def shop2(world: Path) -> Domain:
    """The domain ``sim-2``, which is new to the models."""
    return Domain.load(world / "sim-2")


@pytest.fixture
def infer(run: Run, world: Path, model: Path, tmp_path: Path) -> Callable[..., pd.DataFrame]:
    """Run ``infer`` on ``sim-2`` and return the lists; ``attrs["log"]`` holds the log lines."""

    def run_infer(*options: object, domain: Path = world / "sim-2", out: str = "lists.csv") -> pd.DataFrame:
        arguments = ("--model", model, "--domain", domain, "--out", tmp_path / out, "--device", "cpu")
        result = run("infer", *arguments, *options)
        assert (result.exit_code, result.stdout) == (0, ""), result.stderr
        lists = read_lists(tmp_path / out)
        lists.attrs["log"] = result.stderr
        return lists

    return run_infer
