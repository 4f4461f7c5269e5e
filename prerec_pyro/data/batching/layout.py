"""Layout of windows as padded sequences with the positions of their queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prerec_pyro.data.batching.windows import Windows


@dataclass(frozen=True, eq=False)
class Positions:
    """Windows as padded sequences.

    Attributes
    ----------
    events
        ``(num_sequences, length)`` events of each window, padded on the right with its last event.
    flat
        ``(num_queries,)`` positions of the queries in ``events.flatten()``.
    target_events
        ``(num_queries,)`` events that the queries predict.
    """

    events: np.ndarray
    flat: np.ndarray
    target_events: np.ndarray


def lay_out(windows: Windows) -> Positions:
    """Return the padded layout of `windows`."""
    length = int(windows.length.max())
    column = np.arange(length)
    read = np.minimum(column, windows.length[:, None] - 1)  # (num_sequences, length)
    events = windows.start[:, None] + read
    first = (windows.length - windows.num_queries)[:, None]
    is_query = (column >= first) & (column < windows.length[:, None])
    flat = np.flatnonzero(is_query)
    return Positions(events, flat, events.reshape(-1)[flat] + 1)
