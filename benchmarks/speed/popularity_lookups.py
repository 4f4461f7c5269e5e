"""What do ten million popularity lookups cost, and how large is the index behind them?

    python benchmarks/speed/popularity_lookups.py [--events 10000000] [--items 1000000] [--lookups 10000000]

Events over five years, of items by Zipf; each lookup is an (item, moment), its c_j^T the events of the item in the 15
days before. Two kinds: items as skewed as the events, and items drawn uniformly. Sizes: the arrays that the index
keeps, and by how much the most memory held grew while it was built and used. A sample is checked by counting the log.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import time

import numpy as np
from drawn_logs import DAYS, FIRST_DAY

from prerec_pyro.data.popularity import Popularity

TARGETS = {"seconds": 5.0, "MiB": 400}


def held() -> float:
    """Return the most memory ever held, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--lookups", type=int, default=10_000_000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)

    def skewed(size: int) -> np.ndarray:
        return (rng.zipf(1.2, size) % options.items).astype(np.int32)

    def moments(size: int) -> np.ndarray:
        return rng.integers(FIRST_DAY, FIRST_DAY + DAYS, size)

    items, days = skewed(options.events), moments(options.events)
    asked = {"skewed items": skewed(options.lookups), "uniform items": rng.integers(0, options.items, options.lookups)}
    when = moments(options.lookups)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, one thread; {options.events:,} events, {options.items:,} items"
    )
    before, start = held(), time.perf_counter()
    index = Popularity(items, days, options.items)
    built, after = time.perf_counter() - start, held()
    size = sum(part.nbytes for part in vars(index).values() if isinstance(part, np.ndarray)) / 2**20
    print(f"{'building it':34}{built:9.2f} s")
    print(
        f"{'the index':34}{size:9.0f} MiB  {size * 2**20 / options.events:.1f} bytes an event, target {TARGETS['MiB']}"
    )
    print(f"{'most held while it was built':34}{after - before:9.0f} MiB  more than before, the index included")
    for kind, which in asked.items():
        start = time.perf_counter()
        counts = index.counts(which, index.slots(when))
        seconds = time.perf_counter() - start
        rate = options.lookups / seconds
        print(f"{kind:34}{seconds:9.2f} s    {rate:,.0f} lookups a second, target {TARGETS['seconds']} s")
        for one in range(5):
            day, item = when[one], which[one]
            inside = (items == item) & (days < day) & (days >= day - index.window)
            assert counts[one] == inside.sum(), (item, day)
    grown = held() - after
    print(f"{'held more, answers included':34}{grown:9.0f} MiB  answers, {options.lookups * 8 / 2**20:.0f} MiB each")
    start = time.perf_counter()
    days_asked = np.arange(64)
    index.counts_of_all(days_asked)
    print(f"{'all items at 64 moments':34}{time.perf_counter() - start:9.2f} s    the order by days made first")


if __name__ == "__main__":
    main()
