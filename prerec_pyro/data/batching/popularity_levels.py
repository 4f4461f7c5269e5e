"""Popularity levels: the distinct popularity factors of a batch, so that Z needs only one row for each."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.encoded import EncodedDomain


def number_levels(
    encoded: EncodedDomain,
    distinct_slots: np.ndarray,
    slot: np.ndarray,
    counts: np.ndarray,
    own: np.ndarray | None,
) -> dict[str, Tensor]:
    """Return ``factors``, ``candidate_level`` and, with `own`, ``target_level``, the fields of `Batch`.

    A level is a distinct (slot, count) pair; levels are numbered from 0.

    Parameters
    ----------
    encoded
        The domain.
    distinct_slots
        ``(num_slots,)`` time slots of the queries, each once.
    slot
        ``(num_queries,)`` row of `distinct_slots` of each query.
    counts
        ``(num_slots, num_candidates)`` counts c_j^T of the candidates.
    own
        ``(num_queries,)`` count of each target, or None.
    """
    base = int(max(counts.max(initial=0), 0 if own is None else own.max(initial=0))) + 1
    keys = (np.arange(len(distinct_slots))[:, None] * base + counts).reshape(-1)
    if own is not None:
        keys = np.concatenate([keys, slot * base + own])
    level, row = _numbered(keys, len(distinct_slots) * base)
    factors = encoded.popularity.factors(level % base, distinct_slots[level // base])  # (num_levels, 4)
    result = {
        "factors": torch.from_numpy(factors),
        "candidate_level": torch.from_numpy(row[: counts.size].reshape(counts.shape)),
    }
    if own is not None:
        result["target_level"] = torch.from_numpy(row[counts.size :])
    return result


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
