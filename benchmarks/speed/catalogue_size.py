"""Does a training step cost more where the catalogue is larger?

    python benchmarks/speed/catalogue_size.py [--items 10000 100000 1000000] [--steps 30]

Drawn domains of the same 100,000 users with 500,000 interactions and more and more items; the default graph, free D and
V, default training. Steps of the three are timed in turn, the batch's making and the step itself apart, and the table
gives medians. Prediction: a batch names at most 4,352 items, whatever the catalogue, so the ratio is 1 but for caches.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from drawn_logs import draw_domain

from prerec_pyro.data.batching.batch import Batch
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

USERS, INTERACTIONS = 100_000, 500_000
TARGET = 1.15


def make(num_items: int) -> tuple[Trainer, Iterator[Callable[[], Batch]]]:
    """Return a trainer of one drawn domain, and its batches yet to be made."""
    domain = draw_domain(f"{num_items}", num_items, USERS, INTERACTIONS, text_dim=384)
    encoded, config = encode_domain(domain), TrainConfig()
    torch.manual_seed(0)
    graph = ExtendedGraph(ExtendedConfig(), num_domains=1, text_dim=384)
    program = NonCenteredModel(graph, FREE_BY_DEFAULT)
    source = Source(encoded, split_users(domain).train, 0, 0)
    trainer = map_trainer(program, map_guide(program, num_items), [source], config)
    trainer.objective.train()
    return trainer, (made for number in range(1, 1000) for made in source.epoch(config, number))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    runs = {num_items: make(num_items) for num_items in options.items}
    making: dict[int, list[float]] = {num_items: [] for num_items in runs}
    stepping: dict[int, list[float]] = {num_items: [] for num_items in runs}
    queries: dict[int, list[int]] = {num_items: [] for num_items in runs}
    for number in range(options.steps + 2):
        for num_items, (trainer, batches) in runs.items():
            start = time.perf_counter()
            batch = next(batches)()
            made = time.perf_counter()
            float(trainer.step(batch))
            if number >= 2:
                making[num_items].append(made - start)
                stepping[num_items].append(time.perf_counter() - made)
                queries[num_items].append(batch.num_queries)
    threads = torch.get_num_threads()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {threads} threads, torch {torch.__version__}")
    print(f"{USERS:,} users, {INTERACTIONS:,} interactions, {options.steps} steps of each in turn, medians\n")
    print(f"{'items':>12}{'queries':>10}{'batch, ms':>12}{'step, ms':>12}{'both, ms':>12}{'ratio':>8}")
    least = None
    for num_items in runs:
        parts = [1000 * statistics.median(times[num_items]) for times in (making, stepping)]
        both = 1000 * statistics.median(np.add(making[num_items], stepping[num_items]))
        least = least or both
        row = f"{num_items:12,}{statistics.mean(queries[num_items]):10.0f}{parts[0]:12.1f}{parts[1]:12.1f}{both:12.1f}"
        print(f"{row}{both / least:8.2f}")
    print(f"\nmost memory held {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB; target {TARGET}")


if __name__ == "__main__":
    main()
