"""How much memory does it take to import a log of partitioned Parquet, next to the log itself?

    python benchmarks/speed/parquet_import.py [--rows 10000000]

Writes a log of so many rows, a million users and 200,000 items in 20 parts partitioned by month, then imports it twice,
each in a fresh process: batch by batch, and as one table (`Domain.from_tables`), for comparison. Prints
the most memory that each held over what an idle process holds, seconds, and whether the two domains are the same.

Prediction: batch by batch stays under 100 bytes a row plus 200 bytes a distinct id; as one table several times that.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NUM_USERS, NUM_ITEMS, PARTS = 1_000_000, 200_000, 20
_READ = """
import json, resource, sys, time
from pathlib import Path
import pyarrow.dataset as ds, pyarrow.parquet as pq
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.readers import read_parquet
folder, way = Path(sys.argv[1]), sys.argv[2]
def most(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
idle, start = most(), time.perf_counter()
if way == "batches":
    domain = read_parquet(folder, name="log")
else:
    log = ds.dataset(sorted(map(str, (folder / "interactions").rglob("*.parquet")))).to_table()
    domain = Domain.from_tables(log, pq.read_table(folder / "items.parquet"), name="log")
facts = {"bytes": most() - idle, "seconds": time.perf_counter() - start}
print(json.dumps(facts | {"rows": domain.num_interactions, "fingerprint": domain.fingerprint}))
"""


def write(folder: Path, rows: int) -> int:
    """Write the log and its items; return how many bytes the log's files have."""
    rng = np.random.default_rng(0)
    items = pa.array(np.char.add("item-", np.arange(NUM_ITEMS).astype(str)))
    users = pa.array(np.char.add("customer-", np.arange(NUM_USERS).astype(str)))
    pq.write_table(pa.table({"item_id": items, "text": items}), folder / "items.parquet")
    size = 0
    for part in range(PARTS):
        number = rows // PARTS
        table = pa.table(
            {
                "user_id": users.take(pa.array(rng.integers(0, NUM_USERS, number))),
                "item_id": items.take(pa.array(rng.zipf(1.3, number) % NUM_ITEMS)),
                "timestamp": rng.integers(0, 30 * 86_400, number) + 1_500_000_000 + part * 30 * 86_400,
            }
        )
        path = folder / "interactions" / f"month={part:02}" / "part-0.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(table, path)
        size += path.stat().st_size
    return size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        size = write(Path(folder), options.rows)
        print(f"{options.rows:,} rows in {PARTS} parts, {size / 2**20:,.0f} MiB of Parquet ", end="")
        print(f"(written in {time.perf_counter() - start:.0f} s)")
        print(f"{'':16}{'most memory, MiB':>18}{'bytes a row':>14}{'seconds':>10}{'rows a second':>16}")
        fingerprints = set()
        for way in ("batches", "one table"):
            done = subprocess.run(
                [sys.executable, "-c", _READ, folder, way], capture_output=True, text=True, check=True
            )
            found = json.loads(done.stdout)
            fingerprints.add(found["fingerprint"])
            print(
                f"{way:16}{found['bytes'] / 2**20:18,.0f}{found['bytes'] / found['rows']:14.0f}"
                f"{found['seconds']:10.1f}{found['rows'] / found['seconds']:16,.0f}"
            )
    print("the two domains are", "the same" if len(fingerprints) == 1 else "NOT the same")


if __name__ == "__main__":
    main()
