"""Parts of a log as queries: the events between two times, each predicted from all that came before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from prerec_pyro.data.batching.batch import Batch, catalogue_batch
from prerec_pyro.data.batching.windows import MAX_HISTORY, Windows, buckets
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError

NUM_GROUPS = 64


@dataclass(frozen=True, eq=False)
class LogPart:
    """A sample of the queries of one part of a log, one window per user, in random order.

    Attributes
    ----------
    windows
        The queries.
    """

    windows: Windows

    @classmethod
    def draw(
        cls, domain: Domain, start: int | None, end: int | None, max_queries: int, rng: np.random.Generator
    ) -> LogPart:
        """Return whole windows between two times, drawn until they give `max_queries`; see `between` and `sample`."""
        windows = between(domain, start, end)
        return cls(windows[sample(windows, max_queries, rng)])

    @property
    def num_queries(self) -> int:
        """Number of queries."""
        return int(self.windows.num_queries.sum())

    def groups(self, num_coordinates: int) -> list[np.ndarray]:
        """Return the window rows of each group of users, equal in size up to one.

        Parameters
        ----------
        num_coordinates
            Number of coordinates with a covariance to estimate from the groups.

        Raises
        ------
        InputError
            If there are fewer than 4 users per coordinate.
        """
        least = 4 * num_coordinates
        if len(self.windows) < least:
            raise InputError(
                f"drift: {len(self.windows)} users have an event to predict in one part of the log, expected {least} "
                "or more; choose another time, or fewer directions"
            )
        return np.array_split(np.arange(len(self.windows)), min(NUM_GROUPS, len(self.windows)))


def between(domain: Domain, start: int | None, end: int | None) -> Windows:
    """Return windows, one per user, that predict the events from `start` on and before `end`.

    A window holds at most 64 events. If a user has more of them between the two times, the last 64 are predicted.

    Parameters
    ----------
    domain
        Domain with its log.
    start, end
        Seconds since 1970; None is the start or the end of the log.

    Raises
    ------
    InputError
        If no such event follows another one of its user, or the domain has no timestamps.
    """
    times = domain.timestamps
    if times is None:
        raise InputError(f"domain {domain.name!r} has no timestamps, only an order; it has no later part")
    offsets = domain.offsets[:-1].astype(np.intp)  # every user has an event
    length = np.diff(domain.offsets)
    begin = np.zeros_like(length) if start is None else np.add.reduceat(times < start, offsets)
    stop = length if end is None else np.add.reduceat(times < end, offsets)
    first = np.maximum(begin, 1)  # a user's first event is never predicted
    read = np.minimum(stop - 1, MAX_HISTORY)
    number = np.minimum(stop - first, read)
    predicted = number > 0
    if not predicted.any():
        raise InputError(
            f"domain {domain.name!r}: no event of one part of the log follows another of its user, so there is nothing "
            "to predict; choose another time"
        )
    return Windows((offsets + stop - 1 - read)[predicted], read[predicted], number[predicted])


def sample(windows: Windows, max_queries: int, rng: np.random.Generator) -> np.ndarray:
    """Return rows of windows in random order: the fewest that give `max_queries`, or all of them."""
    order = rng.permutation(len(windows))
    return order[: int(np.searchsorted(windows.num_queries[order].cumsum(), max_queries)) + 1]


def batches(encoded: EncodedDomain, windows: Windows, *, max_scores: int = 1 << 22) -> Iterator[Batch]:
    """Yield the queries of some windows against the full catalogue, in batches of similar length."""
    for group in buckets(windows, min(1 << 12, max(1, max_scores // max(encoded.num_items, 1)))):
        yield catalogue_batch(encoded, windows[group])[0]
