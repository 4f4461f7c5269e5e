"""Accuracy and exposure of several answers to the same queries, with intervals, and what changes between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prerec_pyro.causal.measurement.answers import Lists, Queries
from prerec_pyro.causal.measurement.exposure import Estimate, ExposureBootstrap, interval
from prerec_pyro.evaluation.bootstrap import Difference, paired_bootstrap

ACCURACY = ("recall", "r_ndcg", "ndcg@10", "mrr")
EXPOSURE = ("coverage", "gini_exposure")
METRICS = (*ACCURACY, "mean_popularity", *EXPOSURE)


@dataclass(frozen=True, eq=False)
class Estimates:
    """One answer: metric → number and interval, and the same of its difference to the reference, query by query.

    Attributes
    ----------
    level, change
        Metric of `METRICS` → estimate; of the reference itself every change is 0.
    share, share_change
        ``(num_groups,)`` estimates of the share of the shown places that goes to each tenth of the catalogue, from
        the least popular, and of its change.
    """

    level: dict[str, Estimate]
    change: dict[str, Estimate]
    share: tuple[Estimate, ...]
    share_change: tuple[Estimate, ...]


def per_query(lists: Lists) -> dict[str, np.ndarray]:
    """Return metric → ``(num_queries,)`` of those that are means over queries."""
    return {name: lists.ranking.per_query(name) for name in ACCURACY} | {"mean_popularity": lists.popularity}


def estimate(
    queries: Queries, answers: Sequence[Sequence[Lists]], group: np.ndarray, *, draws: int = 1000, seed: int = 0
) -> list[Estimates]:
    """Return the estimates of each answer; the first is the reference.

    Means over queries go through the paired bootstrap over users; coverage, Gini and shares through
    `ExposureBootstrap`.

    Parameters
    ----------
    queries
        What was asked.
    answers
        Each a list of one or more `Lists`, whose statistics are averaged: an intervention that is a draw, say.
    group
        ``(num_items,)`` from `popularity_groups`.
    draws, seed
        Of the bootstrap.
    """
    means = [_averaged([per_query(lists) for lists in answer]) for answer in answers]
    names = list(means[0])
    columns = [one[name] for one in means for name in names]
    columns += [one[name] - means[0][name] for one in means for name in names]
    found = paired_bootstrap(np.stack(columns, axis=1), queries.users, draws=draws, seed=seed)
    numbers = [_plain(one) for one in found]
    bootstrap = ExposureBootstrap(queries.users, group, draws=draws, seed=seed)
    shown = [_averaged([bootstrap.statistics(lists.shown) for lists in answer]) for answer in answers]
    result, half = [], len(names) * len(answers)
    for place, statistics in enumerate(shown):
        here = slice(place * len(names), (place + 1) * len(names))
        level = dict(zip(names, numbers[:half][here], strict=True))
        change = dict(zip(names, numbers[half:][here], strict=True))
        for name in EXPOSURE:
            level[name] = _interval(statistics[name], bootstrap)
            change[name] = _interval(statistics[name] - shown[0][name], bootstrap, lowest=-1.0)
        moved = statistics["share"] - shown[0]["share"]
        share = tuple(_interval(column, bootstrap) for column in statistics["share"].T)
        share_change = tuple(_interval(column, bootstrap, lowest=-1.0) for column in moved.T)
        result.append(Estimates(level, change, share, share_change))
    return result


def _averaged(tables: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    if len(tables) == 1:
        return tables[0]
    return {name: np.mean([table[name] for table in tables], axis=0) for name in tables[0]}


def _plain(found: Difference) -> Estimate:
    return Estimate(found.difference, found.low, found.high)


def _interval(values: np.ndarray, bootstrap: ExposureBootstrap, lowest: float = 0.0) -> Estimate:
    if bootstrap.num_users < 2:
        return Estimate(float(values[0]), float("nan"), float("nan"))
    return interval(values, lowest=lowest)
