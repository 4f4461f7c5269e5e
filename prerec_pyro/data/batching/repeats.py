"""Repeats: candidates and targets that are seen items, 1[j ∈ H_i], and how often users repeated items before."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class SeenItems(NamedTuple):
    """Seen items of some queries.

    Attributes
    ----------
    rows, items
        Distinct (query, item) pairs, ordered by query.
    counts
        ``(num_queries, 2)`` float32, see `repeat_counts`.
    """

    rows: np.ndarray
    items: np.ndarray
    counts: np.ndarray


def seen_items(history: np.ndarray, positions: np.ndarray) -> SeenItems:
    """Return the seen items of queries; see `repeats_in_catalogue` for the parameters."""
    return SeenItems(*repeats_in_catalogue(history, positions), repeat_counts(history, positions))


def repeats_in_catalogue(history: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (query, item) for every item in the history of a query, each pair once.

    Parameters
    ----------
    history
        ``(num_sequences, length)`` rows of items.
    positions
        ``(num_queries,)`` positions of the queries in ``history.flatten()``; the history of a query is its sequence up
        to its position, which is included.
    """
    length = history.shape[1]
    sequence, last = np.divmod(positions, length)
    read = np.arange(length) <= last[:, None]  # (num_queries, length)
    query, column = np.nonzero(read)
    width = int(history.max(initial=0)) + 1
    return np.divmod(np.unique(query * width + history[sequence[query], column]), width)


def repeats_among(history: np.ndarray, positions: np.ndarray, negatives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (query, column) for every negative in the history of a query.

    Parameters
    ----------
    history, positions
        See `repeats_in_catalogue`.
    negatives
        ``(num_negatives,)`` rows of items, shared by all queries.
    """
    num_sequences, length = history.shape
    distinct, column = np.unique(negatives, return_inverse=True)
    place = np.searchsorted(distinct, history)
    is_negative = distinct[np.minimum(place, len(distinct) - 1)] == history  # (num_sequences, length)
    sequence, position = np.nonzero(is_negative)
    first = np.full((num_sequences, len(distinct)), length, dtype=np.int16)
    np.minimum.at(first, (sequence, place[sequence, position]), position.astype(np.int16))
    own, last = np.divmod(positions, length)
    is_seen = first[:, column][own] <= last.astype(np.int16)[:, None]  # (num_queries, num_negatives)
    return np.divmod(np.flatnonzero(is_seen), len(column))  # few are: `nonzero` of two dimensions is slow


def repeated_targets(history: np.ndarray, positions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return ``(num_queries,)`` bool: whether the target is in the history of its query."""
    length = history.shape[1]
    sequence, last = np.divmod(positions, length)
    read = np.arange(length) <= last[:, None]  # (num_queries, length)
    return ((history[sequence] == targets[:, None]) & read).any(axis=1)


def repeat_counts(history: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return ``(num_queries, 2)`` float32: numbers of events in the history that repeat an item, and that do not.

    The first event of a history counts as neither, since it cannot repeat an item.

    Parameters
    ----------
    history, positions
        See `repeats_in_catalogue`.
    """
    order = history.argsort(axis=1, kind="stable")
    by_item = np.take_along_axis(history, order, axis=1)
    repeats = np.zeros(history.shape, dtype=np.int32)
    np.put_along_axis(repeats, order[:, 1:], (by_item[:, 1:] == by_item[:, :-1]).astype(np.int32), axis=1)
    repeated = repeats.cumsum(axis=1).reshape(-1)[positions]  # (num_queries,)
    return np.stack([repeated, positions % history.shape[1] - repeated], axis=1).astype(np.float32)
