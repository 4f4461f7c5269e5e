"""Who gets shown: coverage, Gini index and shares by popularity, and how sure they are over users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_GROUPS = 10
_CHUNK = 1 << 23  # numbers at a time


@dataclass(frozen=True)
class Estimate:
    """A number with the ends of its 95 % interval over users; NaN where there are fewer than two."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float | None]:
        """Return the numbers by name; None for NaN."""
        return {name: None if np.isnan(value) else float(value) for name, value in vars(self).items()}


def popularity_groups(counts: np.ndarray, number: int = NUM_GROUPS) -> np.ndarray:
    """Return ``(num_items,)`` the tenth of the catalogue that each item is in, 0 the least popular, by rank.

    Parameters
    ----------
    counts
        ``(num_items,)`` interactions of each item; those with as many keep the catalogue's order.
    number
        Of groups, equal in size up to one item.
    """
    rank = np.empty(len(counts), np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    return rank * number // len(counts)


class ExposureBootstrap:
    """Statistics of what lists show of a catalogue, on the users as they are and on draws of as many users.

    The same draws for every set of lists, so that differences are paired. Coverage counts distinct items and so grows
    with the number of distinct users; a draw has fewer of these. Intervals are therefore those of the draws, moved to
    where the estimate is; see `interval`.

    Parameters
    ----------
    users
        ``(num_queries,)`` whose list each is.
    group
        ``(num_items,)`` from `popularity_groups`.
    draws, seed
        How many draws of users, and where the random numbers start.
    """

    def __init__(self, users: np.ndarray, group: np.ndarray, *, draws: int = 1000, seed: int = 0) -> None:
        from scipy import sparse  # not at the top: whoever recommends need not wait for it

        _, self._row = np.unique(users, return_inverse=True)
        self.num_users = int(self._row.max()) + 1
        self._group = sparse.csr_array(
            (np.ones(len(group)), (np.arange(len(group)), group)), shape=(len(group), int(group.max()) + 1)
        )
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(self.num_users, np.full(self.num_users, 1 / self.num_users), size=draws)
        self._times = np.concatenate([np.ones((1, self.num_users)), drawn])  # (1 + draws, num_users); first as it is

    def statistics(self, shown: np.ndarray) -> dict[str, np.ndarray]:
        """Return ``coverage``, ``gini_exposure``, ``(1 + draws,)``, and ``share``, ``(1 + draws, num_groups)``.

        Parameters
        ----------
        shown
            ``(num_queries, k)`` item indices.
        """
        from scipy import sparse

        num_items = self._group.shape[0]
        rows = np.repeat(self._row, shown.shape[1])
        of_user = sparse.csr_array((np.ones(shown.size), (rows, shown.ravel())), shape=(self.num_users, num_items))
        parts = []
        size = max(1, _CHUNK // num_items)
        for begin in range(0, len(self._times), size):
            times = (of_user.T @ self._times[begin : begin + size].T).T  # (size, num_items)
            parts.append((_coverage(times), _gini(times), (times @ self._group) / times.sum(1, keepdims=True)))
        coverage, gini, share = (np.concatenate(column) for column in zip(*parts, strict=True))
        return {"coverage": coverage, "gini_exposure": gini, "share": share}


def interval(values: np.ndarray, *, lowest: float = 0.0, level: float = 0.95) -> Estimate:
    """Return the estimate of ``values[0]`` with the interval ``value + (draws - their median)``, from `lowest` to 1.

    Parameters
    ----------
    values
        ``(1 + draws,)`` a statistic on the users as they are, and on draws of them.
    lowest
        What it can be: 0 for a share, -1 for a difference of two.
    level
        Of the interval.
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
