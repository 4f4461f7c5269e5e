"""Small files in the format of the published XMarket data."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Rating = tuple[str, str, str]  # user, item, date


def review(user: str, item: str, date: str) -> dict[str, Any]:
    """Return a review with all its fields."""
    return {
        "reviewerID": user,
        "asin": item,
        "reviewerName": 'Jo "the reader"',
        "reviewText": "It's «bon»,\n4€ well spent 🙂",
        "overall": 5.0,
        "summary": "",
        "cleanReviewTime": date,
        "reviewTime": "29 septembre",
    }


def item(asin: Any, **fields: Any) -> dict[str, Any]:
    """Return an item with all fields of the metadata, some of them replaced by `fields`."""
    plain = {"asin": asin, "title": f"Thing {asin}", "features": [], "description": "", "categories": []}
    return plain | {"price": float("nan"), "related": {"alsoBought": [asin]}, "averageRating": None} | fields


def in_pages(reviews: Sequence[Any], size: int = 2) -> list[list[Any]]:
    """Return reviews as the lines of a file, where each line is a list."""
    return [list(reviews[start : start + size]) for start in range(0, len(reviews), size)]


def write_lines(path: Path, lines: Iterable[str]) -> Path:
    """Write lines, compressed if the name ends in ``.gz``, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def write_category(
    root: Path,
    market: str,
    category: str,
    *,
    ratings: Iterable[Rating] | None = None,
    reviews: Sequence[Rating] | None = None,
    metadata: Iterable[dict[str, Any]] | None = None,
    python: bool = False,
    packed: bool = True,
) -> Path:
    """Write the files of one category into ``root/<market>/<category>`` and return that folder."""
    folder, end = root / market / category, ".gz" if packed else ""
    write = repr if python else json.dumps
    name = f"{market}_{category}"
    if ratings is not None:
        lines = [f"{user} {asin} 5.0 {date}" for user, asin, date in ratings]
        write_lines(folder / f"ratings_{name}.txt{end}", lines)
    if reviews is not None:
        pages = in_pages([review(*one) for one in reviews])
        write_lines(folder / f"reviews_{name}.json{end}", map(write, pages))
    if metadata is not None:
        write_lines(folder / f"metadata_{name}.json{end}", map(write, metadata))
    return folder
