"""Is the time of an epoch proportional to the interactions?

    python benchmarks/speed/epoch_size.py [--interactions 100000 1000000 10000000] [--items 50000]

Drawn domains with ten interactions a user and the same items: one epoch of `Trainer` over all users, each interaction
but a user's first predicted once, with free D and V and the batches of the default (2,048 positions, 256 negatives).
The graph is small (B = 32, one layer, texts of 32 numbers), so that ten million are an affair of minutes and what is
not the graph shows. Prediction: seconds an interaction are the same, but for the first steps.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import time

import numpy as np
import torch
from drawn_logs import draw_domain

from prerec_pyro.data.encoded import encode_domain
from prerec_pyro.inference.guides.free_nodes import FREE_BY_DEFAULT
from prerec_pyro.inference.guides.map_guide import NonCenteredModel, map_guide
from prerec_pyro.models.graphs.config import ExtendedConfig
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.training.batch_schedule import Source
from prerec_pyro.training.objective import map_trainer
from prerec_pyro.training.recipes import Recipe, TrainConfig

DIM = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--items", type=int, default=50_000)
    options = parser.parse_args()
    threads = torch.get_num_threads()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {threads} threads, torch {torch.__version__}")
    print(f"{options.items:,} items, B = {DIM}, one layer, a tenth as many users as interactions\n")
    print(f"{'interactions':>14}{'index, s':>10}{'epoch, s':>10}{'µs each':>10}{'ratio':>8}{'loss':>8}{'GiB held':>10}")
    least = None
    for size in options.interactions:
        domain = draw_domain(f"{size}", options.items, size // 10, size, text_dim=DIM)
        start = time.perf_counter()
        encoded = encode_domain(domain)
        indexed = time.perf_counter() - start
        torch.manual_seed(0)
        config = ExtendedConfig(latent_dim=DIM, num_layers=1, feedforward=1)
        graph = ExtendedGraph(config, num_domains=1, text_dim=DIM)
        program = NonCenteredModel(graph, FREE_BY_DEFAULT)
        source = Source(encoded, np.arange(domain.num_users), 0, 0)
        training = TrainConfig(epochs=1, recipe=Recipe(min_steps=1))
        trainer = map_trainer(program, map_guide(program, options.items), [source], training)
        start = time.perf_counter()
        (row,) = trainer.fit().history
        seconds = time.perf_counter() - start
        each = 1e6 * seconds / size
        least = least or each
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        row_text = f"{size:14,}{indexed:10.1f}{seconds:10.1f}{each:10.2f}{each / least:8.2f}"
        print(f"{row_text}{row['loss']:8.3f}{memory:10.2f}", flush=True)


if __name__ == "__main__":
    main()
