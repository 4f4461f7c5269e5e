"""Popularity levels: the distinct popularity factors of a batch, so that Z needs only one row for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.newcomers import YoungItems
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
    `targets` also ``target_level`` and ``target_window_level``. The factors of newcomers are those of raised counts,
    see `Newcomers`; the counts that are returned are those of the log.

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
    newcomers, young, own_kind = encoded.newcomers, None, None
    if newcomers is not None:
        young = newcomers.among(distinct_slots, candidates)
        own_kind = None if targets is None else newcomers.kinds(targets, distinct_slots[slot])
    for number, popularity in enumerate((base, *encoded.other_popularity)):
        slots = distinct_slots if number == 0 else popularity.slots_of(base, distinct_slots)
        counts = popularity.counts_of_all(slots) if candidates is None else popularity.counts_of_few(candidates, slots)
        own = None if targets is None else popularity.counts(targets, slots[slot])
        codes = _Codes(counts, own, young, own_kind)
        lacking = None if newcomers is None else newcomers.lacking(popularity, slots)
        parts.append(_number_levels(popularity, slots, slot, codes, lacking))
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


class _Codes:
    """Counts as whole numbers, with numbers of their own for the counts of newcomers.

    Parameters
    ----------
    counts
        ``(num_slots, num_candidates)`` counts c_j^T of the candidates.
    own
        ``(num_queries,)`` count of each target, or None.
    young, own_kind
        The newcomers among the candidates, and the kind of each target, -1 if it is no newcomer; None without any.

    Attributes
    ----------
    candidate, target
        Code of each candidate in each slot and of each target: the count or, for a newcomer, a number for its count and
        kind.
    limit
        Number above all codes.
    """

    def __init__(
        self, counts: np.ndarray, own: np.ndarray | None, young: YoungItems | None, own_kind: np.ndarray | None
    ) -> None:
        self.candidate, self.target = counts, own
        self._base = self.limit = int(max(counts.max(initial=0), 0 if own is None else own.max(initial=0))) + 1
        self._step = 1
        if young is None:
            return
        of_young = counts[young.row, young.column]
        is_young = None if own_kind is None else own_kind >= 0
        of_targets = of_young[:0] if own is None or is_young is None else own[is_young]
        self._step = int(max(of_young.max(initial=0), of_targets.max(initial=0))) + 1
        self.candidate = counts.copy()
        self.candidate[young.row, young.column] = self._base + young.kind * self._step + of_young
        kinds = young.kind
        if own is not None and is_young is not None and own_kind is not None:
            self.target = np.where(is_young, self._base + own_kind * self._step + own, own)
            kinds = np.append(kinds, own_kind)
        self.limit += (int(kinds.max(initial=-1)) + 1) * self._step

    def counts(self, codes: np.ndarray, lacking: np.ndarray | None, slot: np.ndarray) -> np.ndarray:
        """Return the count that each code in each slot stands for; see `Newcomers.lacking`."""
        if lacking is None:
            return codes
        kind, count = np.divmod(codes - self._base, self._step)
        is_young = codes >= self._base
        return np.where(is_young, count + lacking[slot, np.where(is_young, kind, 0)], codes)


def _number_levels(
    popularity: Popularity, slots: np.ndarray, slot: np.ndarray, codes: _Codes, lacking: np.ndarray | None
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
    codes
        Codes of the counts of the candidates and targets.
    lacking
        What newcomers lack in each slot, from `Newcomers.lacking`; None without any.
    """
    base, counts = codes.limit, codes.candidate
    keys = (np.arange(len(slots))[:, None] * base + counts).reshape(-1)
    if codes.target is not None:
        keys = np.concatenate([keys, slot * base + codes.target])
    level, row = _numbered(keys, len(slots) * base)
    found = codes.counts(level % base, lacking, level // base)
    factors = popularity.factors(found, slots[level // base])  # (num_levels, 4)
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
