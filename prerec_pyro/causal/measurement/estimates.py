"""Accuracy and exposure of several alternatives, and their changes from a reference, with intervals over users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from prerec_pyro.causal.measurement.alternatives import Queries, RankedLists
from prerec_pyro.causal.measurement.exposure import Estimate, ExposureBootstrap, interval
from prerec_pyro.evaluation.bootstrap import paired_bootstrap

ACCURACY = ("recall", "r_ndcg", "ndcg@10", "mrr")
MEANS = (*ACCURACY, "mean_popularity")  # means over queries
EXPOSURE = ("coverage", "gini_exposure")
METRICS = (*MEANS, *EXPOSURE)


@dataclass(frozen=True, eq=False)
class Estimates:
    """Estimates of one alternative, and of its paired difference from the reference.

    Attributes
    ----------
    level
        Metric of `METRICS` → estimate.
    change
        The same for the difference from the reference; 0 for the reference itself.
    share
        ``(num_groups,)`` estimates of the share of the shown places that goes to each tenth of the catalogue, from
        the least popular.
    share_change
        The same for its difference from the reference.
    """

    level: dict[str, Estimate]
    change: dict[str, Estimate]
    share: tuple[Estimate, ...]
    share_change: tuple[Estimate, ...]


def per_query(lists: RankedLists) -> dict[str, np.ndarray]:
    """Return each metric of `MEANS` → ``(num_queries,)``."""
    return {name: lists.ranking.per_query(name) for name in ACCURACY} | {"mean_popularity": lists.popularity}


def estimate(
    queries: Queries,
    alternatives: Sequence[Sequence[RankedLists]],
    group: np.ndarray,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> list[Estimates]:
    """Return the estimates of each alternative; the first one is the reference.

    Means over queries use the paired bootstrap over users. Coverage, Gini index and shares use `ExposureBootstrap`.

    Parameters
    ----------
    queries
        The measured queries.
    alternatives
        Each alternative is one or more `RankedLists`; the statistics of several, such as the draws of an intervention,
        are averaged.
    group
        ``(num_items,)`` from `popularity_groups`.
    draws
        Number of bootstrap draws.
    seed
        Seed of the bootstrap.
    """
    levels, changes = _mean_estimates(queries, alternatives, draws, seed)
    bootstrap = ExposureBootstrap(queries.users, group, draws=draws, seed=seed)
    shown = [_averaged([bootstrap.statistics(lists.shown) for lists in one]) for one in alternatives]
    result = []
    for level, change, statistics in zip(levels, changes, shown, strict=True):
        for name in EXPOSURE:
            level[name] = _interval(statistics[name], bootstrap)
            change[name] = _interval(statistics[name] - shown[0][name], bootstrap, lowest=-1.0)
        difference = statistics["share"] - shown[0]["share"]
        share = tuple(_interval(column, bootstrap) for column in statistics["share"].T)
        share_change = tuple(_interval(column, bootstrap, lowest=-1.0) for column in difference.T)
        result.append(Estimates(level, change, share, share_change))
    return result


def _mean_estimates(
    queries: Queries, alternatives: Sequence[Sequence[RankedLists]], draws: int, seed: int
) -> tuple[list[dict[str, Estimate]], list[dict[str, Estimate]]]:
    """Return the levels and the changes of the metrics of `MEANS`, one dictionary per alternative."""
    means = [_averaged([per_query(lists) for lists in one]) for one in alternatives]
    columns = [one[name] for one in means for name in MEANS]
    columns += [one[name] - means[0][name] for one in means for name in MEANS]
    found = paired_bootstrap(np.stack(columns, axis=1), queries.users, draws=draws, seed=seed)
    numbers = [Estimate(one.difference, one.low, one.high) for one in found]
    size, half = len(MEANS), len(MEANS) * len(means)
    levels, changes = (
        [dict(zip(MEANS, part[begin : begin + size], strict=True)) for begin in range(0, half, size)]
        for part in (numbers[:half], numbers[half:])
    )
    return levels, changes


def _averaged(tables: Sequence[Mapping[str, np.ndarray]]) -> Mapping[str, np.ndarray]:
    if len(tables) == 1:
        return tables[0]
    return {name: np.mean([table[name] for table in tables], axis=0) for name in tables[0]}


def _interval(values: np.ndarray, bootstrap: ExposureBootstrap, lowest: float = 0.0) -> Estimate:
    if bootstrap.num_users < 2:
        return Estimate(float(values[0]), float("nan"), float("nan"))
    return interval(values, lowest=lowest)
