"""Which queries of a domain's log a posterior is given, and on which of them its density is evaluated."""

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
    """Queries of some users, against the full catalogue, with histories as in training; see `training_windows`.

    Attributes
    ----------
    encoded
        The domain.
    given
        Windows of all queries that the posterior is given.
    evaluated
        Windows of those that its density is evaluated on, a simple random sample of `given`, or all.
    num_log
        Queries of all users that were asked about, of which `given` may be a part.
    """

    encoded: EncodedDomain
    given: Windows
    evaluated: Windows
    num_log: int

    @property
    def num_given(self) -> int:
        """Queries that the posterior is given."""
        return int(self.given.num_queries.sum())

    @property
    def num_evaluated(self) -> int:
        """Queries that the density is evaluated on."""
        return int(self.evaluated.num_queries.sum())

    @property
    def weight(self) -> float:
        """How many of the given queries each evaluated one stands for."""
        return self.num_given / self.num_evaluated

    def batches(self, windows: Windows) -> Iterator[Batch]:
        """Yield the queries of some windows in batches of like length, so that little is computed on padding."""
        most = max(1, MAX_SCORES // max(self.encoded.num_items, 1))
        for group in buckets(windows, min(MAX_TOKENS, most)):
            yield catalogue_batch(self.encoded, windows[group])[0]


def sample_log(
    encoded: EncodedDomain, users: np.ndarray, *, max_log: int | None, queries: int | None, seed: int = 0
) -> LogSample:
    """Return queries of `users`: whole users until there are `max_log`, and of these windows until there are `queries`.

    Parameters
    ----------
    encoded
        The domain.
    users
        ``(n,)`` user rows whose log may be read.
    max_log, queries
        Bounds, reached by less than one user and one window; None is all.
    seed
        Of both draws.

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
            f"domain {encoded.name!r}: no training user with two events, so the log says nothing; give it more users"
        )
    read = users if max_log is None else users[np.sort(_until(sizes, max_log, rng))]
    given = training_windows(encoded.domain.offsets, read, rng)
    rows = slice(None) if queries is None else np.sort(_until(given.num_queries, queries, rng))
    return LogSample(encoded, given, given[rows], int(sizes.sum()))


def _until(sizes: np.ndarray, bound: int, rng: np.random.Generator) -> np.ndarray:
    """Return rows in random order, the fewest whose sizes add up to `bound`; all where they do not."""
    order = rng.permutation(np.flatnonzero(sizes))
    return order[: int(np.searchsorted(sizes[order].cumsum(), bound)) + 1]
