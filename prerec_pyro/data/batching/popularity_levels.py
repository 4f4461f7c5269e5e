"""Popularity levels: the distinct popularity factors of a batch, so that Z needs only one row for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.popularity import Popularity


@dataclass(frozen=True, eq=False)
class _Levels:
    """Distinct (slot, count) pairs of one window, numbered from 0, and the level of each candidate and target."""

    factors: np.ndarray
    candidate: np.ndarray
    target: np.ndarray


def popularity_fields(
    encoded: EncodedDomain,
    distinct_slots: np.ndarray,
    slot: np.ndarray,
    candidates: np.ndarray | None,
    targets: np.ndarray | None = None,
) -> tuple[dict[str, Tensor], np.ndarray]:
    """Return the fields of `Batch` about popularity, and the counts of the candidates, ``(num_slots, num_candidates)``.

    The fields are ``factors``, ``level_window`` and ``candidate_level``; with other windows ``window_level``; with
    `targets` also ``target_level`` and ``target_window_level``.

    Parameters
    ----------
    encoded
        The domain.
    distinct_slots
        ``(num_slots,)`` time slots of the queries, ascending, each once.
    slot
        ``(num_queries,)`` row of `distinct_slots` of each query.
    candidates
        ``(num_candidates,)`` item indices; None is all items of the domain, in order.
    targets
        ``(num_queries,)`` item index of each target, or None.
    """
    base = encoded.popularity
    parts, shown = [], np.empty(0, np.int64)
    for number, popularity in enumerate((base, *encoded.other_popularity)):
        slots = distinct_slots if number == 0 else popularity.slots_of(base, distinct_slots)
        counts = popularity.counts_of_all(slots) if candidates is None else popularity.counts_of_few(candidates, slots)
        own = None if targets is None else popularity.counts(targets, slots[slot])
        parts.append(_number_levels(popularity, slots, slot, counts, own))
        shown = counts if number == 0 else shown
    first = np.cumsum([0, *(len(part.factors) for part in parts)])
    window = np.repeat(np.arange(len(parts)), np.diff(first))
    fields = {
        "factors": np.concatenate([part.factors for part in parts]),  # (num_levels, 4)
        "level_window": window,
        "candidate_level": parts[0].candidate,
    }
    if targets is not None:
        fields["target_level"] = parts[0].target
    others = list(zip(parts[1:], first[1:-1], strict=True))
    if others:
        fields["window_level"] = np.stack([part.candidate + at for part, at in others])
    if others and targets is not None:
        fields["target_window_level"] = np.stack([part.target + at for part, at in others])
    return {name: torch.from_numpy(value) for name, value in fields.items()}, shown


def _number_levels(
    popularity: Popularity, slots: np.ndarray, slot: np.ndarray, counts: np.ndarray, own: np.ndarray | None
) -> _Levels:
    """Return the levels of one window.

    Parameters
    ----------
    popularity
        Index of the window.
    slots
        ``(num_slots,)`` its time slots.
    slot
        ``(num_queries,)`` row of `slots` of each query.
    counts
        ``(num_slots, num_candidates)`` counts c_j^T of the candidates.
    own
        ``(num_queries,)`` count of each target, or None.
    """
    base = int(max(counts.max(initial=0), 0 if own is None else own.max(initial=0))) + 1
    keys = (np.arange(len(slots))[:, None] * base + counts).reshape(-1)
    if own is not None:
        keys = np.concatenate([keys, slot * base + own])
    level, row = _numbered(keys, len(slots) * base)
    factors = popularity.factors(level % base, slots[level // base])  # (num_levels, 4)
    return _Levels(factors, row[: counts.size].reshape(counts.shape), row[counts.size :])


def _numbered(keys: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ``np.unique(keys, return_inverse=True)`` for whole numbers below `limit`, without a sort if possible."""
    if limit > 4 * len(keys):
        return np.unique(keys, return_inverse=True)
    occurs = np.zeros(limit, bool)
    occurs[keys] = True
    distinct = np.flatnonzero(occurs)
    number = np.empty(limit, np.int64)  # only the keys that occur are written, and read
    number[distinct] = np.arange(len(distinct))
    return distinct, number[keys]
