"""Log probabilities of new items under the repeat mixture, from normalisers that are computed elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from prerec_pyro.models.likelihoods.log_space import log_add_exp


def new_item_log_probs(
    scores: Tensor,
    background: Tensor,
    score_normalizer: Tensor,
    background_normalizer: Tensor,
    *,
    repeat: Tensor | None,
    background_odds: float | None,
) -> Tensor:
    """Return ``log[(1 - ρ) ((1 - ω) softmax(scores) + ω softmax(background))]``, ``(num_queries, num_candidates)``.

    Parameters
    ----------
    scores
        U·V + b of the candidates, ``(num_queries, num_candidates)``; -inf for items that are not new.
    background
        b of the candidates, of the same shape or ``(num_candidates,)``.
    score_normalizer, background_normalizer
        Log of the sum of exponentials of each over all new items, ``(num_queries,)`` float64.
    repeat
        Log odds of the repeat rate ρ, ``(num_queries,)``; None is ρ = 0.
    background_odds
        Log odds of the background rate ω; None is ω = 0.
    """
    log_new = torch.zeros_like(score_normalizer) if repeat is None else logsigmoid(-repeat.double())
    score_normalizer = score_normalizer.nan_to_num(neginf=0.0)  # a user who has seen all items has no new candidate
    if background_odds is None:
        return scores - (score_normalizer - log_new)[:, None].to(scores.dtype)
    omega = torch.tensor(background_odds, dtype=torch.float64)
    score_shift = score_normalizer - (logsigmoid(-omega).to(score_normalizer) + log_new)
    background_shift = background_normalizer - (logsigmoid(omega).to(background_normalizer) + log_new)
    matched = scores - score_shift[:, None].to(scores.dtype)
    popular = background - background_shift[:, None].to(background.dtype)
    return log_add_exp(matched, popular).masked_fill_(scores == -torch.inf, -torch.inf)
