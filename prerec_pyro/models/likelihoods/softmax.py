"""Softmax over the candidates, the distribution of R in the paper (eq. 2)."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution

from prerec_pyro.data.batching.batch import Batch


class Match(NamedTuple):
    """U·V of the candidates, ``(..., num_queries, num_candidates)``, and, in training, of each query's own target."""

    candidates: Tensor
    target: Tensor | None = None


class EffectFactors(NamedTuple):
    """Factors of U·V and of Z·W_z in a domain, each ``(..., 1 or num_queries, 1)``, or 1."""

    match: Tensor | float = 1.0
    popularity: Tensor | float = 1.0


class MixtureRates(NamedTuple):
    """Mixture of a domain: log pseudo-counts of repeats against their usual number, and log odds of ω."""

    repeat: float
    background: float


class Likelihood(Protocol):
    """P(R | U, V, D, Z, S), given U·V and Z·W_z; S, in nats, is ``(..., 1 or num_queries, num_effects)`` or None."""

    def factors(self, S: Tensor | None) -> EffectFactors:
        """Return what U·V and Z·W_z are multiplied by."""
        ...

    def rates(self, S: Tensor | None) -> MixtureRates | None:
        """Return the mixture of a domain, given its S; None where R is one softmax."""
        ...

    def logits(self, match: Match, popularity: Tensor | None, S: Tensor | None, batch: Batch) -> Tensor:
        """Return the logits of R, ``(..., num_queries, num_candidates)``, in training with the target first.

        Parameters
        ----------
        match
            U·V, with the factor of `factors` in it.
        popularity
            Z·W_z of each level, ``(..., num_levels)``, without its factor; None where there is no Z.
        S
            Effect scales.
        batch
            Queries, candidates and the levels of both.
        """
        ...


class Softmax:
    """``Categorical(softmax(U·V + Z·W_z))`` over the items of the domain; D·W_d is the same for each (eq. 5)."""

    def factors(self, S: Tensor | None) -> EffectFactors:
        """Return ones."""
        return EffectFactors()

    def rates(self, S: Tensor | None) -> MixtureRates | None:
        """Return None."""
        return None

    def logits(self, match: Match, popularity: Tensor | None, S: Tensor | None, batch: Batch) -> Tensor:
        """Return U·V + Z·W_z; see `Likelihood.logits`."""
        if popularity is None:  # nothing in full precision is added: products may be in bfloat16
            wide = torch.promote_types(match.candidates.dtype, batch.factors.dtype)
            return with_target_first(match.target, match.candidates.to(wide), batch)
        scores = match.candidates + candidate_effects(popularity, batch)
        own = None if match.target is None else match.target + batch.target_effects(popularity)
        return with_target_first(own, scores, batch)


def candidate_effects(effect: Tensor, batch: Batch) -> Tensor:
    """Return an effect of each level, ``(..., num_levels)``, by query and candidate."""
    return batch.item_effects(effect).index_select(-2, batch.slot)  # (..., num_queries, num_candidates)


def with_target_first(target: Tensor | None, scores: Tensor, batch: Batch) -> Tensor:
    """Return the scores with a first column for the target, ``(..., num_queries)``, in training.

    A negative that happens to be the target is masked. Without a target the scores come back as they are.
    """
    if target is None:
        return scores
    same = batch.items[batch.negatives] == batch.items[batch.targets][:, None]
    return torch.cat([target[..., None], scores.masked_fill(same, -torch.inf)], dim=-1)


def observed(batch: Batch) -> Tensor | None:
    """Return the observed R, ``(num_queries,)``: 0 in training, the target among all items, None to predict."""
    if batch.targets is None or batch.negatives is None:
        return batch.targets
    return torch.zeros_like(batch.targets)


class SoftmaxCategorical(dist.Categorical):
    """Categorical(softmax(logits)), normalised in one pass each way.

    The same as ``dist.Categorical(logits=logits)``, whose ``logits - logits.logsumexp(...)`` reads and writes the
    queries × candidates several times more; with all items of a domain as candidates that is most of a step.

    Parameters
    ----------
    logits
        ``(..., num_candidates)``, unnormalised.
    """

    def __init__(self, logits: Tensor) -> None:
        self._param = self.logits = logits.log_softmax(-1)
        self._num_events = logits.shape[-1]
        Distribution.__init__(self, logits.shape[:-1], validate_args=False)

    def expand(
        self, batch_shape: torch.Size | list[int] | tuple[int, ...], _instance: Any = None
    ) -> SoftmaxCategorical:
        """Return it broadcast to `batch_shape`."""
        if _instance is None and torch.Size(batch_shape) == self.batch_shape:
            return self
        return super().expand(batch_shape, _instance=self._get_checked_instance(SoftmaxCategorical, _instance))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability of each choice, ``(...)``."""
        if value.shape != self.batch_shape:
            return super().log_prob(value)
        return self.logits.gather(-1, value.long().unsqueeze(-1)).squeeze(-1)
