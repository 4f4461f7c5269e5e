"""The benchmarks that need neither a model nor a real log run to their end at a small size."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prerec_pyro.data.simulation.simulate import simulate

FOLDER = Path(__file__).parent.parent / "benchmarks"

SMALL = {
    "speed/approximate_lists": "--items 3000 --users 8 --cells 4",
    "speed/catalogue_size": "--items 500 1000 --steps 1",
    "speed/corpus_epoch": "{domain} --drawn-texts --steps 2",
    "ranking/drift": "--logs 2 --users 200 --items 50",
    "speed/encoding": "--domain {domain} --texts 8 --rounds 1",
    "speed/epoch_size": "--interactions 5000 10000 --items 200",
    "speed/paper_epoch": "--share 0.002 --steps 2",
    "speed/parquet_import": "--rows 20000",
    "speed/popularity_lookups": "--events 2000 --items 50 --lookups 2000",
    "speed/scoring": "--items 2000 --users 256 --dim 8",
    "speed/step_floor": "--domain {domain} --steps 1",
    "speed/train_step": "--domain {domain} --rounds 1 --steps 1 --padded-steps 1 --batch-tokens 512",
    "speed/xmarket_import": "--interactions 2000 --items 100 --users 200",
}


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An imported domain with texts."""
    folder = tmp_path_factory.mktemp("benchmarks") / "store"
    simulate(num_domains=1, num_users=300, num_items=400, seed=0)[0].domain.save(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_it_runs_at_a_small_size(name: str, domain: Path) -> None:
    command = [sys.executable, str(FOLDER / f"{name}.py"), *SMALL[name].format(domain=domain).split()]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
