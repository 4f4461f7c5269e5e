"""Recommendation lists in files, for tests of `infer`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from prerec_pyro.data.domain import Domain


def read_lists(path: Path) -> pd.DataFrame:
    """Return the lists of a CSV, JSON Lines or Parquet file."""
    if path.suffix == ".csv":
        return pd.read_csv(path, dtype={"user_id": str, "item_id": str})
    return pd.read_json(path, lines=True) if path.suffix == ".jsonl" else pd.read_parquet(path)


def assert_same_lists(lists: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Check that two tables of lists agree, up to rounding and types of columns."""
    pd.testing.assert_frame_equal(lists, expected, check_dtype=False, rtol=1e-4, atol=1e-4)


def history_of(domain: Domain, row: int, name: str) -> pd.DataFrame:
    """Return the events of a user of the domain, oldest first, under another user id."""
    own = slice(domain.offsets[row], domain.offsets[row + 1])
    items = domain.item_ids[domain.item_index[own]]
    return pd.DataFrame({"user_id": name, "item_id": items, "timestamp": domain.timestamps[own]})
