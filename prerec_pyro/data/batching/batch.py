"""A batch: all that one step of the graph reads of a domain, and nothing that grows with the catalogue."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.batching.popularity_levels import number_levels
from prerec_pyro.data.batching.repeats import repeat_counts, repeated_targets, repeats_among, repeats_in_catalogue
from prerec_pyro.data.batching.windows import Windows, buckets, exact_windows, training_windows
from prerec_pyro.data.encoded import EncodedDomain


@dataclass(frozen=True, eq=False)
class Batch:
    """Queries of one domain, their histories, and the candidates they are scored against.

    A query is one (user, time): a position of a sequence, whose target is the item that came next. Items are named
    by their row in this batch (``items[row]`` is the item index in the domain).

    Attributes
    ----------
    domain
        Row of D_k; 0 also for a domain that the model was not trained on (its D is set by `do`).
    num_domain_items, num_domain_queries
        Full sizes of the plates of which this batch is a part.
    items
        ``(num_rows,)`` item indices.
    item_rows
        ``(num_rows,)`` rows in the table of item offsets of all trained domains.
    texts
        X_j, ``(num_rows, text_dim)``.
    prior_weight
        ``(num_rows,)`` how many items of the domain each row stands for in the prior of V: how often it was drawn
        as a negative, times num_domain_items / num_negatives. The draw is uniform, so the weighted sum over rows is
        an unbiased estimate of the sum over the domain. None where nothing is trained.
    history
        H_i, ``(num_sequences, length)`` rows of `items`, padded on the right with 0.
    positions
        ``(num_queries,)`` where the queries stand in ``history.flatten()``.
    targets
        ``(num_queries,)`` rows of `items`, or None where what comes next is to be predicted.
    negatives
        ``(num_negatives,)`` rows of `items` drawn uniformly from the domain; None where all rows, in order, are the
        domain's items and all are candidates.
    factors
        F_j, ``(num_levels, 4)``: the distinct popularity factors that occur. Items with the same count in the same
        time slot share a row, which is what keeps Z small: naively it has queries × candidates × B numbers.
    target_level
        ``(num_queries,)`` row of `factors` of each target, at its query's slot.
    candidate_level
        ``(num_slots, num_candidates)`` the same for the candidates (negatives, or all rows), slot by slot.
    slot
        ``(num_queries,)`` row of `candidate_level` that each query reads.
    repeats
        ``(2, num_repeats)`` the (query, candidate) pairs in which the candidate stands in the query's history.
    target_repeats
        ``(num_queries,)`` bool, the same for the targets.
    repeat_counts
        ``(num_queries, 2)`` how many events of the history repeat an earlier one, and do not; kept where all rows are
        candidates.
    times
        ``(num_slots,)`` time slot of the domain behind each row of `candidate_level`.
    counts
        ``(num_slots, num_candidates)`` c_j^T behind `candidate_level`; kept where all rows are candidates.
    events
        ``(num_queries,)`` positions in the log of the events that are predicted, where they are in a log.
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
    targets: Tensor | None = None
    target_level: Tensor | None = None
    target_repeats: Tensor | None = None
    repeat_counts: Tensor | None = None
    negatives: Tensor | None = None
    prior_weight: Tensor | None = None
    counts: Tensor | None = None
    events: Tensor | None = None
    covariates: dict[str, Tensor] = dataclasses.field(default_factory=dict)

    @property
    def num_queries(self) -> int:
        """Number of queries."""
        return len(self.positions)

    @property
    def is_training(self) -> bool:
        """Whether it is made to train on."""
        return self.prior_weight is not None

    @property
    def last_items(self) -> Tensor:
        """``(num_queries,)`` rows of the most recent item of each query."""
        return self.history.flatten()[self.positions]

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on another device; to CUDA from pinned memory, so that the copies do not block."""
        pinned = torch.device(device).type == "cuda"
        moved = {
            field.name: (value.pin_memory() if pinned and not value.is_cuda else value).to(device, non_blocking=True)
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return dataclasses.replace(self, **moved)


@dataclass(frozen=True, eq=False)
class Positions:
    """Windows laid out as padded sequences: ``(num_sequences, length)`` events, and where the queries stand."""

    events: np.ndarray
    flat: np.ndarray  # (num_queries,)
    target_events: np.ndarray  # (num_queries,)


def lay_out(windows: Windows) -> Positions:
    """Return the padded layout of `windows`; padding repeats the window's last event, so that it is always valid."""
    length = int(windows.length.max())
    column = np.arange(length)
    read = np.minimum(column, windows.length[:, None] - 1)  # (num_sequences, length)
    events = windows.start[:, None] + read
    first = (windows.length - windows.num_queries)[:, None]
    is_query = (column >= first) & (column < windows.length[:, None])
    flat = np.flatnonzero(is_query)
    return Positions(events, flat, events.reshape(-1)[flat] + 1)


def training_batch(
    encoded: EncodedDomain,
    windows: Windows,
    *,
    domain: int,
    first_row: int,
    num_queries: int,
    drawn: np.ndarray | None,
) -> Batch:
    """Return one batch with negatives that all its queries share, or against all items.

    Parameters
    ----------
    encoded
        The domain.
    windows
        What to read; see `training_windows`.
    domain
        Row of D_k.
    first_row
        Row of the domain's first item in the table of item offsets.
    num_queries
        Queries of the domain's training users, the size of the ``queries`` plate.
    drawn
        ``(num_negatives,)`` item indices from `draw_negatives`; None: all items are candidates, the softmax is exact.
    """
    if drawn is None:
        return _exact_batch(encoded, windows, domain, first_row, num_queries)
    layout = lay_out(windows)
    item_index = encoded.domain.item_index
    targets, slots = item_index[layout.target_events], encoded.slots[layout.target_events]
    named = np.concatenate([item_index[layout.events].reshape(-1), targets, drawn])
    items, row = np.unique(named, return_inverse=True)
    history, target_row, negative_row = np.split(row, [layout.events.size, layout.events.size + len(targets)])
    history = history.reshape(layout.events.shape)  # (num_sequences, length)
    repeats = np.stack(repeats_among(history, layout.flat, negative_row))  # (2, num_repeats)
    weight = np.bincount(negative_row, minlength=len(items)) * (encoded.num_items / len(drawn))

    distinct, slot = np.unique(slots, return_inverse=True)
    counts = encoded.popularity.counts_of_few(drawn, distinct)  # (num_slots, num_negatives)
    own = encoded.popularity.counts(targets, slots)  # (num_queries,)
    levels = number_levels(encoded, distinct, slot, counts, own)
    return Batch(
        domain=domain,
        num_domain_items=encoded.num_items,
        num_domain_queries=num_queries,
        items=torch.from_numpy(items.astype(np.int64)),
        item_rows=torch.from_numpy(items.astype(np.int64) + first_row),
        texts=encoded.texts[torch.from_numpy(items.astype(np.int64))],
        history=torch.from_numpy(history),
        positions=torch.from_numpy(layout.flat),
        targets=torch.from_numpy(target_row),
        negatives=torch.from_numpy(negative_row),
        prior_weight=torch.from_numpy(weight.astype(np.float32)),
        slot=torch.from_numpy(slot),
        times=torch.from_numpy(distinct),
        repeats=torch.from_numpy(repeats),
        target_repeats=torch.from_numpy(repeated_targets(history, layout.flat, target_row)),
        **levels,
    )


def draw_negatives(num_items: int, num_negatives: int, rng: np.random.Generator) -> np.ndarray | None:
    """Return item indices, ``(num_negatives,)``, uniform with replacement; None where all items are no more."""
    return None if num_negatives >= num_items else rng.integers(0, num_items, num_negatives)


def _exact_batch(encoded: EncodedDomain, windows: Windows, domain: int, first_row: int, num_queries: int) -> Batch:
    """Return a batch to train on in which all items are candidates, and each counts once in the prior."""
    batch, _ = catalogue_batch(encoded, windows, domain=domain, first_row=first_row)
    whole = torch.ones(encoded.num_items)  # (num_rows,)
    return dataclasses.replace(batch, num_domain_queries=num_queries, prior_weight=whole, counts=None, events=None)


def epoch(
    encoded: EncodedDomain,
    users: np.ndarray,
    *,
    domain: int,
    first_row: int,
    num_negatives: int,
    max_tokens: int,
    rng: np.random.Generator,
    lengths: np.ndarray | None = None,
) -> Iterator[Callable[[], Batch]]:
    """Yield batches yet to be made, of at most `max_tokens` padded positions: every query of `users` once, shuffled.

    All that is drawn is drawn here, in order. One who needs but some of the batches calls these alone, and gets what
    one who calls all of them gets.

    With `lengths`, ``(n,)``, only that many of each user's first events count; see `first_samples`.
    """
    windows = training_windows(encoded.domain.offsets, users, rng, lengths=lengths)
    num_queries = int(windows.num_queries.sum())
    for group in buckets(windows, max_tokens, rng):
        drawn = draw_negatives(encoded.num_items, num_negatives, rng)
        sizes = {"domain": domain, "first_row": first_row, "num_queries": num_queries}
        yield partial(training_batch, encoded, windows[group], drawn=drawn, **sizes)


def query_batches(
    encoded: EncodedDomain,
    users: np.ndarray,
    *,
    domain: int = 0,
    first_row: int = 0,
    max_scores: int = 1 << 23,
    max_tokens: int = 1 << 14,
) -> Iterator[tuple[Batch, np.ndarray]]:
    """Yield every query of `users` once, on its exact last 64 items, against the full catalogue.

    Beside each batch come the ``(num_queries,)`` events that its queries predict.

    Parameters
    ----------
    max_scores
        Bound on queries × items of a batch, so that memory does not grow with the catalogue (one sequence at least).
    max_tokens
        Bound on the padded positions of a batch.
    """
    windows = exact_windows(encoded.domain.offsets, users)
    most = max(1, min(max_scores // max(encoded.num_items, 1), max_tokens))
    shared = windows.num_queries > 1
    for part in (windows[shared], windows[~shared]):
        for group in buckets(part, max_tokens):
            # Few queries a sequence: many sequences fit the same bound on scores.
            size = max(1, int(most // part.num_queries[group].max()))
            for begin in range(0, len(group), size):
                rows = part[group[begin : begin + size]]
                yield catalogue_batch(encoded, rows, domain=domain, first_row=first_row)


def catalogue_batch(
    encoded: EncodedDomain, windows: Windows, *, domain: int = 0, first_row: int = 0
) -> tuple[Batch, np.ndarray]:
    """Return a batch in which all items of the domain are candidates, and the events that its queries predict."""
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
    """Return a batch against the full catalogue for histories that need not be in the log.

    Parameters
    ----------
    history
        ``(num_sequences, length)`` item indices, padded on the right with any item.
    positions
        ``(num_queries,)`` where the queries stand in ``history.flatten()``.
    slots
        ``(num_queries,)`` time slot of each query, from `Popularity.slots`.
    """
    items = np.arange(encoded.num_items)
    distinct, slot = np.unique(slots, return_inverse=True)
    counts = encoded.popularity.counts_of_all(distinct)  # (num_slots, num_items)
    return Batch(
        domain=domain,
        num_domain_items=encoded.num_items,
        num_domain_queries=len(positions),
        items=torch.from_numpy(items),
        item_rows=torch.from_numpy(items + first_row),
        texts=encoded.texts,
        history=torch.from_numpy(history.astype(np.int64)),
        positions=torch.from_numpy(positions),
        slot=torch.from_numpy(slot),
        times=torch.from_numpy(distinct),
        repeats=torch.from_numpy(np.stack(repeats_in_catalogue(history, positions))),
        repeat_counts=torch.from_numpy(repeat_counts(history, positions)),
        counts=torch.from_numpy(counts),
        **number_levels(encoded, distinct, slot, counts, None),
    )
