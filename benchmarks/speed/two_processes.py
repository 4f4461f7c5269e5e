"""Do two processes learn what one learns, and how much sooner?

    python benchmarks/speed/two_processes.py [--domain DIR] [--epochs 4]

``prerec-pyro train`` on one domain with the default graph, on two cores each time: one process with two threads and two
batches a step, then two processes (`torch.distributed.run`) with one thread and one batch a step each. A row an epoch
with both losses and validation scores; below, the seconds of an epoch, from the first one's log line to the last's,
validation and the saved state included. The domain is drawn unless one is given.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from drawn_logs import draw_domain
from safetensors.numpy import load_file

LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def train(command: list[str], threads: int) -> list[float]:
    """Run a training command; return the seconds between the log lines of its epochs."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    moments = []
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("epoch "):
                moments.append(time.perf_counter())
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: status {process.returncode}")
    return [after - before for before, after in itertools.pairwise(moments)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domain", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        domain = options.domain or folder / "drawn"
        if options.domain is None:
            draw_domain("drawn", 20_000, 20_000, 200_000).save(domain)
        common = ["train", "--source", str(domain), "--epochs", str(options.epochs), "--device", "cpu"]
        common += ["--set", f"patience={options.epochs}"]
        ways = {
            "one process": ([sys.executable, "-m", "prerec_pyro", *common, "--set", "accumulate=2"], 2),
            "two processes": ([sys.executable, *LAUNCH, "-m", "prerec_pyro", *common], 1),
        }
        seconds, histories, weights = {}, {}, {}
        for name, (command, threads) in ways.items():
            out = folder / name.replace(" ", "-")
            seconds[name] = statistics.median(train([*command, "--out", str(out)], threads))
            histories[name] = json.loads((out / "manifest.json").read_text())["history"]
            weights[name] = load_file(out / "weights.safetensors")
    print(f"{platform.machine()}, {os.cpu_count()} cores; {domain.name}, the default graph, 2 batches a step\n")
    print(f"{'epoch':>6}{'loss, one':>14}{'loss, two':>14}{'validation, one':>18}{'validation, two':>18}")
    for one, two in zip(*histories.values(), strict=True):
        losses = f"{one['loss']:14.6f}{two['loss']:14.6f}"
        print(f"{one['epoch']:6}{losses}{one['validation']:18.6f}{two['validation']:18.6f}")
    one, two = weights.values()
    apart = {name: float(abs(value - two[name]).max()) for name, value in one.items()}
    worst = max(apart, key=apart.get)
    print(f"\nlargest difference of a weight {apart[worst]:.1e}, of {worst}")
    for name, value in seconds.items():
        print(f"{name:16}{value:8.1f} s an epoch{seconds['one process'] / value:8.2f} times as fast")


if __name__ == "__main__":
    main()
