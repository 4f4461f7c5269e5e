"""Summary of cells: means over seeds with intervals, the best row, and comparisons of our rows with the best other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prerec_pyro.evaluation.bootstrap import mean_over_seeds, paired_bootstrap
from prerec_pyro.reproduction.cells import METRICS, Cell
from prerec_pyro.reproduction.rows import Row

SUBSETS = ("all", "unseen")


@dataclass(frozen=True, eq=False)
class Measured:
    """Cells of one row on one target.

    Attributes
    ----------
    row
        The row.
    cells
        One cell per seed.
    """

    row: Row
    cells: Sequence[Cell]

    def per_query(self, metric: str, subset: str) -> np.ndarray:
        """Return a metric of each query of a subset, averaged over the seeds, ``(num_queries,)``."""
        keep = self.cells[0].queries(subset)
        return np.mean([cell.arrays[metric][keep] for cell in self.cells], axis=0)


def records(measured: Sequence[Measured], target: str, **more: Any) -> list[dict[str, Any]]:
    """Return one record per row and subset: each metric with its mean, the half width of its 95 % interval, its values.

    Parameters
    ----------
    measured
        All rows of one target. ``best`` of a record lists the metrics in which no other row has a higher mean.
    target
        Name of the target.
    more
        More fields for each record.
    """
    found = []
    for subset in _subsets(measured):
        of_subset = []
        for one in measured:
            rows = [cell.rows[subset] for cell in one.cells]
            record = {"target": target, "row": one.row.name, "label": one.row.label, "subset": subset, **more}
            record |= {"num_queries": rows[0]["num_queries"], "seeds": len(rows)}
            for metric in METRICS:
                values = [row[metric] for row in rows]
                record[metric] = None if None in values else {**mean_over_seeds(values), "values": values}
            of_subset.append(record)
        for record in of_subset:
            record["best"] = [metric for metric in METRICS if _is_best(record, of_subset, metric)]
        found += of_subset
    return found


def comparisons(measured: Sequence[Measured], target: str, **more: Any) -> list[dict[str, Any]]:
    """Return the difference between each of our rows and the best other row, by subset and metric.

    The paired bootstrap over users compares values averaged over the seeds: the interval is for other users, not for
    other seeds. The list is empty if none of our rows, or no other row, was measured.

    Parameters
    ----------
    measured
        All rows of one target.
    target
        Name of the target.
    more
        More fields for each comparison.
    """
    found = []
    others = [one for one in measured if not one.row.ours]
    for ours in (one for one in measured if one.row.ours) if others else ():
        check_paired([ours, *others])
        for subset in _subsets(measured):
            keep = ours.cells[0].queries(subset)
            if not keep.any():
                continue
            best = [_best(others, metric, subset) for metric in METRICS]
            gains = [
                ours.per_query(metric, subset) - other.per_query(metric, subset)
                for metric, other in zip(METRICS, best, strict=True)
            ]
            differences = paired_bootstrap(np.stack(gains, axis=1), ours.cells[0].arrays["users"][keep])
            for metric, other, difference in zip(METRICS, best, differences, strict=True):
                head = {"target": target, "subset": subset, "num_queries": int(keep.sum()), "metric": metric, **more}
                names = {"row": ours.row.name, "against": other.row.name}
                found.append(head | names | {"against_label": other.row.label} | difference.as_json())
    return found


def _subsets(measured: Sequence[Measured]) -> list[str]:
    return [subset for subset in SUBSETS if measured and all(subset in one.cells[0].rows for one in measured)]


def _best(measured: Sequence[Measured], metric: str, subset: str) -> Measured:
    return max(measured, key=lambda one: one.per_query(metric, subset).mean())


def _is_best(record: Mapping[str, Any], among: Sequence[Mapping[str, Any]], metric: str) -> bool:
    means = [other[metric]["mean"] for other in among if other[metric] is not None]
    if record[metric] is None or len(means) < 2:
        return False
    return record[metric]["mean"] == max(means) > min(means)


def check_paired(measured: Sequence[Measured]) -> None:
    """Raise ``ValueError`` unless all rows were measured on the same queries."""
    events = measured[0].cells[0].arrays["events"]
    for one in measured:
        for cell in one.cells:
            if not np.array_equal(cell.arrays["events"], events):
                raise ValueError(f"{one.row.name}: was measured on other queries than {measured[0].row.name}")
