"""Which candidates a query's user has met before, 1[j ∈ H_i], and how often the user took such an item again."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class SeenItems(NamedTuple):
    """What some users met before: distinct (row, item) pairs, by row, and the ``(num_users, 2)`` `repeat_counts`."""

    rows: np.ndarray
    items: np.ndarray
    counts: np.ndarray


def seen_items(history: np.ndarray, positions: np.ndarray) -> SeenItems:
    """Return both for queries as below."""
    return SeenItems(*repeats_in_catalogue(history, positions), repeat_counts(history, positions))


def repeats_in_catalogue(history: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (query, item) of every item in the history that a query reads, each pair once.

    Parameters
    ----------
    history
        ``(num_sequences, length)`` rows of items.
    positions
        ``(num_queries,)`` where the queries stand in ``history.flatten()``; a query reads up to and with its own.
    """
    length = history.shape[1]
    sequence, last = np.divmod(positions, length)
    read = np.arange(length) <= last[:, None]  # (num_queries, length)
    query, column = np.nonzero(read)
    width = int(history.max(initial=0)) + 1
    return np.divmod(np.unique(query * width + history[sequence[query], column]), width)


def repeats_among(history: np.ndarray, positions: np.ndarray, negatives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (query, column) of every negative that stands in the history its query reads.

    Parameters
    ----------
    history, positions
        As above.
    negatives
        ``(num_negatives,)`` rows of items, shared by all queries.
    """
    num_sequences, length = history.shape
    distinct, column = np.unique(negatives, return_inverse=True)
    place = np.searchsorted(distinct, history)
    met = distinct[np.minimum(place, len(distinct) - 1)] == history  # (num_sequences, length)
    sequence, position = np.nonzero(met)
    first = np.full((num_sequences, len(distinct)), length, dtype=np.int16)
    np.minimum.at(first, (sequence, place[sequence, position]), position.astype(np.int16))
    own, last = np.divmod(positions, length)
    return np.nonzero(first[:, column][own] <= last.astype(np.int16)[:, None])


def repeated_targets(history: np.ndarray, positions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return ``(num_queries,)`` bool: the target stands in the history that its query reads."""
    length = history.shape[1]
    sequence, last = np.divmod(positions, length)
    read = np.arange(length) <= last[:, None]
    return ((history[sequence] == targets[:, None]) & read).any(axis=1)


def repeat_counts(history: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return ``(num_queries, 2)`` float32: how many events that a query reads repeat an earlier one, and do not.

    The first event of what is read counts as neither: it could not.

    Parameters
    ----------
    history, positions
        As above.
    """
    order = history.argsort(axis=1, kind="stable")
    of_item = np.take_along_axis(history, order, axis=1)
    repeats = np.zeros(history.shape, dtype=np.int32)
    np.put_along_axis(repeats, order[:, 1:], (of_item[:, 1:] == of_item[:, :-1]).astype(np.int32), axis=1)
    again = repeats.cumsum(axis=1).reshape(-1)[positions]
    return np.stack([again, positions % history.shape[1] - again], axis=1).astype(np.float32)
