"""Parts of the scores of the extended graph: users with several interests, and the mixture."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.likelihoods.repeat_mixture import RepeatMixture, mixture_log_probs
from prerec_pyro.models.networks import one_query_each
from prerec_pyro.ranking.screening import Screening
from prerec_pyro.ranking.users import InterestMixture, Users

TOKENS = 2048
"""Positions that f_seq reads at a time: its layers stay in the CPU cache."""


class Parts(NamedTuple):
    """What the scores of a batch are made of, before S.

    Attributes
    ----------
    users
        The users at S = 0: what f_seq adds to the mean of their interests, and the interests; all of U where there is
        one interest.
    items
        V, ``(num_items, B)``.
    popularity
        Z·W_z, ``(num_slots, num_items)``.
    """

    users: Users
    items: Tensor
    popularity: Tensor


def correction(graph: ExtendedGraph, U: Tensor, V: Tensor, batch: Batch) -> Tensor:
    """Return what f_seq adds to the mean of interests, ``(num_queries, B)``; it does not depend on S.

    Parameters
    ----------
    graph
        A graph with several interests.
    U
        ``(num_queries, B)`` at S = 0.
    V
        ``(num_items, B)``.
    batch
        The queries.
    """
    interests, reading = graph.interests, graph.reading(None)
    assert interests is not None and reading is not None
    one_each = one_query_each(batch.positions, *batch.history.shape)
    history = batch.history
    if one_each:
        history = history[:, -interests.most :]
    mean = interests.mean(V[history], batch.positions, reading.fading, only_last=one_each)
    return U - graph.lengths(batch) * mean


def users_with_interests(graph: ExtendedGraph, U: Tensor, V: Tensor, S: Tensor | None, batch: Batch) -> Users:
    """Return the users of a batch as they count under S, each split into interests.

    Parameters
    ----------
    graph, U, V, batch
        See `correction`.
    S
        ``(1 or num_queries, num_effects)`` in nats; None is 0.
    """
    interests, reading = graph.interests, graph.reading(S)
    assert interests is not None and reading is not None
    factor, length = graph.likelihood.factors(S).match, batch.history.shape[1]
    age = torch.arange(min(interests.most, length), device=U.device)
    sequence, last = batch.positions // length, batch.positions % length
    place = last[:, None] - age  # (num_queries, num_interests)
    logits = (-reading.fading * age).expand(place.shape)
    mixture = InterestMixture(
        V,
        batch.history[sequence[:, None], place.clamp_min(0)],
        logits.masked_fill(place < 0, -torch.inf).softmax(-1),
        reading.contrast.expand(len(place), 1),
        (graph.lengths(batch) * factor).expand(len(place), 1),
    )
    return Users(correction(graph, U, V, batch) * factor, mixture)


def in_parts(history: Tensor, positions: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield a part of the sequences, ``(num_sequences, length)``, and the positions of the queries in it.

    Parameters
    ----------
    history
        ``(num_sequences, length)``.
    positions
        ``(num_queries,)`` positions of the queries in ``history.flatten()``. Where they do not ascend, there is one
        part.
    """
    num_sequences, length = history.shape
    size = max(1, TOKENS // length)
    if bool((positions[1:] < positions[:-1]).any()):
        size = num_sequences
    begins = torch.arange(0, num_sequences + size, size, device=history.device) * length
    for number, (begin, end) in enumerate(pairwise(torch.searchsorted(positions, begins).tolist())):
        if end > begin:
            yield history[number * size : (number + 1) * size], positions[begin:end] - number * size * length


def screen(
    likelihood: RepeatMixture, match: Tensor, effect: Tensor | None, S: Tensor | None, batch: Batch
) -> Screening:
    """Return the cheap probabilities of a batch.

    Parameters
    ----------
    likelihood
        The mixture.
    match
        As it counts, ``(num_queries, num_items)``.
    effect
        Z·W_z, ``(num_levels,)``, without its factor; None where there is no Z.
    S
        ``(1 or num_queries, num_effects)`` in nats, the same for all queries in a slot; None is 0.
    batch
        The queries, with all items as candidates.
    """
    assert batch.repeat_counts is not None
    background = batch.item_effects(match.new_zeros(len(batch.factors)) if effect is None else effect)
    factor = likelihood.factors(S).popularity
    if isinstance(factor, Tensor):
        factor = factor.expand(len(match), 1)
        factor = factor.new_empty(len(background), 1).index_copy_(0, batch.slot, factor)
    background = factor * background  # (num_slots, num_items)
    odds = likelihood.log_odds(S, batch.repeat_counts)

    def exact(rows: Tensor) -> Tensor:
        rows = rows.to(match.device)
        place = torch.full((len(match),), -1, device=match.device).index_copy_(
            0, rows, torch.arange(len(rows)).to(rows)
        )
        query, item = batch.repeats[:, place[batch.repeats[0]] >= 0]
        own = type(odds)(*(part.expand(len(match), 1)[rows] for part in odds))
        return mixture_log_probs(match[rows], background[batch.slot[rows]], own, torch.stack([place[query], item]))

    return Screening(match, background, batch.slot, odds, batch.repeats, exact)
