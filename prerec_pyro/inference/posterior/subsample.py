"""The part of a domain's log that a posterior is given, and the part of it that its density is evaluated on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from prerec_pyro.data.batching.batch import Batch, catalogue_batch
from prerec_pyro.data.batching.windows import Windows, buckets, training_windows
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError

MAX_TOKENS, MAX_SCORES = 1024, 1 << 22


@dataclass(frozen=True, eq=False)
class LogSample:
    """Queries of some users against the full catalogue, with histories as in training; see `training_windows`.

    Attributes
    ----------
    encoded
        The domain.
    given
        Windows of all queries that the posterior is given.
    evaluated
        Windows of the queries that its density is evaluated on: a simple random sample of `given`, or all of it.
    num_log
        Number of queries of all users that were named; `given` may hold fewer.
    """

    encoded: EncodedDomain
    given: Windows
    evaluated: Windows
    num_log: int

    @property
    def num_given(self) -> int:
        """Number of queries that the posterior is given."""
        return int(self.given.num_queries.sum())

    @property
    def num_evaluated(self) -> int:
        """Number of queries that the density is evaluated on."""
        return int(self.evaluated.num_queries.sum())

    @property
    def weight(self) -> float:
        """Number of given queries that each evaluated query represents."""
        return self.num_given / self.num_evaluated

    def batches(self, windows: Windows) -> Iterator[Batch]:
        """Yield the queries of some windows in batches of similar length, which keeps padding small."""
        max_queries = max(1, MAX_SCORES // max(self.encoded.num_items, 1))
        for group in buckets(windows, min(MAX_TOKENS, max_queries)):
            yield catalogue_batch(self.encoded, windows[group])[0]


def sample_log(
    encoded: EncodedDomain, users: np.ndarray, *, max_log: int | None, queries: int | None, seed: int = 0
) -> LogSample:
    """Return a sample of the queries of some users: whole users up to `max_log`, and windows of these up to `queries`.

    Parameters
    ----------
    encoded
        The domain.
    users
        ``(n,)`` rows of the users whose log may be used.
    max_log, queries
        Bounds on the number of queries; the last user or window that is drawn may pass them. None is no bound.
    seed
        Seed of both draws.

    Raises
    ------
    InputError
        If a bound is not positive, or no user has two events.
    """
    for name, bound in (("max_log", max_log), ("queries", queries)):
        if bound is not None and bound < 1:
            raise InputError(f"{name} is {bound}, expected 1 or more, or None for all")
    rng = np.random.default_rng(seed)
    sizes = np.maximum(np.diff(encoded.domain.offsets)[users] - 1, 0)
    if not sizes.sum():
        raise InputError(
            f"domain {encoded.name!r}: no training user has two events, so the log holds no choice; add users"
        )
    kept = users if max_log is None else users[np.sort(_draw_until(sizes, max_log, rng))]
    given = training_windows(encoded.domain.offsets, kept, rng)
    rows = slice(None) if queries is None else np.sort(_draw_until(given.num_queries, queries, rng))
    return LogSample(encoded, given, given[rows], int(sizes.sum()))


def _draw_until(sizes: np.ndarray, bound: int, rng: np.random.Generator) -> np.ndarray:
    """Return random rows, the fewest whose sizes add up to `bound`, or all if they do not reach it."""
    order = rng.permutation(np.flatnonzero(sizes))
    return order[: int(np.searchsorted(sizes[order].cumsum(), bound)) + 1]
