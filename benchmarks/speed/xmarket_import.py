"""What does it cost to import a large market of XMarket?

    python benchmarks/speed/xmarket_import.py [--interactions 2000000] [--items 100000] [--users 1000000]

Writes a market in the published format to a temporary folder (16 categories; about one item in twenty is in two of
them, with its reviews), imports it with ``prerec-pyro data import xmarket`` in a process of its own, and prints the
time and the peak resident memory of that process: from the ratings, from reviews as JSON, and from reviews as Python
literals. The ids are as long as the real ones, texts about 1,200 characters, some with signs that Python stores in
two or four bytes a character.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

CATEGORIES = (
    *("Arts_Crafts_and_Sewing", "Automotive", "Books", "CDs_and_Vinyl", "Cell_Phones_and_Accessories"),
    *("Digital_Music", "Electronics", "Grocery_and_Gourmet_Food", "Home_and_Kitchen", "Industrial_and_Scientific"),
    *("Kindle_Store", "Movies_and_TV", "Musical_Instruments", "Office_Products", "Sports_and_Outdoors"),
    "Toys_and_Games",
)
VOCABULARY = (
    "the and with for of a durable steel cotton pack set black white large small portable battery cable kitchen book "
    "story music guitar paper office phone case cover easy clean water proof gift children adjustable premium quality "
    "design compatible réglable qualité"
)
WORDS = np.array(VOCABULARY.split())
ASIDE_CHANCE = 0.05  # of an item to be in a second category
PAGE = 10  # reviews a line


def words(rng: np.random.Generator, number: int) -> str:
    return " ".join(rng.choice(WORDS, number).tolist())


def metadata(rng: np.random.Generator, asin: str, category: str) -> dict[str, Any]:
    """Return an item with all the fields that metadata have; the text is about 1,200 characters."""
    sign = ("", "", "", "", "", "", "✔ ", "✔ ", "✔ ", "🙂 ")[int(rng.integers(10))]
    others = [f"B{number:09d}" for number in rng.integers(0, 10**9, 30).tolist()]
    return {
        "asin": asin,
        "title": words(rng, 15),
        "features": [sign + words(rng, 35) for _ in range(5)],
        "description": words(rng, 120),
        "categories": [category.replace("_", " "), *words(rng, 3).split()],
        "averageRating": "4.1",
        "ratingCount": "27 global ratings",
        "price": float("nan"),
        "imgUrl": ["https://images.example/" + asin],
        "related": {"alsoBought": others[:15], "alsoViewed": others[15:], "sponsored": []},
        "productDetails": {},
    }


def review(user: str, asin: str, date: str, text: str) -> dict[str, Any]:
    return {
        "reviewerID": user,
        "asin": asin,
        "reviewerName": user[:8],
        "reviewText": text,
        "overall": 5.0,
        "summary": text[:30],
        "cleanReviewTime": date,
        "reviewTime": date,
    }


def write(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", compresslevel=1, encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


def write_market(root: Path, num_interactions: int, num_items: int, num_users: int) -> None:
    """Write ratings, reviews as JSON and (below ``python``) as literals, and metadata, of market ``ca``."""
    rng = np.random.default_rng(0)
    homes = rng.integers(0, len(CATEGORIES), num_items)
    seconds = np.where(rng.random(num_items) < ASIDE_CHANCE, rng.integers(0, len(CATEGORIES), num_items), homes)
    share = 1.0 / np.arange(1, num_items + 1) ** 0.8
    items = rng.choice(num_items, num_interactions, p=rng.permutation(share / share.sum()))
    # Most users buy once or twice, a few a lot; the first round makes sure that all are there.
    first = np.arange(min(num_users, num_interactions))
    more = (num_users * rng.random(num_interactions - len(first)) ** 3).astype(np.int64)
    users = rng.permutation(np.concatenate([first, more]))
    dates = np.datetime64("2010-01-01") + (4_000 * rng.random(num_interactions) ** 0.5).astype(np.int64)
    texts = [words(rng, 40) for _ in range(5_000)]
    for number, category in enumerate(CATEGORIES):
        folder, ending = root / "FULL" / "ca" / category, f"ca_{category}"
        own = np.flatnonzero((homes == number) | (seconds == number))
        write(
            folder / f"metadata_{ending}.json.gz",
            (json.dumps(metadata(rng, f"B{asin:09d}", category)) for asin in own.tolist()),
        )
        rows = np.flatnonzero(np.isin(items, own))
        events = [
            (f"A{user:027d}", f"B{asin:09d}", date)
            for user, asin, date in zip(
                users[rows].tolist(), items[rows].tolist(), dates[rows].astype(str).tolist(), strict=True
            )
        ]
        write(folder / f"ratings_{ending}.txt.gz", (f"{user} {asin} 5.0 {date}" for user, asin, date in events))
        for to_line, beside in ((json.dumps, "reviews"), (repr, "python")):
            pages = (events[start : start + PAGE] for start in range(0, len(events), PAGE))
            lines = (
                to_line([review(*event, texts[(len(page) * 997 + int(event[1][1:])) % 5_000]) for event in page])
                for page in pages
            )
            write(root / beside / "ca" / category / f"reviews_{ending}.json.gz", lines)


def measured(command: list[str]) -> tuple[float, float, str]:
    """Run a command; return its seconds, its peak resident memory in MiB, and its standard output."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the import ended with {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024, said


def size(paths: Iterable[Path]) -> float:
    return sum(path.stat().st_size for path in paths) / 2**20


def main() -> None:
    """Write the market, import it in each way, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, default=2_000_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="xmarket-") as name:
        root = Path(name)
        # In a process of its own: on Linux a child's peak memory counts from that of the process that started it.
        arguments = (root, options.interactions, options.items, options.users)
        writer = multiprocessing.get_context("spawn").Process(target=write_market, args=arguments)
        writer.start()
        writer.join()
        full = sorted((root / "FULL").rglob("*.gz"))
        texts = [path for path in full if path.name.startswith("metadata")]
        ratings = [path for path in full if path.name.startswith("ratings")]
        ways = {
            "ratings": ratings,
            "reviews, JSON": sorted((root / "reviews").rglob("*.gz")),
            "reviews, Python": sorted((root / "python").rglob("*.gz")),
        }
        print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
        print(f"metadata: {len(texts)} files, {size(texts):,.0f} MiB gzipped\n")
        print(f"{'interactions from':20}{'MiB gzipped':>12}{'seconds':>10}{'peak MiB':>10}", flush=True)
        for way, events in ways.items():
            command = [sys.executable, "-m", "prerec_pyro", "data", "import", "xmarket", "--quiet"]
            seconds, peak, said = measured([*command, *map(str, texts + events), "--out", str(root / "domain")])
            print(f"{way:20}{size(events):12,.0f}{seconds:10.1f}{peak:10,.0f}", flush=True)
        print("\n" + said, end="")


if __name__ == "__main__":
    main()
