"""What is the least that a training step, and so an epoch, could take on this machine?

    python benchmarks/speed/step_floor.py [--domain DIR] [--steps 30] [--epoch-steps 768]

In one run: the machine's rates (a GEMM of the feed-forward layer's shape, a copy of 256 MB), the operations of a step
as PyTorch's counter counts them, the bytes that it cannot but move (what is kept for the backward pass written and
read, its gradient written and read; parameters, gradients and Adam's moments read and written), and the step itself.
The floor is operations over the one rate plus bytes over the other; the last column is how many times that it takes.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from drawn_logs import draw_domain
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import encode_domain
from prerec_pyro.data.splits import split_users
from prerec_pyro.inference.guides.free_nodes import FREE_BY_DEFAULT
from prerec_pyro.inference.guides.map_guide import NonCenteredModel, map_guide
from prerec_pyro.models.graphs.config import ExtendedConfig
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.training.batch_schedule import Source
from prerec_pyro.training.objective import map_trainer
from prerec_pyro.training.recipes import TrainConfig
from prerec_pyro.training.trainer import Trainer

ADAM = 7  # numbers moved a parameter: it, and two moments, read and written; its gradient read


def seconds(work: Callable[[], object], rounds: int = 15) -> float:
    """Return the median time of some work."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def operations(trainer: Trainer, batch: Batch) -> float:
    """Return the floating-point operations of a forward and a backward pass."""
    with FlopCounterMode(display=False) as counter:
        trainer.objective(batch).backward()
    return float(counter.get_total_flops())


def bytes_moved(trainer: Trainer, batch: Batch) -> float:
    """Return the bytes that a step cannot but move."""
    kept: dict[int, int] = {}
    own = {parameter.untyped_storage().data_ptr() for parameter in trainer.objective.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = trainer.objective(batch)
    loss.backward()
    dense = sum(p.numel() for group in trainer.optimizers[0].param_groups for p in group["params"])
    rows = len(batch.items) * trainer.objective.model.graph.config.latent_dim
    for optimizer in trainer.optimizers:
        optimizer.zero_grad(set_to_none=True)
    return 4.0 * sum(kept.values()) + 4.0 * ADAM * (dense + rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domain", type=Path)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--epoch-steps", type=int, default=768)
    options = parser.parse_args()
    domain = Domain.load(options.domain) if options.domain else draw_domain("drawn", 99_376, 99_237, 197_196)
    encoded, config = encode_domain(domain), TrainConfig()
    torch.manual_seed(0)
    program = NonCenteredModel(
        ExtendedGraph(ExtendedConfig(), num_domains=1, text_dim=encoded.texts.shape[1]), FREE_BY_DEFAULT
    )
    source = Source(encoded, split_users(domain).train, 0, 0)
    trainer = map_trainer(program, map_guide(program, encoded.num_items), [source], config)
    trainer.objective.train()
    batches = [batch for _, batch in zip(range(options.steps), source.batches(config, 1), strict=False)]
    left, right = torch.randn(config.batch_tokens, 256), torch.randn(256, 1024)
    gemm = 2.0 * left.numel() * right.shape[1] / seconds(lambda: left @ right, 60)
    block, other = torch.zeros(1 << 26), torch.zeros(1 << 26)
    copy = 2.0 * 4 * block.numel() / seconds(lambda: other.copy_(block))
    work = statistics.mean(operations(trainer, batch) for batch in batches[:5])
    moved = statistics.mean(bytes_moved(trainer, batch) for batch in batches[:5])
    for batch in batches[:2]:
        trainer.step(batch)
    ordered = iter(batches)
    step = seconds(lambda: float(trainer.step(next(ordered))), len(batches))
    floor = work / gemm + moved / copy
    threads = torch.get_num_threads()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {threads} threads, torch {torch.__version__}; {domain.name}")
    print(f"GEMM {config.batch_tokens} × 256 × 1024{gemm / 1e9:12.1f} GFLOP/s    copy {copy / 1e9:.1f} GB/s, both ways")
    print(f"{'':14}{'GFLOP':>8}{'MB':>8}{'floor, s':>12}{'measured, s':>13}{'ratio':>8}")
    for name, count in (("a step", 1), (f"{options.epoch_steps} steps", options.epoch_steps)):
        row = f"{name:14}{count * work / 1e9:8,.0f}{count * moved / 1e6:8,.0f}{count * floor:12.3f}"
        print(f"{row}{count * step:13.3f}{step / floor:8.2f}")


if __name__ == "__main__":
    main()
