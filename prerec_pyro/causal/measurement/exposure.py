"""Bootstrap over users of exposure statistics: coverage, Gini index and shares by popularity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_GROUPS = 10
_CHUNK = 1 << 23  # numbers at a time: bounds memory


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval over users.

    Attributes
    ----------
    value
        The estimate.
    low, high
        Ends of the interval; NaN where there are fewer than two users.
    """

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float | None]:
        """Return the numbers by name; NaN becomes None."""
        return {name: None if np.isnan(value) else float(value) for name, value in vars(self).items()}


def popularity_groups(counts: np.ndarray, number: int = NUM_GROUPS) -> np.ndarray:
    """Return the popularity group of each item by rank, ``(num_items,)``, 0 for the least popular.

    Parameters
    ----------
    counts
        ``(num_items,)`` interactions of each item; ties keep the order of the catalogue.
    number
        Number of groups, equal in size up to one item.
    """
    rank = np.empty(len(counts), np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    return rank * number // len(counts)


class ExposureBootstrap:
    """Exposure statistics of lists, for the users as they are and for bootstrap draws of users.

    Every set of lists uses the same draws, so that differences are paired. Coverage counts distinct items and grows
    with the number of distinct users, and a draw has fewer of these. An interval is therefore that of the draws,
    shifted to the estimate; see `interval`.

    Parameters
    ----------
    users
        ``(num_queries,)`` user of each list.
    group
        ``(num_items,)`` from `popularity_groups`.
    draws
        Number of draws of users.
    seed
        Seed of the draws.
    """

    def __init__(self, users: np.ndarray, group: np.ndarray, *, draws: int = 1000, seed: int = 0) -> None:
        from scipy import sparse  # slow to import, and recommending does not need it

        _, self._row = np.unique(users, return_inverse=True)
        self.num_users = int(self._row.max()) + 1
        self._group = sparse.csr_array(
            (np.ones(len(group)), (np.arange(len(group)), group)), shape=(len(group), int(group.max()) + 1)
        )
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(self.num_users, np.full(self.num_users, 1 / self.num_users), size=draws)
        self._times = np.concatenate([np.ones((1, self.num_users)), drawn])  # (1 + draws, num_users)

    def statistics(self, shown: np.ndarray) -> dict[str, np.ndarray]:
        """Return ``coverage`` and ``gini_exposure``, ``(1 + draws,)``, and ``share``, ``(1 + draws, num_groups)``.

        The first row is for the users as they are.

        Parameters
        ----------
        shown
            ``(num_queries, k)`` item indices.
        """
        from scipy import sparse

        num_items = self._group.shape[0]
        rows = np.repeat(self._row, shown.shape[1])
        by_user = sparse.csr_array((np.ones(shown.size), (rows, shown.ravel())), shape=(self.num_users, num_items))
        parts = []
        size = max(1, _CHUNK // num_items)
        for begin in range(0, len(self._times), size):
            times = (by_user.T @ self._times[begin : begin + size].T).T  # (size, num_items)
            parts.append((_coverage(times), _gini(times), (times @ self._group) / times.sum(1, keepdims=True)))
        coverage, gini, share = (np.concatenate(column) for column in zip(*parts, strict=True))
        return {"coverage": coverage, "gini_exposure": gini, "share": share}


def interval(values: np.ndarray, *, lowest: float = 0.0, level: float = 0.95) -> Estimate:
    """Return ``values[0]`` with the interval ``values[0] + (draws - their median)``, cut to `lowest` … 1.

    Parameters
    ----------
    values
        ``(1 + draws,)`` a statistic for the users as they are, then for each draw.
    lowest
        Smallest possible value: 0 for a share, -1 for a difference of two shares.
    level
        Coverage of the interval.
    """
    value, draws = float(values[0]), values[1:]
    tail = (1 - level) / 2
    low, middle, high = np.quantile(draws, [tail, 0.5, 1 - tail])
    return Estimate(value, *(float(np.clip(value + end - middle, lowest, 1.0)) for end in (low, high)))


def _coverage(times: np.ndarray) -> np.ndarray:
    return (times > 0).mean(axis=1)


def _gini(times: np.ndarray) -> np.ndarray:
    num_items = times.shape[1]
    weight = 2 * np.arange(1, num_items + 1) - num_items - 1
    return np.sort(times, axis=1) @ weight / (num_items * times.sum(axis=1))
