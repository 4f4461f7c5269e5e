"""Run by each of two processes that `torch.distributed.run` starts: what `Processes` promises, checked from inside."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from prerec_pyro.errors import InputError
from prerec_pyro.training.distributed import Processes, joined
from prerec_pyro.training.objective import map_trainer
from tests.support.models import program_and_guide, small_encoded, small_graph, small_sources, training


def means_of_gradients(processes: Processes) -> None:
    """Those of parameters that one, both or none has a gradient of; of tables by rows, which may meet."""
    one, both, none = (nn.Parameter(torch.zeros(2, 3)) for _ in range(3))
    table, untouched, lone = (nn.Parameter(torch.zeros(1000, 2)) for _ in range(3))
    if processes.rank == 1:
        one.grad = torch.full((2, 3), 5.0)
        lone.grad = torch.sparse_coo_tensor([[7]], [[2.0, 4.0]], lone.shape, check_invariants=False)
    both.grad = torch.full((2, 3), 1.0 + processes.rank)
    rows = [[4, 4, 9], [9, 999]][processes.rank]  # 4 twice: gradients of held batches are not summed yet
    values = torch.arange(2.0 * len(rows)).reshape(-1, 2) + 10 * processes.rank
    table.grad = torch.sparse_coo_tensor([rows], values, table.shape, check_invariants=False)
    processes.average([one, both, none], [table, untouched, lone])
    assert torch.equal(one.grad, torch.full((2, 3), 2.5))
    assert torch.equal(both.grad, torch.full((2, 3), 1.5))
    assert none.grad is None
    assert untouched.grad is None
    expected = torch.zeros(1000, 2)
    expected[4], expected[9], expected[999] = torch.tensor([[2.0, 4.0], [14.0, 16.0], [12.0, 13.0]]) / 2
    assert torch.equal(table.grad.to_dense(), expected)
    assert table.grad.is_sparse
    assert torch.equal(lone.grad.coalesce().values(), torch.tensor([[1.0, 2.0]]))


def the_first_answers_for_all(processes: Processes) -> None:
    asked = []
    found = processes.first(lambda: asked.append(1) or 0.25)
    assert (found, len(asked)) == (0.25, int(processes.rank == 0))

    def fails() -> float:
        raise OSError("the disk is full")

    try:
        processes.first(fails)
    except OSError:
        assert processes.rank == 0
    except InputError as error:
        assert processes.rank == 1
        assert "the first of the processes has failed" in str(error)
    else:
        raise AssertionError("it went on")


def what_differs_is_named(processes: Processes) -> None:
    processes.check_alike({"seed": 0, "data": ["a", "b"]})
    for facts, says in (
        ({"seed": processes.rank, "data": ["a"]}, "differ in seed;"),
        (dict.fromkeys("ab"[: 1 + processes.rank], 0), "different commands"),
    ):
        try:
            processes.check_alike(facts)
        except InputError as error:
            assert says in str(error), error
        else:
            raise AssertionError("it went on")


def one_goes_first(processes: Processes, folder: Path) -> None:
    with processes.one_first():
        if processes.rank == 0:
            time.sleep(0.3)
        assert (folder / "warm").exists() == bool(processes.rank)
        (folder / "warm").touch()


def nothing_dense_is_sent() -> None:
    """Two epochs over a catalogue that is larger than all else: no message is as large as its table."""
    sizes = []

    def watched(name: str, of: int) -> None:
        send = getattr(dist, name)

        def noted(*arguments: object) -> object:
            sizes.append(arguments[of].numel())
            return send(*arguments)

        setattr(dist, name, noted)

    for name, of in (("all_reduce", 0), ("broadcast", 0), ("all_gather", 1)):
        watched(name, of)
    sources = small_sources(small_encoded("many", num_items=5000))
    loop = map_trainer(*program_and_guide(small_graph(1), sources), sources, training(epochs=2))
    loop.fit(lambda: 0.5)
    rows = max(parameter.numel() for parameter in loop.objective.parameters())
    assert rows == 5000 * 4
    assert len(sizes) > 10
    assert max(sizes) < rows / 10, max(sizes)


def threads() -> set[str]:
    """Names of the threads of this process, also of those that Python does not know."""
    tasks = Path("/proc/self/task")
    return {(task / "comm").read_text().strip() for task in tasks.iterdir()} if tasks.exists() else set()


def main() -> None:
    with joined("cpu") as processes:
        assert processes.size == 2
        means_of_gradients(processes)
        the_first_answers_for_all(processes)
        what_differs_is_named(processes)
        one_goes_first(processes, Path(sys.argv[1]))
        nothing_dense_is_sent()
        processes.first_does(lambda: (Path(sys.argv[1]) / "done").touch())
    left = {name for name in threads() if "gloo" in name}
    assert not left, f"the group is held by something, and its threads may abort the process as it ends: {left}"


if __name__ == "__main__":
    main()
