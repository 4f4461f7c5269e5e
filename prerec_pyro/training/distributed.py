"""Processes that train one model together: their share of the batches, and the mean of their gradients.

Training is data-parallel, after `accelerate launch` or `torchrun`. Each process holds the whole model and makes every
n-th batch of the same stream; gradients are averaged before a step. No message grows with the catalogue.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from prerec_pyro.errors import InputError
from prerec_pyro.training.device import choose_device

# One process may encode texts or validate for hours while the others wait. A process that dies is noticed at once all
# the same, by its connections or by the launcher.
PATIENCE = timedelta(hours=12)


class Processes:
    """The processes of a training run, seen from one of them. A single process sends nothing and never waits.

    All processes must call every method except `is_mine`, in the same order.

    Attributes
    ----------
    rank
        Rank of this process, from 0.
    size
        Number of processes.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    def is_mine(self, number: int) -> bool:
        """Return whether this process makes the batch of that number."""
        return number % self.size == self.rank

    def average(self, dense: Iterable[nn.Parameter], sparse: Iterable[nn.Parameter] = ()) -> None:
        """Replace each gradient by its mean over the processes; a gradient that none of them has stays None.

        Parameters
        ----------
        dense
            Parameters with dense gradients, which are sent as one message.
        sparse
            Tables, ``(num_rows, B)``, with sparse gradients; only their rows are sent.
        """
        if self.size == 1:
            return
        self._average_dense(list(dense))
        for table in sparse:
            self._average_rows(table)

    def total(self, numbers: Tensor) -> Tensor:
        """Return the sum over processes."""
        if self.size > 1:
            dist.all_reduce(numbers)
        return numbers

    def first(self, work: Callable[[], float]) -> float:
        """Return the result of `work`, such as validation, which only the first process does.

        Raises
        ------
        InputError
            In the other processes, if it failed; the first raises the error itself.
        """
        if self.size == 1:
            return work()
        answer, device = [0.0, 0.0], _device()
        try:
            if self.rank == 0:
                answer = [1.0, work()]
        finally:  # the others must not wait for one that has failed
            shared = torch.tensor(answer, dtype=torch.float64, device=device)
            dist.broadcast(shared, 0)
        if not shared[0]:
            raise InputError("the first of the processes has failed; its own message says why")
        return float(shared[1])

    def first_does(self, work: Callable[[], object]) -> None:
        """Do `work`, such as writing a file, in the first process while the others wait; see `first`."""

        def done() -> float:
            work()
            return 0.0

        self.first(done)

    def start_alike(self, tensors: Iterable[Tensor]) -> None:
        """Copy the tensors of the first process to the others."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), 0)

    def check_alike(self, facts: Mapping[str, Any]) -> None:
        """Raise `InputError` in all processes unless all have the same facts, plain JSON; name those that differ."""
        if self.size == 1:
            return
        texts = [json.dumps([name, facts[name]], sort_keys=True) for name in sorted(facts)]
        digests = b"".join(hashlib.sha256(text.encode()).digest()[:8] for text in texts)
        mine = torch.tensor([list(digests)], dtype=torch.uint8, device=_device())  # (1, 8 * num_facts)
        counts = self._gathered(torch.tensor([len(digests)], device=mine.device))
        if len({int(count) for count in counts}) > 1:
            raise InputError("the processes were given different commands; give all of them the same command")
        theirs = torch.stack(self._gathered(mine))[:, 0].cpu()  # (size, 8 * num_facts)
        differs = (theirs != theirs[0]).any(0).reshape(-1, 8).any(1).tolist()
        if any(differs):
            names = ", ".join(name for name, other in zip(sorted(facts), differs, strict=True) if other)
            raise InputError(
                f"the processes do not train the same model on the same data: they differ in {names}; give all "
                "machines the same command and the same files"
            )

    @contextmanager
    def one_first(self) -> Iterator[None]:
        """Let one process of each machine run the block before the others, which then find its cache."""
        if self.size == 1:
            yield
            return
        goes_first = os.environ.get("LOCAL_RANK", "0") == "0"
        if not goes_first:
            dist.barrier()
        try:
            yield
        finally:
            if goes_first:
                dist.barrier()

    def _average_dense(self, parameters: list[nn.Parameter]) -> None:
        given = [p.grad is not None for p in parameters]
        parts = [(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in parameters]
        flags = torch.tensor(given, dtype=torch.float32, device=parts[0].device)
        everything = torch.cat([*parts, flags])  # one message, whatever the number of layers
        dist.all_reduce(everything)
        *means, counts = (everything / self.size).split([*(len(part) for part in parts), len(flags)])
        for parameter, mean, count in zip(parameters, means, counts.tolist(), strict=True):
            parameter.grad = mean.view_as(parameter).to(parameter.dtype) if count else None

    def _average_rows(self, table: nn.Parameter) -> None:
        rows, values = torch.zeros(0, dtype=torch.int64, device=table.device), table.detach()[:0]
        if table.grad is not None:
            grad = table.grad.coalesce()
            rows, values = grad.indices()[0], grad.values()  # (num_rows,), (num_rows, B)
        counts = [int(n) for n in self._gathered(torch.tensor([len(rows)], device=table.device))]
        padded = [nn.functional.pad(rows, (0, max(counts) - len(rows)))]
        padded.append(nn.functional.pad(values, (0, 0, 0, max(counts) - len(rows))))
        rows, values = (
            torch.cat([part[:count] for part, count in zip(self._gathered(mine), counts, strict=True)])
            for mine in padded
        )
        mean = torch.sparse_coo_tensor(rows[None], values / self.size, table.shape, check_invariants=False)
        table.grad = mean if max(counts) else None

    def _gathered(self, mine: Tensor) -> list[Tensor]:
        """Return the tensor of each process, all of one shape, in the order of ranks."""
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(parts, mine.contiguous())
        return parts


def current() -> Processes:
    """Return the processes of the current group; a single process if there is no group."""
    if dist.is_available() and dist.is_initialized():
        return Processes(dist.get_rank(), dist.get_world_size())
    return Processes()


@contextmanager
def joined(device: str = "auto") -> Iterator[Processes]:
    """Join the processes that `accelerate launch` or `torchrun` started, within the block.

    They communicate by NCCL if each has a CUDA device of its own, and by gloo on CPUs. A process without a launcher is
    single.

    Parameters
    ----------
    device
        Device by name; see `choose_device`.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield current()
        return
    # The first optimiser imports it. Imported while there is a group, it would hold the group for ever; the threads of
    # gloo would then run when the interpreter ends, and might abort the process.
    importlib.import_module("torch._dynamo")
    from accelerate import PartialState  # takes half a second, and only launched processes need it

    state = PartialState(cpu=choose_device(device).type == "cpu", timeout=PATIENCE)
    try:
        yield current()
    finally:
        state.destroy_process_group()


def _device() -> torch.device:
    """Return the device of small messages: NCCL sends from the GPU."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
