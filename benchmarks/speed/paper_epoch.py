"""How long does an epoch of the paper's pre-training take, and how much memory?

    python benchmarks/speed/paper_epoch.py [--share 1.0] [--folder DIR]

A drawn world of the size of India, Spain and Canada in the paper's Table 3: 184,944 items, 1.9 million users, 3.43
million interactions, 384 numbers an item. Saved and loaded as ordinary domains; then, in a fresh process,
``PreRec.fit`` for one epoch with the default graph and training. Prints the seconds of each part and the most memory
held. ``--steps`` ends the epoch early, for a machine that cannot be had alone for long; the whole is then computed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TABLE_3 = {
    "India": (45_893, 507_581, 748_607),
    "Spain": (39_675, 400_883, 708_103),
    "Canada": (99_376, 992_366, 1_971_956),
}
TARGETS = {"seconds": 150, "GiB": 4.0}


def write(folder: Path, share: float) -> None:
    """Save the three domains."""
    from drawn_logs import draw_domain

    for name, sizes in TABLE_3.items():
        draw_domain(name, *(round(share * size) for size in sizes)).save(folder / name)


def timed(owner: Any, name: str, seconds: dict[str, float]) -> None:
    """Add up the seconds that a method takes."""
    whole: Callable[..., Any] = getattr(owner, name)

    def clocked(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return whole(*arguments, **options)
        finally:
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
            seconds[f"GiB {name}"] = most_held()

    setattr(owner, name, clocked)


def most_held() -> float:
    """Return the most memory that this process has held so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def fit(folder: Path, settings: dict[str, Any], steps: int | None) -> dict[str, Any]:
    """Load the domains and train; return what it took."""
    import torch

    from prerec_pyro.cli import allocator
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.recommenders.prerec import PreRec
    from prerec_pyro.training.batch_schedule import BatchSchedule, Source
    from prerec_pyro.training.effect_scale_update import EffectScaleUpdate
    from prerec_pyro.training.recipes import TrainConfig
    from prerec_pyro.training.trainer import Trainer

    allocator.keep_freed_memory()  # as `prerec-pyro train` does
    allocator.limit_onednn_cache()
    seconds: dict[str, float] = {}
    for owner, name in ((Trainer, "_epoch"), (Trainer, "_score"), (PreRec, "_build"), (PreRec, "encoded_once")):
        timed(owner, name, seconds)
    timed(EffectScaleUpdate, "after_pre_training", seconds)
    making = {"batches": 0.0}
    whole_epoch = Source.epoch

    def epoch(source: Source, *arguments: Any) -> Any:
        start = time.perf_counter()
        for make in whole_epoch(source, *arguments):

            def clocked(make: Callable[[], Any] = make) -> Any:
                start = time.perf_counter()
                batch = make()
                making["batches"] += time.perf_counter() - start
                return batch

            making["batches"] += time.perf_counter() - start
            yield clocked
            start = time.perf_counter()

    Source.epoch = epoch
    whole_schedule, sizes = BatchSchedule.schedule, []

    def schedule(reading: BatchSchedule, number: int) -> Any:
        rows = whole_schedule(reading, number)
        sizes.append(len(rows))
        return rows[:steps]

    BatchSchedule.schedule = schedule
    start = time.perf_counter()
    domains = [Domain.load(folder / name) for name in TABLE_3]
    seconds["load"] = time.perf_counter() - start
    model = PreRec(training=TrainConfig(epochs=1, **settings), device="cpu").fit(domains)
    seconds["all"] = time.perf_counter() - start
    held = most_held()
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    done = {"steps": min(sizes[0], steps or sizes[0]), "of": sizes[0]}
    return {"seconds": seconds | making, "GiB": held, "row": model.history[0], "machine": machine} | done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the items, users and interactions")
    parser.add_argument("--folder", type=Path, help="keep the drawn domains here, or take those that are there")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of training")
    parser.add_argument("--steps", type=int, help="of the epoch, and no more")
    parser.add_argument("--fit", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fit:
        settings = {name: json.loads(value) for name, value in (text.split("=") for text in options.set)}
        print(json.dumps(fit(options.folder, settings, options.steps)))
        return
    with tempfile.TemporaryDirectory() as drawn:
        folder = options.folder or Path(drawn)
        if not (folder / "Canada" / "domain.json").exists():
            write(folder, options.share)
        settings = [part for text in options.set for part in ("--set", text)]
        settings += ["--steps", str(options.steps)] if options.steps else []
        command = [sys.executable, __file__, "--fit", "--folder", str(folder), *settings]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    seconds, row = found["seconds"], found["row"]
    print(f"{found['machine']}; {' '.join(options.set) or 'default settings'}")
    labels = {
        "load": "loading three domains",
        "encoded_once": "their popularity index",
        "_build": "start of f_e: principal directions of the texts",
        "_epoch": f"{found['steps']} of {found['of']} steps of the epoch",
        "batches": "  of it making batches",
        "_score": "validation, before and after",
        "after_pre_training": "S of each source, after training",
        "all": "all",
    }
    for name, label in labels.items():
        most = f"{seconds[f'GiB {name}']:9.2f} GiB at most until then" if f"GiB {name}" in seconds else ""
        print(f"{label:50}{seconds[name]:9.1f} s{most}")
    print(f"{'queries in these steps':50}{row['num_queries']:9,}")
    print(f"{'queries a second':50}{row['num_queries'] / seconds['_epoch']:9,.0f}")
    print(f"{'loss, nats a query':50}{row['loss']:9.3f}")
    print(f"{'most memory held':50}{found['GiB']:9.2f} GiB  target {TARGETS['GiB']}")
    epoch = seconds["_epoch"] * found["of"] / found["steps"]
    label = "the epoch" if found["of"] == found["steps"] else "the epoch, computed"
    print(f"{label:50}{epoch:9.1f} s    target {TARGETS['seconds']}")


if __name__ == "__main__":
    main()
