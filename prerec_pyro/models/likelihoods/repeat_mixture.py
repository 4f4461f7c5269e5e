"""Repeat mixture for R: repeats of the history, new items that match it, and new items chosen by popularity alone."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.likelihoods.log_space import log_add_exp
from prerec_pyro.models.likelihoods.softmax import (
    EffectFactors,
    Match,
    MixtureRates,
    candidate_effects,
    with_target_first,
)

EFFECTS = ("match", "popularity", "repeat", "background", "fading", "contrast")
"""Coordinates of S: e-folds of U·V, of Z·W_z and of the pseudo-counts of repeats, nats of the log odds of ω, and, of a
graph with several interests, e-folds of the rate at which they fade and of their contrast."""

READING = 2
"""Number of coordinates of S, the last ones, that say how a history is read."""

EFFECT_SCALE_STD = (0.7, 0.7, 1.5, 1.0, 0.7, 0.4)
"""Standard deviation of S between domains before any was seen: factors of two, odds of 1 to 4 and of 1 to 3."""

REPEAT_PSEUDO_COUNTS = (0.3, 5.0)
"""Repeats and other choices that every user is credited with before any was seen; domains differ in the first."""

REPEAT_MATCH_WEIGHT = 0.3
"""Weight of U·V among the items of a history: they are all similar to what the history matches."""

_NEVER = -1e4  # not -inf, whose gradients are not numbers


class MixtureLogOdds(NamedTuple):
    """Log odds of the repeat rate ρ and of the background rate ω, each ``(..., 1 or num_queries, 1)``."""

    repeat: Tensor
    background: Tensor


class RepeatMixture(nn.Module):
    """P(R | U, V, D, Z, S, H), a mixture of three components over the items of the domain.

    With probability ρ a choice falls on an item of the history, estimated for each user from pseudo-counts and from
    how often the user repeated (`repeat_log_odds`); among the others, with probability ω on a new item by popularity
    alone, else on a new item by ``softmax(U·V + Z·W_z)``. Only with the background component may U·V be sharp where
    it is informative. H is data, so no back-door path is opened.

    Training draws few rivals, which miss most of those of a sharp match: where ω bounds the cost of a miss, training
    makes matches ever sharper. There ``w_h · 1[j ∈ H]`` stands for ρ, ω is left out, and both are estimated afterwards
    together with S; see `prerec_pyro.inference.calibration.fit`.

    Parameters
    ----------
    num_effects
        Number of coordinates of S; the first ones of `EFFECTS`.

    Attributes
    ----------
    effects
        Their names.
    w_h
        Parameter, the effect of a repeat in training.
    w_r, w_o
        Buffers, e-folds of the pseudo-counts of repeats, and log odds of ω, at the prior mean of S.
    spread
        Buffer ``(num_effects,)``, standard deviation of S between domains, in nats; S itself is in units of it.
    """

    w_r: Tensor
    w_o: Tensor
    spread: Tensor

    def __init__(self, num_effects: int = len(EFFECTS)) -> None:
        super().__init__()
        self.effects = EFFECTS[:num_effects]
        self.w_h = nn.Parameter(torch.zeros(()))
        self.register_buffer("w_r", torch.zeros(()))
        self.register_buffer("w_o", torch.zeros(()))
        self.register_buffer("spread", torch.tensor(EFFECT_SCALE_STD[:num_effects]))

    def factors(self, S: Tensor | None) -> EffectFactors:
        """Return ``e^S[match]`` and ``e^S[popularity]``."""
        return EffectFactors() if S is None else EffectFactors(S[..., :1].exp(), S[..., 1:2].exp())

    def rates(self, S: Tensor | None) -> MixtureRates:
        """Return the mixture of a domain, given its S, ``(1, num_effects)``."""
        if S is None:
            return MixtureRates(self.w_r.item(), self.w_o.item())
        return MixtureRates((self.w_r + S[0, 2]).item(), (self.w_o + S[0, 3]).item())

    def in_nats(self, S: Tensor) -> Tensor:
        """Return S, ``(..., num_effects)`` in units of `spread`, in nats."""
        return S * self.spread.to(S)

    def natural_units(self, S: Tensor) -> dict[str, Tensor]:
        """Return what S, ``(..., num_effects)`` in units of `spread`, means: by name of the effect, each ``(...)``.

        ``repeat`` is ρ of a user who is not yet known, ``background`` is ω, and the others are factors.
        """
        nats = self.in_nats(S)
        prior = REPEAT_PSEUDO_COUNTS[0] * (self.w_r.to(S) + nats[..., 2]).exp()
        repeat = prior / (prior + REPEAT_PSEUDO_COUNTS[1])
        found = {name: nats[..., number].exp() for number, name in enumerate(self.effects)}
        return found | {"repeat": repeat, "background": (self.w_o.to(S) + nats[..., 3]).sigmoid()}

    def log_odds(self, S: Tensor | None, counts: Tensor) -> MixtureLogOdds:
        """Return the log odds of ρ and ω, given ``(num_queries, 2)`` counts of repeats and other choices."""
        S = self.w_r.new_zeros(1, len(EFFECTS)) if S is None else S
        return MixtureLogOdds(repeat_log_odds(counts, self.w_r + S[..., 2:3]), self.w_o + S[..., 3:4])

    def logits(self, match: Match, popularity: Tensor | None, S: Tensor | None, batch: Batch) -> Tensor:
        """Return log P of each candidate, in training unnormalised logits; see `Likelihood.logits`."""
        if popularity is None:
            popularity = match.candidates.new_zeros(len(batch.factors))
        background = self.factors(S).popularity * candidate_effects(popularity, batch)
        if not batch.is_training and batch.repeat_counts is not None:
            return mixture_log_probs(match.candidates, background, self.log_odds(S, batch.repeat_counts), batch.repeats)
        repeat = self.w_h[None, None] if S is None else self.w_h + S[..., 2:3]  # (..., 1 or num_queries, 1)
        query, candidate = batch.repeats  # each pair occurs once
        background[..., query, candidate] += repeat.expand(*background.shape[:-1], 1)[..., query, 0]
        scores = match.candidates + background  # (..., num_queries, num_candidates)
        if match.target is None or batch.target_repeats is None:
            return scores
        popular = batch.target_effects(popularity)
        own = match.target + (popular if S is None else S[..., 1].exp() * popular)  # (..., num_queries)
        return with_target_first(own + repeat[..., 0] * batch.target_repeats, scores, batch)


def repeat_log_odds(counts: Tensor, domain: Tensor | float = 0.0) -> Tensor:
    """Return the log odds of the repeat rate ρ of each user, ``(..., num_queries, 1)``.

    They are those of the posterior mean of a rate with a beta prior of `REPEAT_PSEUDO_COUNTS`, the first times
    e^domain: the domain counts where little is known of a user.

    Parameters
    ----------
    counts
        ``(num_queries, 2)`` repeats and other choices so far; see `repeat_counts`.
    domain
        ``(..., 1 or num_queries, 1)``, e-folds.
    """
    repeats, other = counts[:, :1], counts[:, 1:]  # each (num_queries, 1)
    prior = REPEAT_PSEUDO_COUNTS[0] * torch.as_tensor(domain, dtype=counts.dtype, device=counts.device).exp()
    return (repeats + prior).log() - (other + REPEAT_PSEUDO_COUNTS[1]).log()


def mixture_log_probs(match: Tensor, background: Tensor, odds: MixtureLogOdds, repeats: Tensor) -> Tensor:
    """Return the log probability of each item, ``(..., num_queries, num_items)``, all items being candidates.

    A new item has ``(1 - ρ) [(1 - ω) softmax(match + background) + ω softmax(background)]``, an item of the
    history ``ρ softmax(REPEAT_MATCH_WEIGHT · match + background)``, each softmax over its own items.

    Parameters
    ----------
    match
        U·V, ``(..., num_queries, num_items)``.
    background
        Z·W_z, of the same shape; overwritten.
    odds
        Log odds of ρ and ω.
    repeats
        ``(2, num_repeats)`` (query, item) pairs in which the item is in the query's history, by query.
    """
    matched = match + background
    query, item = repeats
    seen = REPEAT_MATCH_WEIGHT * match[..., query, item] + background[..., query, item]  # (..., num_repeats)
    matched[..., query, item] = background[..., query, item] = _NEVER
    share = logsigmoid(-odds.repeat)
    scores = log_add_exp(
        matched.log_softmax(-1) + (logsigmoid(-odds.background) + share),
        background.log_softmax(-1) + (logsigmoid(odds.background) + share),
    )
    scores[..., query, item] = repeat_log_probs(seen, query, odds.repeat.expand(*scores.shape[:-1], 1)[..., 0])
    return scores


def repeat_log_probs(seen: Tensor, query: Tensor, repeat: Tensor) -> Tensor:
    """Return log[ρ softmax(seen)] of (query, item) pairs, the softmax over those of a query, ``(..., num_repeats)``.

    Parameters
    ----------
    seen
        Scores of the pairs, ``(..., num_repeats)``.
    query
        ``(num_repeats,)`` query of each.
    repeat
        Log odds of ρ, ``(..., num_queries)``.
    """
    index = query.expand(seen.shape)
    most = seen.new_full(repeat.shape, -torch.inf).scatter_reduce(-1, index, seen.detach(), "amax")
    above = torch.zeros_like(repeat, dtype=seen.dtype).scatter_add(-1, index, (seen - most[..., query]).exp())
    return seen - (most[..., query] + above[..., query].log()) + logsigmoid(repeat)[..., query]


def unseen_logsumexp(everything: Tensor, seen: Tensor, query: Tensor, num_queries: int) -> Tensor:
    """Return the log of a sum of exponentials over the items that are new to a query, ``(num_queries,)`` float64.

    Parameters
    ----------
    everything
        The same over all items, a scalar, float64.
    seen
        The summed scores of (query, item) pairs of the histories, ``(num_repeats,)``.
    query
        ``(num_repeats,)`` query of each.
    num_queries
        Number of queries.
    """
    share = (seen.double() - everything).exp()
    of_seen = torch.zeros(num_queries, dtype=torch.float64, device=share.device).index_add_(0, query, share)
    return everything + (-of_seen.clamp_max(1.0)).log1p()  # -inf for a user who has seen all items
