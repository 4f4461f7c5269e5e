"""How long does an epoch over many imported domains take, with validation and S, and how much memory?

    python benchmarks/speed/corpus_epoch.py DIR… [--set NAME=VALUE]… [--steps N] [--drawn-texts]

``PreRec.fit`` for one epoch on all domains, with the default graph and training. Prints wall and CPU seconds of each
part, the share of validation and of the reading of S in the epoch, and the most memory held. ``--steps`` ends the epoch
early; the whole is then computed. ``--drawn-texts`` takes random vectors of 384 numbers in place of embeddings: the
times are the same, and nothing has to be encoded.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prerec_pyro.cli import allocator
from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain, encode_domain
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.training.batch_schedule import BatchSchedule
from prerec_pyro.training.effect_scale_update import EffectScaleUpdate
from prerec_pyro.training.recipes import TrainConfig
from prerec_pyro.training.trainer import Trainer

TARGETS = {"seconds": 120, "GiB": 4.0, "share": 0.2}
PARTS = {
    "load": "loading and popularity index",
    "_build": "start of f_e: principal directions of the texts",
    "batches": "making batches",
    "step": "steps",
    "_score": "validation, before and after",
    "after_pre_training": "S of each source, after training",
}


class Clock:
    """Wall seconds, CPU seconds and GiB held so far, by name of a part."""

    def __init__(self) -> None:
        self.parts: dict[str, tuple[float, float, float]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add what the block takes."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        before = self.parts.get(name, (0.0, 0.0, 0.0))
        self.parts[name] = (before[0] + time.perf_counter() - wall, before[1] + time.process_time() - cpu, most_held())

    def watch(self, owner: Any, name: str) -> None:
        """Add what each call of a method takes."""
        whole: Callable[..., Any] = getattr(owner, name)

        def clocked(*arguments: Any, **options: Any) -> Any:
            with self.part(name):
                return whole(*arguments, **options)

        setattr(owner, name, clocked)


def most_held() -> float:
    """Return the most memory that this process has held so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def encoded(folder: Path, drawn_texts: bool) -> EncodedDomain:
    """Return a domain with its text vectors or, if `drawn_texts`, with random ones of unit length."""
    domain = Domain.load(folder)
    if not drawn_texts:
        return encode_domain(domain)
    texts = np.random.default_rng(0).standard_normal((domain.num_items, 384), dtype=np.float32)
    return encode_domain(domain.with_embeddings(texts / np.linalg.norm(texts, axis=1, keepdims=True)))


def watched(clock: Clock, steps: int | None) -> list[int]:
    """Clock the parts of training and end an epoch after `steps`; return a list that gets the steps of each epoch."""
    for owner, name in ((Trainer, "step"), (Trainer, "_score"), (PreRec, "_build")):
        clock.watch(owner, name)
    clock.watch(EffectScaleUpdate, "after_pre_training")
    whole, sizes, all_batches = BatchSchedule.schedule, [], BatchSchedule.batches

    def schedule(one: BatchSchedule, number: int) -> np.ndarray:
        rows = whole(one, number)
        sizes.append(len(rows))
        return rows[:steps]

    def batches(one: BatchSchedule, rows: np.ndarray, number: int) -> Iterator[tuple[int, list[Batch]]]:
        stream = iter(all_batches(one, rows, number))
        for _ in rows:
            with clock.part("batches"):
                made = next(stream)
            yield made

    BatchSchedule.schedule, BatchSchedule.batches = schedule, batches
    return sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domains", nargs="+", type=Path, metavar="DIR", help="imported domains")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of training")
    parser.add_argument("--steps", type=int, help="of the epoch, and no more")
    parser.add_argument("--drawn-texts", action="store_true", help="random vectors in place of embeddings")
    options = parser.parse_args()
    allocator.keep_freed_memory()  # as `prerec-pyro train` does
    allocator.limit_onednn_cache()
    clock = Clock()
    settings = {name: json.loads(value) for name, value in (text.split("=") for text in options.set)}
    sizes = watched(clock, options.steps)
    with clock.part("load"):
        domains = [encoded(folder, options.drawn_texts) for folder in options.domains]
    model = PreRec(training=TrainConfig(epochs=1, **settings), device="cpu").fit(domains)

    steps, (row,) = min(sizes[0], options.steps or sizes[0]), model.history
    wall, cpu = (sum(clock.parts[name][k] for name in ("batches", "step")) * sizes[0] / steps for k in (0, 1))
    items, events = (sum(getattr(e.domain, name) for e in domains) for name in ("num_items", "num_interactions"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{len(domains)} domains, {items:,} items, {events:,} interactions; {' '.join(options.set) or 'defaults'}")
    print(f"{f'{steps:,} of {sizes[0]:,} steps of the epoch':50}{'wall':>8}{'CPU':>8}  GiB held")
    for name, label in PARTS.items():
        print(f"{label:50}{clock.parts[name][0]:8.1f}{clock.parts[name][1]:8.1f}{clock.parts[name][2]:10.2f}")
    print(f"{'the whole epoch':50}{wall:8.1f}{cpu:8.1f}  target {TARGETS['seconds']} s of wall time on two cores")
    after = [clock.parts["_score"][k] / 2 + clock.parts["after_pre_training"][k] for k in (0, 1)]
    share = f"{after[0] / wall:8.2f}{after[1] / cpu:8.2f}"
    print(f"{'share of one validation and S in it':50}{share}  target {TARGETS['share']}")
    print(f"{'queries in these steps':50}{row['num_queries']:8,}")
    print(f"{'queries a second':50}{row['num_queries'] / wall * sizes[0] / steps:8,.0f}")
    print(f"{'loss, nats a query; validation r-NDCG':50}{row['loss']:8.3f}{row['validation']:8.4f}")
    print(f"{'most memory held':50}{most_held():8.2f} GiB  target {TARGETS['GiB']}")


if __name__ == "__main__":
    main()
