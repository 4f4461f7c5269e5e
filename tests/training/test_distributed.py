"""Data-parallel training: what processes tell each other, and what one alone need not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from prerec_pyro.training.batch_schedule import BatchSchedule
from prerec_pyro.training.distributed import Processes, current, joined
from prerec_pyro.training.objective import map_trainer
from tests.support.models import program_and_guide, small_encoded, small_graph, small_sources, training

TESTS = Path(__file__).resolve().parent.parent
SOURCES = small_sources(small_encoded("a", seed=1, num_users=30), small_encoded("b", num_items=9, num_users=10, seed=2))


def test_two_processes_keep_every_promise(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")])
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, str(TESTS / "support" / "launched.py"), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "done").exists()


def test_one_alone_needs_no_group() -> None:
    with joined("cpu") as processes:
        assert (processes.rank, processes.size) == (0, 1) == (current().rank, current().size)
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.ones(2)
    processes.average([parameter])
    processes.check_alike({"seed": 0})
    with processes.one_first():
        assert processes.first(lambda: 0.5) == 0.5
    assert torch.equal(processes.total(parameter.grad), torch.ones(2))
    assert all(processes.is_mine(number) for number in range(5))


@pytest.mark.parametrize(("accumulate", "size"), [(1, 1), (3, 1), (1, 3), (2, 2)])
@pytest.mark.parametrize("together", [False, True])
def test_every_batch_is_read_by_one_process_and_steps_are_whole(accumulate: int, size: int, together: bool) -> None:
    config = training(accumulate=accumulate)
    alone = BatchSchedule(SOURCES, training(), Processes(), together)
    plain = alone.schedule(1)
    everything = dict(alone.batches(BatchSchedule(SOURCES, config, Processes(0, size), together).schedule(1), 1))
    found = {}
    for rank in range(size):
        reading = BatchSchedule(SOURCES, config, Processes(rank, size), together)
        schedule = reading.schedule(1)
        assert len(schedule) % (accumulate * size) == 0 <= len(schedule) - len(plain) < accumulate * size
        assert (schedule[: len(plain)] == plain).all()
        mine = dict(reading.batches(schedule, 1))
        assert len(mine) == len(schedule) / size
        assert not found.keys() & mine.keys()
        found |= mine
    assert found.keys() == everything.keys() == set(range(len(everything)))
    for place, batches in everything.items():
        for one, other in zip(batches, found[place], strict=True):
            assert one.domain == other.domain
            assert torch.equal(one.items[one.history], other.items[other.history])
            assert torch.equal(one.items[one.negatives], other.items[other.negatives])


def test_a_step_of_several_batches_takes_the_mean_of_their_gradients() -> None:
    def loop(accumulate: int):
        graph = small_graph()  # without dropout
        one = map_trainer(*program_and_guide(graph, SOURCES), SOURCES, training(accumulate=accumulate))
        one.optimizers = [torch.optim.SGD(one.objective.parameters(), lr=1.0)]
        return one

    batches = [source.first_batch(training()) for source in SOURCES]
    held, apart = loop(2), [loop(1), loop(1)]
    before = {name: value.clone() for name, value in held.objective.state_dict().items()}
    held.step(batches[0])
    assert all(torch.equal(value, before[name]) for name, value in held.objective.state_dict().items())
    held.step(batches[1])
    for one, batch in zip(apart, batches, strict=True):
        one.step(batch)
    states = [one.objective.state_dict() for one in apart]
    moved = 0
    for name, value in held.objective.state_dict().items():
        expected = before[name] + sum(state[name] - before[name] for state in states) / 2
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)
        moved += not torch.equal(value, before[name])
    assert moved > 10
