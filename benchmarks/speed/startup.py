"""How long until the first answer, and where does that time go?

    python benchmarks/speed/startup.py --model MODEL --domain DIR

Fresh processes, several times each, from start to exit: ``prerec-pyro --help``, and ``infer`` for one user, with the
parts that ``infer -v`` names. CPU seconds (user and system) stand beside, for where other work shares the machine.
Then what ``python -X importtime`` says of the imports of ``infer``, summed by package.

Floors: 0.3 s for help, 3 s for one user.
"""

from __future__ import annotations

import argparse
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from prerec_pyro.data.domain import Domain

FLOORS = {"--help": 0.3, "infer, one user": 3.0}
_PART = re.compile(r": ([a-z ].*): ([0-9.]+) s$")
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([^\s.]+)")


class Run(NamedTuple):
    """Seconds of a process, and what it said on stderr."""

    wall: float
    cpu: float
    said: str


def run(*arguments: str) -> Run:
    """Return what running Python with these arguments took, from start to exit."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Run(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stderr)


def parts(said: str) -> dict[str, float]:
    """Return the seconds of each part that ``-v`` names."""
    found = (_PART.search(line) for line in said.splitlines())
    return {match[1]: float(match[2]) for match in found if match}


def imports(said: str) -> dict[str, float]:
    """Return seconds by package, the slowest first."""
    total: dict[str, float] = defaultdict(float)
    for micros, package in _IMPORT.findall(said):
        total[package] += int(micros) / 1e6
    return dict(sorted(total.items(), key=lambda item: -item[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--domain", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        users = Path(folder) / "user.txt"
        users.write_text(Domain.load(options.domain).user_ids[0] + "\n", encoding="utf-8")
        infer = ["-m", "prerec_pyro", "infer", "-v", "--model", options.model, "--domain", options.domain]
        infer += ["--users", str(users), "--out", str(Path(folder) / "lists.csv")]
        run(*infer)  # so that files are in memory and texts in the cache
        timed = {
            "--help": [run("-m", "prerec_pyro", "--help") for _ in range(options.rounds)],
            "infer, one user": [run(*infer) for _ in range(options.rounds)],
        }
        by_package = imports(run("-X", "importtime", *infer).said)
    print(f"{'':32}{'median':>8}{'min':>8}{'max':>8}{'cpu':>8}{'floor':>8}")
    for name, runs in timed.items():
        cpu = statistics.median(one.cpu for one in runs)
        print(f"{name:32}{spread([one.wall for one in runs])}{cpu:8.2f}{FLOORS[name]:8.2f}")
    found = [parts(one.said) for one in runs]
    for name in found[0]:
        print(f"  {name:30}{spread([one[name] for one in found])}")
    print("\nimports of infer by package, seconds (importtime itself slows them down):")
    for package, seconds in list(by_package.items())[:8]:
        print(f"  {package:30}{seconds:8.2f}")


def spread(seconds: list[float]) -> str:
    """Return median, least and most."""
    return f"{statistics.median(seconds):8.2f}{min(seconds):8.2f}{max(seconds):8.2f}"


if __name__ == "__main__":
    main()
