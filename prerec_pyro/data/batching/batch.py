"""Batches of queries: the data of a domain that one step of a graph reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.batching.layout import lay_out
from prerec_pyro.data.batching.popularity_levels import popularity_fields
from prerec_pyro.data.batching.repeats import repeat_counts, repeats_in_catalogue
from prerec_pyro.data.batching.windows import Windows, buckets, exact_windows
from prerec_pyro.data.encoded import EncodedDomain


@dataclass(frozen=True, eq=False)
class Batch:
    """Queries of one domain, their histories, and the candidates that they score.

    A query is one (user, time): a position in a sequence; its target is the next item. The other fields name items by
    their row in this batch: ``items[row]`` is the item index in the domain.

    Attributes
    ----------
    domain
        Row of D_k; also 0 for a domain that the model was not trained on, where `do` sets D.
    num_domain_items, num_domain_queries
        Full sizes of the plates ``items`` and ``queries``; the batch holds a part of each.
    items
        ``(num_rows,)`` item indices.
    item_rows
        ``(num_rows,)`` rows in the table of item offsets of all trained domains.
    texts
        X_j, ``(num_rows, text_dim)``.
    covariates
        Name → ``(num_rows,)`` item covariates of the domain; empty without any.
    prior_weight
        ``(num_rows,)`` number of items of the domain that each row represents in the prior of V: the number of times it
        was drawn as a negative, times num_domain_items / num_negatives. The draw is uniform, so the weighted sum over
        rows is an unbiased estimate of the sum over the domain. None outside training.
    history
        H_i, ``(num_sequences, length)`` rows of `items`, padded on the right with any valid row.
    positions
        ``(num_queries,)`` positions of the queries in ``history.flatten()``.
    targets
        ``(num_queries,)`` rows of `items`, or None where the next item is unknown.
    negatives
        ``(num_negatives,)`` rows of `items` drawn uniformly from the domain; None where the rows are all items of the
        domain, in order, and all are candidates.
    factors
        F_j, ``(num_levels, 4)``: the distinct popularity factors. Items with the same count in the same time slot share
        a row. This keeps Z small, which otherwise has queries × candidates × B numbers.
    level_window
        ``(num_levels,)`` window that each row of `factors` counts in: 0 for the domain's own, then its other windows.
    target_level
        ``(num_queries,)`` row of `factors` of each target, at the slot of its query.
    candidate_level
        ``(num_slots, num_candidates)`` row of `factors` of each candidate (negatives, or all rows) in each slot.
    window_level, target_window_level
        ``(num_windows, num_slots, num_candidates)`` and ``(num_windows, num_queries)``: the same in each of the other
        windows; None without any.
    slot
        ``(num_queries,)`` row of `candidate_level` of each query.
    repeats
        ``(2, num_repeats)`` (query, candidate) pairs in which the candidate is in the history of the query.
    target_repeats
        ``(num_queries,)`` bool: whether the target is in the history of its query.
    repeat_counts
        ``(num_queries, 2)`` numbers of events of the history that repeat an earlier item, and that do not; None where
        there are negatives.
    times
        ``(num_slots,)`` time slot of the domain for each row of `candidate_level`.
    counts
        ``(num_slots, num_candidates)`` c_j^T for `candidate_level`; None where there are negatives.
    events
        ``(num_queries,)`` positions in the log of the predicted events, or None.
    """

    domain: int
    num_domain_items: int
    num_domain_queries: int
    items: Tensor
    item_rows: Tensor
    texts: Tensor
    history: Tensor
    positions: Tensor
    factors: Tensor
    candidate_level: Tensor
    slot: Tensor
    repeats: Tensor
    times: Tensor
    level_window: Tensor | None = None
    window_level: Tensor | None = None
    targets: Tensor | None = None
    target_level: Tensor | None = None
    target_window_level: Tensor | None = None
    target_repeats: Tensor | None = None
    repeat_counts: Tensor | None = None
    negatives: Tensor | None = None
    prior_weight: Tensor | None = None
    counts: Tensor | None = None
    events: Tensor | None = None
    covariates: dict[str, Tensor] = field(default_factory=dict)

    @property
    def num_queries(self) -> int:
        """Number of queries."""
        return len(self.positions)

    @property
    def is_training(self) -> bool:
        """True for a batch to train on."""
        return self.prior_weight is not None

    @property
    def last_items(self) -> Tensor:
        """``(num_queries,)`` rows of the most recent item of each query."""
        return self.history.flatten()[self.positions]

    def item_effects(self, effect: Tensor) -> Tensor:
        """Return the sum over windows of an effect of each level, ``(..., num_slots, num_candidates)``.

        Parameters
        ----------
        effect
            ``(..., num_levels)``, Z·W_z say.
        """
        found = effect[..., self.candidate_level]
        for level in () if self.window_level is None else self.window_level:
            found = found + effect[..., level]
        return found

    def target_effects(self, effect: Tensor) -> Tensor:
        """Return the sum over windows of an effect of each level, for the targets, ``(..., num_queries)``."""
        found = effect[..., self.target_level]
        for level in () if self.target_window_level is None else self.target_window_level:
            found = found + effect[..., level]
        return found

    def without_other_windows(self) -> Batch:
        """Return the batch with popularity in the domain's own window alone."""
        if self.window_level is None or self.level_window is None:
            return self
        own = int((self.level_window == 0).sum())  # the first rows
        return dataclasses.replace(
            self,
            factors=self.factors[:own],
            level_window=self.level_window[:own],
            window_level=None,
            target_window_level=None,
        )

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on another device; copies to CUDA start from pinned memory, so that they do not block."""
        pinned = torch.device(device).type == "cuda"

        def move(value: Tensor) -> Tensor:
            return (value.pin_memory() if pinned and not value.is_cuda else value).to(device, non_blocking=True)

        values: dict[str, Any] = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        for name, value in values.items():
            if isinstance(value, Tensor):
                values[name] = move(value)
        values["covariates"] = {name: move(value) for name, value in self.covariates.items()}
        return Batch(**values)


def query_batches(
    encoded: EncodedDomain,
    users: np.ndarray,
    *,
    domain: int = 0,
    first_row: int = 0,
    max_scores: int = 1 << 23,
    max_tokens: int = 1 << 14,
) -> Iterator[tuple[Batch, np.ndarray]]:
    """Yield batches with every query of `users` once, on its exact last 64 items, and with all items as candidates.

    With each batch come the ``(num_queries,)`` events that its queries predict.

    Parameters
    ----------
    encoded
        The domain.
    users
        ``(n,)`` user rows.
    domain, first_row
        See `training_batch`.
    max_scores
        Bound on queries × items of a batch, so that memory does not grow with the catalogue; a batch holds at least one
        sequence.
    max_tokens
        Bound on the padded positions of a batch.
    """
    windows = exact_windows(encoded.domain.offsets, users)
    most = max(1, min(max_scores // max(encoded.num_items, 1), max_tokens))
    shared = windows.num_queries > 1
    for part in (windows[shared], windows[~shared]):
        for group in buckets(part, max_tokens):
            for rows in _runs(part.num_queries[group], most):
                yield catalogue_batch(encoded, part[group[rows]], domain=domain, first_row=first_row)


def _runs(sizes: np.ndarray, most: int) -> Iterator[slice]:
    """Yield slices that cover `sizes` in order, each as long as its sum allows; a slice holds at least one."""
    ends, begin = sizes.cumsum(), 0
    while begin < len(sizes):
        limit = ends[begin] - sizes[begin] + most
        end = max(begin + 1, int(np.searchsorted(ends, limit, side="right")))
        yield slice(begin, end)
        begin = end


def catalogue_batch(
    encoded: EncodedDomain, windows: Windows, *, domain: int = 0, first_row: int = 0
) -> tuple[Batch, np.ndarray]:
    """Return a batch in which all items of the domain are candidates, and the events that its queries predict.

    See `training_batch` for the parameters.
    """
    layout = lay_out(windows)
    item_index = encoded.domain.item_index
    batch = candidates_batch(
        encoded,
        item_index[layout.events],
        layout.flat,
        encoded.slots[layout.target_events],
        domain=domain,
        first_row=first_row,
    )
    targets = torch.from_numpy(item_index[layout.target_events].astype(np.int64))
    events = torch.from_numpy(layout.target_events)
    return dataclasses.replace(batch, targets=targets, events=events), layout.target_events


def candidates_batch(
    encoded: EncodedDomain,
    history: np.ndarray,
    positions: np.ndarray,
    slots: np.ndarray,
    *,
    domain: int = 0,
    first_row: int = 0,
) -> Batch:
    """Return a batch with all items as candidates, for histories that need not be in the log.

    Parameters
    ----------
    encoded
        The domain.
    history
        ``(num_sequences, length)`` item indices, padded on the right with any item.
    positions
        ``(num_queries,)`` positions of the queries in ``history.flatten()``.
    slots
        ``(num_queries,)`` time slot of each query, from `Popularity.slots`.
    domain, first_row
        See `training_batch`.
    """
    items = np.arange(encoded.num_items)
    distinct, slot = np.unique(slots, return_inverse=True)
    popularity, counts = popularity_fields(encoded, distinct, slot, None)  # counts (num_slots, num_items)
    return Batch(
        domain=domain,
        num_domain_items=encoded.num_items,
        num_domain_queries=len(positions),
        items=torch.from_numpy(items),
        item_rows=torch.from_numpy(items + first_row),
        texts=encoded.texts,
        covariates=dict(encoded.covariates),
        history=torch.from_numpy(history.astype(np.int64)),
        positions=torch.from_numpy(positions),
        slot=torch.from_numpy(slot),
        times=torch.from_numpy(distinct),
        repeats=torch.from_numpy(np.stack(repeats_in_catalogue(history, positions))),
        repeat_counts=torch.from_numpy(repeat_counts(history, positions)),
        counts=torch.from_numpy(counts),
        **popularity,
    )
