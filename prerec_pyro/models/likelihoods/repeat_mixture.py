"""Three kinds of choice: of an item met before, of a new one that follows the history, of a new one that does not."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

REPEAT_PSEUDO_COUNTS = (0.3, 5.0)
"""Choices of an item met before, and of others, that a user is taken to have made before any was seen.

The first of them is what domains differ in.
"""

REPEAT_MATCH_WEIGHT = 0.3
"""How much U·V counts among the items that a user has met before: they are all like what the history asks for."""

_NEVER = -1e4  # and not -inf, whose gradients are not numbers


class MixtureLogOdds(NamedTuple):
    """Log odds of the kinds, each ``(..., 1 or num_queries, 1)``; None where there is no such kind.

    ``again`` is that of ρ, the share of choices that fall on items met before; ``wander`` that of ω, the share of the
    others that do not follow the history.
    """

    again: Tensor | None
    wander: Tensor | None


def repeat_log_odds(counts: Tensor, domain: Tensor | float = 0.0) -> Tensor:
    """Return the log odds that a user takes an item met before, ``(..., num_queries, 1)``.

    They are those of the posterior mean of a share given what the user did so far. The prior is a beta one,
    `REPEAT_PSEUDO_COUNTS`, with the first number times e^domain: the domain counts where little is known of a user.

    Parameters
    ----------
    counts
        ``(num_queries, 2)`` choices of an item met before, and others; see `repeat_counts`.
    domain
        ``(..., 1 or num_queries, 1)``, e-folds.
    """
    again, other = counts[:, :1], counts[:, 1:]  # each (num_queries, 1)
    prior = REPEAT_PSEUDO_COUNTS[0] * torch.as_tensor(domain, dtype=counts.dtype, device=counts.device).exp()
    return (again + prior).log() - (other + REPEAT_PSEUDO_COUNTS[1]).log()


def mixture_log_probs(match: Tensor, background: Tensor, odds: MixtureLogOdds, repeats: Tensor) -> Tensor:
    """Return the log probability of each candidate, ``(..., num_queries, num_items)``, all items being candidates.

    Among items that are new to the user it is
    ``(1 - ρ) [(1 - ω) softmax(match + background) + ω softmax(background)]``, among those met before
    ``ρ softmax(REPEAT_MATCH_WEIGHT · match + background)``, each softmax over its own items.

    Parameters
    ----------
    match
        U·V, ``(..., num_queries, num_items)``.
    background
        Z·W_z, of the same shape; overwritten.
    odds
        Of the kinds; without both the result is ``match + background``.
    repeats
        ``(2, num_repeats)`` (query, item) pairs met before, by query.
    """
    followed = match + background
    if odds.again is None:
        return followed if odds.wander is None else _new(followed, background, odds.wander, 0.0)
    query, item = repeats
    met = REPEAT_MATCH_WEIGHT * match[..., query, item] + background[..., query, item]  # (..., num_repeats)
    followed[..., query, item] = background[..., query, item] = _NEVER
    scores = _new(followed, background, odds.wander, logsigmoid(-odds.again))
    scores[..., query, item] = repeat_log_probs(met, query, odds.again.expand(*scores.shape[:-1], 1)[..., 0])
    return scores


def repeat_log_probs(met: Tensor, query: Tensor, again: Tensor) -> Tensor:
    """Return log[ρ softmax(met)] of (query, item) pairs, the softmax over those of a query, ``(..., num_repeats)``.

    Parameters
    ----------
    met
        Scores of the pairs, ``(..., num_repeats)``.
    query
        ``(num_repeats,)`` of which query each is.
    again
        Log odds of ρ, ``(..., num_queries)``.
    """
    index = query.expand(met.shape)
    most = met.new_full(again.shape, -torch.inf).scatter_reduce(-1, index, met.detach(), "amax")
    above = torch.zeros_like(again, dtype=met.dtype).scatter_add(-1, index, (met - most[..., query]).exp())
    return met - (most[..., query] + above[..., query].log()) + logsigmoid(again)[..., query]


def unseen_logsumexp(everything: Tensor, met: Tensor, query: Tensor, num_queries: int) -> Tensor:
    """Return the log of a sum of exponentials over the items that are new to a query, ``(num_queries,)`` float64.

    Parameters
    ----------
    everything
        That over all items, a scalar, float64.
    met
        What is summed, of (query, item) pairs met before, ``(num_repeats,)``.
    query
        ``(num_repeats,)`` of which query each is.
    num_queries
        How many there are.
    """
    share = (met.double() - everything).exp()
    of_met = torch.zeros(num_queries, dtype=torch.float64, device=share.device).index_add_(0, query, share)
    return everything + (-of_met.clamp_max(1.0)).log1p()  # of one who met everything -inf


def _new(followed: Tensor, background: Tensor, wander: Tensor | None, share: Tensor | float) -> Tensor:
    """Return the log of `share`, itself a logarithm, times the mixture of the two softmaxes."""
    if wander is None:
        return followed.log_softmax(-1) + share
    return torch.logaddexp(
        followed.log_softmax(-1) + (logsigmoid(-wander) + share),
        background.log_softmax(-1) + (logsigmoid(wander) + share),
    )
