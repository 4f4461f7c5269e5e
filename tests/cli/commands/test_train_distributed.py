"""``prerec-pyro train`` in two processes, as `torchrun` starts them: what one process gives, and no word twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from safetensors.numpy import load_file

Run = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[3]
# A rank dies in the second epoch as if the machine had: nothing is said, nothing cleaned up.
DIES = """
import os, signal, sys
from prerec_pyro.cli.main import main
from prerec_pyro.training.trainer import Trainer
whole = Trainer._epoch
def epoch(trainer, number):
    if (number, os.environ["RANK"]) == (2, "1"):
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(trainer, number)
Trainer._epoch = epoch
main(sys.argv[1:])
"""


def together(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a module or a script in two processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [*launcher, *map(str, command)],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
    )


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def command(world: Path) -> Callable[..., list[object]]:
    """The arguments of a training run of three epochs, small, with dropout, into a folder."""
    # In float32 and with one thread in each process, so that sums are of one order: W_d, whose gradient is nothing but
    # rounding, is Adam's to magnify.
    settings = {"latent_dim": 8, "batch_tokens": 128, "k_percent": 5, "learning_rate": 0.01, "precision": "float32"}
    chosen = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    sources = ["--source", world / "sim-0", "--source", world / "sim-1"]
    last = ["--epochs", 3, "--device", "cpu"]

    def arguments(out: Path, *more: object) -> list[object]:
        tiny = ["--config", ROOT / "tests/cli/tiny.yaml", "--set", "item_rate=0.01"]
        own = [] if {"unisrec", "sasrec"} & set(more) else tiny
        return ["train", *sources, "--out", out, *own, *chosen, *last, *more]

    return arguments


def assert_same(one: Path, other: Path) -> None:
    """Equal weights and curves, but for the order of a sum."""
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in (one, other)]
    histories = [manifest["history"] for manifest in manifests]
    assert [row["num_queries"] for row in histories[0]] == [row["num_queries"] for row in histories[1]]
    for name in ("loss", "validation"):
        curves = [[row[name] for row in history] for history in histories]
        assert curves[0] == pytest.approx(curves[1], rel=1e-5)
    assert {manifest["batches_a_step"] for manifest in manifests} == {2}
    weights = [load_file(folder / "weights.safetensors") for folder in (one, other)]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        np.testing.assert_allclose(value, weights[1][name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_two_processes_are_one_that_takes_two_batches_a_step(
    run: Run, command: Callable[..., list[object]], tmp_path: Path
) -> None:
    alone = run(*command(tmp_path / "one", "--set", "accumulate=2"))
    assert alone.exit_code == 0, alone.stderr
    done = together("-m", "prerec_pyro", *command(tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "one", tmp_path / "two")
    ours = ("source", "epoch", "2 processes", "best", "wrote")
    said = [line for line in done.stderr.splitlines() if line.startswith(ours)]
    expected = alone.stderr.replace(str(tmp_path / "one"), str(tmp_path / "two")).splitlines()
    assert said == [*expected[:2], "2 processes train together", *expected[2:]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_process_that_dies_stops_the_other_and_the_run_goes_on_where_it_was(
    run: Run, command: Callable[..., list[object]], tmp_path: Path
) -> None:
    (tmp_path / "dies.py").write_text(DIES)
    done = together(tmp_path / "dies.py", *command(tmp_path / "two"))
    assert done.returncode != 0
    assert "exitcode  : -9" in done.stderr
    state = tmp_path / ".two.training"
    assert json.loads((state / "progress.json").read_text())["next_epoch"] == 2
    assert not (tmp_path / "two").exists()
    refused = run(*command(tmp_path / "two", "--resume"))
    assert refused.exit_code == 2
    assert "other settings or data (batches_a_step)" in refused.stderr
    done = together("-m", "prerec_pyro", *command(tmp_path / "two", "--resume"))
    assert done.returncode == 0, done.stderr
    assert "\nepoch 1:" not in done.stderr
    assert run(*command(tmp_path / "one", "--set", "accumulate=2")).exit_code == 0
    assert_same(tmp_path / "one", tmp_path / "two")
    assert not state.exists()


def test_what_is_refused_is_said_once(command: Callable[..., list[object]], tmp_path: Path) -> None:
    done = together("-m", "prerec_pyro", *command(tmp_path / "two", "--set", "foo=1"))
    assert done.returncode != 0
    assert done.stderr.count("\nError: --set foo=1: there is no setting 'foo'") <= 1
    assert "--set foo=1: there is no setting 'foo'" in done.stderr
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["unisrec", "sasrec", "prerec_n"])
def test_every_method_trains_together(
    run: Run, command: Callable[..., list[object]], tmp_path: Path, method: str
) -> None:
    assert run(*command(tmp_path / "one", "--set", "accumulate=2", "--method", method)).exit_code == 0
    done = together("-m", "prerec_pyro", *command(tmp_path / "two", "--method", method))
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "one", tmp_path / "two")
