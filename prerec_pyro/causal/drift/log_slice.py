"""A part of a log as queries: what was chosen between two moments, given all that came before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from prerec_pyro.data.batching.batch import Batch, catalogue_batch
from prerec_pyro.data.batching.windows import MAX_HISTORY, Windows, buckets
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError


def between(domain: Domain, start: int | None, end: int | None) -> Windows:
    """Return windows, one a user, that predict the events from one moment on and before another.

    A window reads at most 64 events, so of a user who has more in between the last 64 are predicted.

    Parameters
    ----------
    domain
        The log.
    start, end
        Seconds since 1970; None is the log's own.

    Raises
    ------
    InputError
        If there is no such event that follows another of its user, or the domain knows no times.
    """
    if domain.timestamps is None:
        raise InputError(f"domain {domain.name!r} has no timestamps, only an order; it has no later part to look at")
    offsets = domain.offsets[:-1].astype(np.intp)  # every user has an event

    def before(moment: int | None, default: np.ndarray) -> np.ndarray:
        return default if moment is None else np.add.reduceat(domain.timestamps < moment, offsets)

    length = np.diff(domain.offsets)
    first = np.maximum(before(start, np.zeros_like(length)), 1)  # a user's first event is never predicted
    stop = before(end, length)
    read = np.minimum(stop - 1, MAX_HISTORY)
    number = np.minimum(stop - first, read)
    some = number > 0
    if not some.any():
        raise InputError(
            f"domain {domain.name!r}: no event of one part of the log follows another of its user, so there is nothing "
            "to predict; give another moment"
        )
    return Windows((offsets + stop - 1 - read)[some], read[some], number[some])


def sampled(windows: Windows, max_queries: int, rng: np.random.Generator) -> np.ndarray:
    """Return rows of windows in random order, the fewest that give `max_queries`, or all."""
    order = rng.permutation(len(windows))
    return order[: int(np.searchsorted(windows.num_queries[order].cumsum(), max_queries)) + 1]


def batches(encoded: EncodedDomain, windows: Windows, *, max_scores: int = 1 << 22) -> Iterator[Batch]:
    """Yield the queries of some windows against the full catalogue, in batches of like length."""
    for group in buckets(windows, min(1 << 12, max(1, max_scores // max(encoded.num_items, 1)))):
        yield catalogue_batch(encoded, windows[group])[0]
