"""Intervals of means: the paired bootstrap over users, and Student's t interval over training seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from prerec_pyro.errors import InputError

DRAWS = 10_000
_CHUNK = 1 << 23  # random numbers drawn at a time: bounds memory


@dataclass(frozen=True)
class Difference:
    """Mean difference between two recommenders on the same queries, with its interval.

    Attributes
    ----------
    difference
        Mean over the queries, in the units of the metric.
    low, high
        Ends of the 95 % percentile interval. NaN where fewer than two users were measured.
    share_not_better
        Share of the bootstrap draws in which the difference is 0 or less. NaN in the same case.

    Examples
    --------
    >>> gain = Difference(difference=0.02, low=0.01, high=0.03, share_not_better=0.0)
    >>> gain.better, gain.worse
    (True, False)
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
        """Return the numbers by name; NaN becomes None."""
        return {name: None if np.isnan(value) else float(value) for name, value in vars(self).items()}


class SeedMean(TypedDict):
    """A mean over training seeds; ``half_width`` of its interval is None for a single seed."""

    mean: float
    half_width: float | None


def paired_bootstrap(
    values: np.ndarray, users: np.ndarray, *, draws: int = DRAWS, seed: int = 0, level: float = 0.95
) -> list[Difference]:
    """Return a `Difference` for each column of `values`, all from the same draws of users.

    Each draw takes as many users as there are, with replacement, and all queries of each drawn user, because the
    queries of one user depend on each other. The statistic is the mean over the drawn queries.

    Parameters
    ----------
    values
        ``(num_queries, num_columns)``: one comparison per column, our metric minus the other's on the same query.
    users
        ``(num_queries,)`` user of each query; any numbers.
    draws
        Number of bootstrap draws.
    seed
        Seed of the random numbers.
    level
        Coverage of the interval.

    Raises
    ------
    InputError
        If there is no query.
    ValueError
        If the shapes do not match.

    Examples
    --------
    >>> import numpy as np
    >>> ours, theirs = np.array([1.0, 0.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0, 0.0])
    >>> (gain,) = paired_bootstrap((ours - theirs)[:, None], users=np.array([0, 0, 1, 2]))
    >>> gain.difference
    0.5
    >>> gain.low <= gain.difference <= gain.high
    True
    """
    means = resampled_means(values, users, draws=draws, seed=seed)  # (draws, num_columns)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    not_better = np.where(np.isnan(low), np.nan, (means <= 0).mean(axis=0))
    mean = np.asarray(values, dtype=np.float64).mean(axis=0)
    return [Difference(*map(float, numbers)) for numbers in zip(mean, low, high, not_better, strict=True)]


def resampled_means(values: np.ndarray, users: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Return the means of the draws behind `paired_bootstrap`, ``(draws, num_columns)``; NaN for fewer than two users.

    Differences and ratios of columns, draw by draw, are paired.

    Parameters
    ----------
    values
        ``(num_queries, num_columns)``: a number of each query in each column.
    users, draws, seed
        As for `paired_bootstrap`.

    Raises
    ------
    InputError
        If there is no query.
    ValueError
        If the shapes do not match.

    Examples
    --------
    >>> import numpy as np
    >>> means = resampled_means(np.array([[1.0, 2.0], [0.5, 1.0]]), users=np.array([0, 1]), draws=50)
    >>> means.shape, np.allclose(means[:, 1], 2 * means[:, 0])
    ((50, 2), True)
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or users.shape != values.shape[:1]:
        raise ValueError(f"values {values.shape} and users {users.shape} do not match")
    if not len(values):
        raise InputError("there is no query to compare two recommenders on; choose another split or domain")
    _, row = np.unique(users, return_inverse=True)
    columns = [np.bincount(row, weights=column) for column in values.T] + [np.bincount(row)]
    user_sums = np.stack(columns, axis=1)  # (num_users, num_columns + 1): sums, then the number of queries
    if len(user_sums) < 2:
        return np.full((draws, values.shape[1]), np.nan)
    rng, num_users, parts = np.random.default_rng(seed), len(user_sums), []
    size = max(1, _CHUNK // num_users)
    for begin in range(0, draws, size):
        number = min(size, draws - begin)
        drawn = rng.integers(num_users, size=(number, num_users))
        drawn += num_users * np.arange(number)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=number * num_users).reshape(number, num_users)
        sums = counts @ user_sums  # (number, num_columns + 1)
        parts.append(sums[:, :-1] / sums[:, -1:])
    return np.concatenate(parts)


def mean_over_seeds(values: Sequence[float], level: float = 0.95) -> SeedMean:
    """Return the mean over training seeds and the half width of its Student's t interval.

    Parameters
    ----------
    values
        One value per seed.
    level
        Coverage of the interval.

    Raises
    ------
    ValueError
        If there is no value.

    Examples
    --------
    >>> found = mean_over_seeds([0.30, 0.32, 0.31])
    >>> round(found["mean"], 3), round(found["half_width"], 3)
    (0.31, 0.025)
    >>> mean_over_seeds([0.5])
    {'mean': 0.5, 'half_width': None}
    """
    numbers = np.asarray(values, dtype=np.float64)
    if not len(numbers):
        raise ValueError("no values to take the mean of")
    half = None
    if len(numbers) > 1:
        from scipy import stats  # slow to import, and recommending does not need it

        standard_error = numbers.std(ddof=1) / np.sqrt(len(numbers))
        half = float(standard_error * stats.t.ppf((1 + level) / 2, len(numbers) - 1))
    return {"mean": float(numbers.mean()), "half_width": half}
