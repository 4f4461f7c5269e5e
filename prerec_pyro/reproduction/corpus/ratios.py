"""Ratios of our rows to the best other row of a target, and their geometric mean over targets, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prerec_pyro.evaluation.bootstrap import Difference, resampled_means
from prerec_pyro.reproduction.cells import METRICS
from prerec_pyro.reproduction.rows import Row
from prerec_pyro.reproduction.summary import Measured, check_paired, records

_TAILS = (0.025, 0.975)


@dataclass(frozen=True, eq=False)
class Ratio:
    """Ratio of one of our rows to the best other row, in one metric.

    Attributes
    ----------
    row, against
        Our row and the best other row.
    metric
        One of `METRICS`.
    value
        Ratio of the means; None where the other row's is 0.
    draws
        ``(num_draws,)`` ratio in each draw of users; infinite where only the other row's mean is 0, 1 where both are.
    """

    row: Row
    against: Row
    metric: str
    value: float | None
    draws: np.ndarray

    def to_json(self, target: str) -> dict[str, Any]:
        """Return the ratio as plain JSON, with its 95 % interval over users."""
        names = {"target": target, "row": self.row.name, "label": self.row.label, "metric": self.metric}
        names |= {"against": self.against.name, "against_label": self.against.label}
        return names | {"ratio": self.value} | _interval(self.draws)


class TargetSummary:
    """All rows of one target with intervals over users; every number comes from the same draws of users.

    Values are averaged over the training seeds first: the intervals are for other users, not for other seeds.

    Parameters
    ----------
    measured
        All rows of the target, measured on the same queries.
    target
        Name of the target.
    """

    def __init__(self, measured: Sequence[Measured], target: str) -> None:
        check_paired(measured)
        self._measured, self._target = measured, target
        values = np.array([[one.per_query(metric, "all") for metric in METRICS] for one in measured])
        self._means = values.mean(axis=-1)  # (num_rows, num_metrics)
        self._pairs = self._pairs_with_best()
        # Differences are taken query by query: of draws' means, rounding would decide where two rows are level.
        gains = np.array([values[ours, column] - values[best, column] for ours, best, column in self._pairs])
        num_values = self._means.size
        columns = [*values.reshape(num_values, -1), *gains]
        draws = resampled_means(np.stack(columns, axis=1), measured[0].cells[0].arrays["users"])
        self._draws = draws[:, :num_values].reshape(-1, *self._means.shape)  # (num_draws, num_rows, num_metrics)
        self._gains, self._gain_draws = gains, draws[:, num_values:]

    def records(self) -> list[dict[str, Any]]:
        """Return one record per row, as `summary.records` does, each metric with ``low`` and ``high`` too."""
        found = records(self._measured, self._target)
        for place, record in enumerate(found):
            for column, metric in enumerate(METRICS):
                record[metric] |= _interval(self._draws[:, place, column])
        return found

    def comparisons(self) -> list[dict[str, Any]]:
        """Return the difference between each of our rows and the best other row, as `summary.comparisons` does."""
        found = []
        for (ours, best, column), gain, draws in zip(self._pairs, self._gains, self._gain_draws.T, strict=True):
            low, high = np.quantile(draws, _TAILS)
            share = float("nan") if np.isnan(low) else (draws <= 0).mean()
            row, other = self._measured[ours].row, self._measured[best].row
            num_queries = len(self._measured[ours].cells[0].arrays["events"])
            head = {"target": self._target, "subset": "all", "num_queries": num_queries, "metric": METRICS[column]}
            names = {"row": row.name, "against": other.name, "against_label": other.label}
            found.append(head | names | Difference(float(gain.mean()), low, high, share).as_json())
        return found

    def ratios(self) -> list[Ratio]:
        """Return the ratio of each of our rows to the best other row, by metric."""
        found = []
        for ours, best, column in self._pairs:
            mean = self._means[best, column]
            with np.errstate(divide="ignore", invalid="ignore"):
                draws = self._draws[:, ours, column] / self._draws[:, best, column]
            draws[(self._draws[:, [ours, best], column] == 0).all(axis=1)] = 1.0
            value = float(self._means[ours, column] / mean) if mean else None
            found.append(Ratio(self._measured[ours].row, self._measured[best].row, METRICS[column], value, draws))
        return found

    def _pairs_with_best(self) -> list[tuple[int, int, int]]:
        """Return the places of each of our rows, of the best other row and of the metric."""
        ours = [place for place, one in enumerate(self._measured) if one.row.ours]
        others = [place for place, one in enumerate(self._measured) if not one.row.ours]
        best = [max(others, key=lambda place: means[place]) for means in self._means.T] if others else []
        return [(place, other, column) for place in ours for column, other in enumerate(best)]


def geometric_means(by_target: Sequence[Sequence[Ratio]]) -> list[dict[str, Any]]:
    """Return the geometric mean over targets of the ratios of each row and metric, with its 95 % interval over users.

    The targets are fixed: the interval is for other users of the same targets. Targets without a ratio are left out
    and counted.

    Parameters
    ----------
    by_target
        For each target the ratios of the same rows and metrics, in the same order.
    """
    found = []
    for across in zip(*by_target, strict=True):
        first, used = across[0], [one for one in across if one.value is not None]
        record: dict[str, Any] = {"row": first.row.name, "label": first.row.label, "metric": first.metric}
        record |= {"num_targets": len(used), "left_out": len(across) - len(used)}
        ratio, draws = None, np.full(1, np.nan)
        if used:
            # Each target has the same sequence of random numbers; shuffled, its draws are independent of the others'.
            shuffled = [np.random.default_rng(place).permutation(one.draws) for place, one in enumerate(used)]
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = float(np.exp(np.mean(np.log([one.value for one in used]))))
                draws = np.exp(np.mean(np.log(shuffled), axis=0))
        found.append(record | {"ratio": ratio} | _interval(draws))
    return found


def _interval(draws: np.ndarray) -> dict[str, float | None]:
    """Return the ends of the 95 % percentile interval; None for an end that is not finite."""
    ends = np.quantile(draws, _TAILS, method="nearest")  # between infinite draws nothing can be interpolated
    return {name: float(end) if np.isfinite(end) else None for name, end in zip(("low", "high"), ends, strict=True)}
