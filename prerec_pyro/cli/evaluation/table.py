"""Printed table of evaluation rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prerec_pyro.cli import console

METRICS = ("recall", "r_ndcg", "recall@10", "ndcg@10", "mrr", "coverage")
"""Metrics of the table for which the largest value is the best."""


def print_rows(rows: Sequence[Mapping[str, Any]], with_folders: bool) -> None:
    """Print rows of ``evaluate``, with a star at the best value of each metric among the rows of one subset.

    Parameters
    ----------
    rows
        Rows of `Evaluation.rows`.
    with_folders
        Whether to add a column with the model folders.
    """
    import pandas as pd

    cells: list[dict[str, Any]] = []
    for row in rows:
        rivals = [other for other in rows if other["subset"] == row["subset"]]
        cell = {"method": row["method"], **({"model": row.get("model", "")} if with_folders else {})}
        cell["subset"] = row["subset"]
        cell |= {name: _marked(row.get(name), [other.get(name) for other in rivals]) for name in METRICS}
        cells.append(cell | {"mean_popularity": row.get("mean_popularity"), "queries": row["num_queries"]})
    console.print_table(pd.DataFrame(cells).astype(object), index=False)
    if any(cell[name].endswith("*") for cell in cells for name in METRICS):
        console.say("* the best of its column")


def _marked(value: float | None, all_values: Sequence[float | None]) -> str:
    if value is None:
        return "-"
    values = [other for other in all_values if other is not None]
    best = value == max(values) and value > min(values)
    return f"{value:.4f}" + ("*" if best else "")
