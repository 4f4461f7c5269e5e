"""Windows over the sequences of users: the events that queries read, at most 64, and the events they predict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_HISTORY = 64


@dataclass(frozen=True, eq=False)
class Windows:
    """Runs of consecutive events, each of one user and read in one causal pass.

    Window ``w`` reads the events ``start[w] … start[w] + length[w] - 1``. From each of its last ``num_queries[w]``
    positions it predicts the event after that position.

    Attributes
    ----------
    start, length, num_queries
        ``(num_windows,)`` int64; ``1 <= num_queries <= length <= 64``.
    """

    start: np.ndarray
    length: np.ndarray
    num_queries: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, rows: np.ndarray | slice) -> Windows:
        return Windows(self.start[rows], self.length[rows], self.num_queries[rows])


def exact_windows(offsets: np.ndarray, users: np.ndarray, max_history: int = MAX_HISTORY) -> Windows:
    """Return windows in which every query of `users` reads exactly its `max_history` most recent items.

    The first `max_history` queries of a user share one window, since a causal pass gives each position its own prefix.
    Each later query has its own window.

    Parameters
    ----------
    offsets
        ``(num_users + 1,)`` offsets of the domain.
    users
        ``(n,)`` user rows.
    max_history
        Maximum number of items that a query reads.
    """
    start, end = offsets[users], offsets[users + 1]
    queries = end - start - 1  # every event but the first is a target
    some = queries > 0
    start, queries = start[some], queries[some]
    shared = np.minimum(queries, max_history)
    later = queries - shared  # (n,)
    first = np.repeat(start + 1, later)
    step = np.arange(later.sum()) - np.repeat(later.cumsum() - later, later)
    return Windows(
        np.concatenate([start, first + step]),
        np.concatenate([shared, np.full(len(first), max_history, np.int64)]),
        np.concatenate([shared, np.ones(len(first), np.int64)]),
    )


def training_windows(
    offsets: np.ndarray,
    users: np.ndarray,
    rng: np.random.Generator,
    max_history: int = MAX_HISTORY,
    *,
    lengths: np.ndarray | None = None,
) -> Windows:
    """Return windows in which every query of `users` occurs exactly once, for one epoch.

    A sequence of up to ``max_history + 1`` events is one window, so each query reads its whole history. A longer
    sequence is cut into blocks at a random phase, drawn again for each epoch: a query then reads the items of its block
    before it, at most `max_history`. The evaluation protocol (`exact_windows`) never cuts.

    Parameters
    ----------
    offsets
        ``(num_users + 1,)`` offsets of the domain.
    users
        ``(n,)`` user rows.
    rng
        Generator of the phases.
    max_history
        Maximum number of items that a query reads.
    lengths
        ``(n,)`` number of first events of each user that count, see `first_samples`; None: all events.
    """
    start, end = offsets[users], offsets[users + 1]
    if lengths is not None:
        end = np.minimum(end, start + lengths)
    queries = end - start - 1
    some = queries > 0
    start, queries = start[some], queries[some]
    long = queries > max_history
    phase = np.where(long, rng.integers(0, max_history, len(start)), 0)
    blocks = -(-(queries + phase) // max_history)  # (n,)
    number = np.arange(blocks.sum()) - np.repeat(blocks.cumsum() - blocks, blocks)
    begin = number * max_history - np.repeat(phase, blocks)
    last = np.minimum(begin + max_history, np.repeat(queries, blocks))
    begin = np.maximum(begin, 0)
    return Windows(np.repeat(start, blocks) + begin, last - begin, last - begin)


def buckets(windows: Windows, max_tokens: int, rng: np.random.Generator | None = None) -> list[np.ndarray]:
    """Return groups of windows of similar length, each with at most `max_tokens` positions after padding.

    Parameters
    ----------
    windows
        The windows.
    max_tokens
        Bound on ``len(group) * longest window``; a group holds at least one window.
    rng
        Shuffles windows of equal length among the groups, and the groups; None keeps the order of length.

    Returns
    -------
    list
        Arrays of rows of `windows`.
    """
    if not len(windows):
        return []
    jitter = rng.random(len(windows)) if rng is not None else np.zeros(len(windows))
    order = np.argsort(windows.length + jitter, kind="stable")
    length = windows.length[order]
    groups, begin = [], 0
    while begin < len(order):
        # Lengths ascend, so the padded size of a group that ends at e is (e - begin) * length[e - 1].
        ends = np.arange(begin + 1, min(begin + max_tokens, len(order)) + 1)
        fits = np.searchsorted((ends - begin) * length[ends - 1], max_tokens, side="right")
        end = begin + max(1, int(fits))
        groups.append(order[begin:end])
        begin = end
    if rng is not None:
        rng.shuffle(groups)
    return groups
