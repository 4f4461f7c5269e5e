"""Batches to train on: the batches of an epoch, with negatives that the queries of a batch share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch

from prerec_pyro.data.batching.batch import Batch, catalogue_batch
from prerec_pyro.data.batching.layout import lay_out
from prerec_pyro.data.batching.popularity_levels import popularity_fields
from prerec_pyro.data.batching.repeats import repeated_targets, repeats_among
from prerec_pyro.data.batching.windows import Windows, buckets, training_windows
from prerec_pyro.data.encoded import EncodedDomain


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
    """Yield functions that build the batches of one epoch: every query of `users` once, shuffled.

    All random numbers are drawn here, in order. A process that builds only some of the batches gets the same batches as
    one that builds all.

    Parameters
    ----------
    encoded
        The domain.
    users
        ``(n,)`` user rows.
    domain, first_row
        See `training_batch`.
    num_negatives
        Number of negatives of each batch; see `draw_negatives`.
    max_tokens
        Bound on the padded positions of a batch.
    rng
        Generator of all random numbers.
    lengths
        ``(n,)`` number of first events of each user that count, see `first_samples`; None: all events.
    """
    windows = training_windows(encoded.domain.offsets, users, rng, lengths=lengths)
    num_queries = int(windows.num_queries.sum())
    for group in buckets(windows, max_tokens, rng):
        drawn = draw_negatives(encoded.num_items, num_negatives, rng)
        yield partial(
            training_batch,
            encoded,
            windows[group],
            domain=domain,
            first_row=first_row,
            num_queries=num_queries,
            drawn=drawn,
        )


def training_batch(
    encoded: EncodedDomain,
    windows: Windows,
    *,
    domain: int,
    first_row: int,
    num_queries: int,
    drawn: np.ndarray | None,
) -> Batch:
    """Return a batch to train on, with negatives that all its queries share, or with all items as candidates.

    Parameters
    ----------
    encoded
        The domain.
    windows
        The windows to read; see `training_windows`.
    domain
        Row of D_k.
    first_row
        Row of the first item of the domain in the table of item offsets.
    num_queries
        Number of queries of the training users of the domain, the size of the plate ``queries``.
    drawn
        ``(num_negatives,)`` item indices from `draw_negatives`; None: all items are candidates.
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
    weight = np.bincount(negative_row, minlength=len(items)) * (encoded.num_items / len(drawn))  # (num_rows,)

    distinct, slot = np.unique(slots, return_inverse=True)
    popularity, _ = popularity_fields(encoded, distinct, slot, drawn, targets)
    index = torch.from_numpy(items.astype(np.int64))  # (num_rows,)
    return Batch(
        domain=domain,
        num_domain_items=encoded.num_items,
        num_domain_queries=num_queries,
        items=index,
        item_rows=index + first_row,
        texts=encoded.texts[index],
        covariates={name: values[index] for name, values in encoded.covariates.items()},
        history=torch.from_numpy(history),
        positions=torch.from_numpy(layout.flat),
        targets=torch.from_numpy(target_row),
        negatives=torch.from_numpy(negative_row),
        prior_weight=torch.from_numpy(weight.astype(np.float32)),
        slot=torch.from_numpy(slot),
        times=torch.from_numpy(distinct),
        repeats=torch.from_numpy(np.stack(repeats_among(history, layout.flat, negative_row))),
        target_repeats=torch.from_numpy(repeated_targets(history, layout.flat, target_row)),
        **popularity,
    )


def draw_negatives(num_items: int, num_negatives: int, rng: np.random.Generator) -> np.ndarray | None:
    """Return ``(num_negatives,)`` item indices, uniform with replacement; None if the catalogue is no larger."""
    return None if num_negatives >= num_items else rng.integers(0, num_items, num_negatives)


def _exact_batch(encoded: EncodedDomain, windows: Windows, domain: int, first_row: int, num_queries: int) -> Batch:
    """Return a batch to train on in which all items are candidates and each counts once in the prior of V."""
    batch, _ = catalogue_batch(encoded, windows, domain=domain, first_row=first_row)
    weight = torch.ones(encoded.num_items)  # (num_rows,)
    return dataclasses.replace(batch, num_domain_queries=num_queries, prior_weight=weight, counts=None, events=None)
