"""How sure a mean is: the paired bootstrap over users, and the interval over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prerec_pyro.errors import InputError

DRAWS = 10_000
_CHUNK = 1 << 23  # numbers drawn at a time


@dataclass(frozen=True)
class Difference:
    """How much better one recommender is than another on the same queries.

    Attributes
    ----------
    difference
        Mean over the queries, in the units of the metric.
    low, high
        Ends of the 95 % percentile interval; NaN where fewer than two users were measured.
    share_not_better
        Share of the draws in which the difference is 0 or less; NaN as well.
    """

    difference: float
    low: float
    high: float
    share_not_better: float

    @property
    def better(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low > 0

    @property
    def worse(self) -> bool:
        """Whether the whole interval is below 0."""
        return self.high < 0

    def as_json(self) -> dict[str, float | None]:
        """Return the numbers by name; None for NaN."""
        return {name: None if np.isnan(value) else float(value) for name, value in vars(self).items()}


def paired_bootstrap(
    values: np.ndarray, users: np.ndarray, *, draws: int = DRAWS, seed: int = 0, level: float = 0.95
) -> list[Difference]:
    """Return a `Difference` for each column of `values`, all from the same draws of users.

    A draw takes as many users as there are, with replacement, each with all of their queries: the queries of one user
    depend on each other. The statistic is the mean over the queries drawn.

    Parameters
    ----------
    values
        ``(num_queries, num_columns)``: our metric less the other's on the same query, a column a comparison.
    users
        ``(num_queries,)`` whose query it is; any numbers.
    draws, seed
        Number of draws, and where the random numbers start.
    level
        Of the interval.

    Raises
    ------
    InputError
        If there is no query.
    ValueError
        If the shapes do not match.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or users.shape != values.shape[:1]:
        raise ValueError(f"values {values.shape} and users {users.shape} do not match")
    if not len(values):
        raise InputError("there is no query to compare two recommenders on; choose another split or domain")
    _, row = np.unique(users, return_inverse=True)
    columns = [np.bincount(row, weights=column) for column in values.T] + [np.bincount(row)]
    of_user = np.stack(columns, axis=1)  # (num_users, num_columns + 1): sums, and how many queries
    mean = values.mean(axis=0)
    if len(of_user) < 2:
        return [Difference(float(value), *[float("nan")] * 3) for value in mean]
    means = _drawn_means(of_user, draws, np.random.default_rng(seed))  # (draws, num_columns)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    below = (means <= 0).mean(axis=0)
    return [Difference(*map(float, numbers)) for numbers in zip(mean, low, high, below, strict=True)]


def _drawn_means(of_user: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    num_users, parts = len(of_user), []
    size = max(1, _CHUNK // num_users)
    for begin in range(0, draws, size):
        number = min(size, draws - begin)
        drawn = rng.integers(num_users, size=(number, num_users))
        drawn += num_users * np.arange(number)[:, None]
        times = np.bincount(drawn.ravel(), minlength=number * num_users).reshape(number, num_users)
        sums = times @ of_user  # (number, num_columns + 1)
        parts.append(sums[:, :-1] / sums[:, -1:])
    return np.concatenate(parts)


def over_seeds(values: Sequence[float], level: float = 0.95) -> dict[str, Any]:
    """Return ``mean`` and ``half_width``, Student's t interval of the mean over seeds, None for fewer than two."""
    numbers = np.asarray(values, dtype=np.float64)
    if not len(numbers):
        raise ValueError("no values to take the mean of")
    half = None
    if len(numbers) > 1:
        from scipy import stats  # a fifth of a second, which whoever recommends need not wait for

        spread = numbers.std(ddof=1) / np.sqrt(len(numbers))
        half = float(spread * stats.t.ppf((1 + level) / 2, len(numbers) - 1))
    return {"mean": float(numbers.mean()), "half_width": half}
