"""Interests of a person: the last items of a history, how fast they fade, and how far they are kept apart."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.likelihoods.softmax import Match

FADING = 0.3
"""Rate at which interests fade before training: of two neighbours the older weighs e^-0.3."""

CONTRAST = 4.5
"""How far interests are kept apart before training; items have about unit length."""


GROWTH = 0.25
"""Power of the number of interests that the length of U grows with before training: sixteen make it twice as long."""

USUAL = 4
"""Number of interests at which U has the length that the graph says."""


_LEAST = torch.finfo(torch.float32).tiny


class Reading(NamedTuple):
    """How a domain reads a history: the rate at which interests fade, and their contrast, each ``(..., 1, 1)``."""

    fading: Tensor
    contrast: Tensor


class Interests(nn.Module):
    """A history read as several interests.

    The last `most` items of a history have weights ``w_a ∝ exp(-fading · a)`` for an age of a = 0, 1, … items. Their
    mean ``Σ_a w_a V_a`` is where U stands before f_seq corrects it. If U is split into interests ``U_a``, one around
    each item, the match is

    ``log Σ_a w_a exp(β U_a·V_j) / β  =  U·V_j + [log Σ_a w_a exp(β V_a·V_j) / β - Σ_a w_a V_a·V_j]``

    with the contrast β. The second term is `spread`; it is never below 0 (Jensen), and 0 where all interests are alike.
    As β falls to 0 there is one interest, the mean. As it grows the nearest interest alone counts.

    The more is known of a person, the sharper is the match: the length of U is that of the graph times
    ``(n / 4)^growth``, with n the number of interests.

    Parameters
    ----------
    most
        Number of interests; 1 is the last item alone.

    Attributes
    ----------
    log_fading, log_contrast
        Logarithms of the rate and of β at the prior mean of S.
    growth
        Power of the number of interests in the length of U.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.log_fading = nn.Parameter(torch.tensor(math.log(FADING)))
        self.log_contrast = nn.Parameter(torch.tensor(math.log(CONTRAST)))
        self.growth = nn.Parameter(torch.tensor(GROWTH))

    def reading(self, fading: Tensor, contrast: Tensor) -> Reading:
        """Return how a domain reads a history.

        Parameters
        ----------
        fading, contrast
            Effect scales of the domain, in e-folds, each ``(..., 1, 1)``.
        """
        return Reading((self.log_fading + fading).exp(), (self.log_contrast + contrast).exp())

    def sharpness(self, positions: Tensor, length: int) -> Tensor:
        """Return the factor of the length of U of each query, ``(num_queries, 1)``.

        Parameters
        ----------
        positions
            ``(num_queries,)`` positions of the queries in the flattened ``(num_sequences, length)``.
        length
            Length of the sequences.
        """
        number = (positions % length + 1).clamp_max(self.most).to(self.growth.dtype)
        return (self.growth * (number / USUAL).log())[:, None].exp()

    def weights(self, fading: Tensor, length: int, *, only_last: bool = False) -> Tensor:
        """Return the weights of the items at each position of a sequence, ``(..., 1, length, length)``.

        Row p holds the weights of the positions up to p; they sum to 1.

        Parameters
        ----------
        fading
            ``(..., 1, 1)`` rate.
        length
            Length of the sequences.
        only_last
            Whether the last row alone is returned, ``(..., 1, 1, length)``.
        """
        position = torch.arange(length, device=fading.device)
        age = position[-1:, None] - position if only_last else position[:, None] - position
        logits = -fading[..., None] * age.to(fading.dtype)  # (..., 1, length, length)
        return logits.masked_fill((age < 0) | (age >= self.most), -torch.inf).softmax(-1)

    def mean(self, history: Tensor, positions: Tensor, fading: Tensor, *, only_last: bool) -> Tensor:
        """Return the weighted mean of the histories of the queries, ``(..., num_queries, B)``.

        Parameters
        ----------
        history
            V of the histories, ``(..., num_sequences, length, B)``.
        positions
            ``(num_queries,)`` positions of the queries in the flattened ``(num_sequences, length)``.
        fading
            ``(..., 1, 1)`` rate.
        only_last
            Whether each sequence has one query, at its end.
        """
        if only_last:
            history = history[..., -self.most :, :]
            return (self.weights(fading, history.shape[-2], only_last=True) @ history).squeeze(-2)
        means = self.weights(fading, history.shape[-2]) @ history  # (..., num_sequences, length, B)
        return means.flatten(-3, -2).index_select(-2, positions)

    def spread(self, V: Tensor, reading: Reading, batch: Batch) -> Match:
        """Return what the distance between interests adds to the match of each candidate, at least 0.

        Parameters
        ----------
        V
            ``(..., num_rows, B)`` of the items of the batch.
        reading
            How the domain reads a history.
        batch
            Queries, histories and candidates.

        Returns
        -------
        Match
            ``(..., num_queries, num_candidates)``, and ``(..., num_queries)`` of the targets in training.
        """
        history = V[..., batch.history, :]  # (..., num_sequences, length, B)
        candidates = V if batch.negatives is None else V[..., batch.negatives, :]
        weights = self.weights(reading.fading, history.shape[-2])
        products = history @ candidates.unsqueeze(-3).mT  # (..., num_sequences, length, num_candidates)
        found = _spread(weights, products, reading.contrast[..., None])
        found = found.flatten(-3, -2).index_select(-2, batch.positions)  # (..., num_queries, num_candidates)
        if batch.negatives is None or batch.targets is None:
            return Match(found)
        target = batch.history.flatten().index_put((batch.positions,), batch.targets).view(batch.history.shape)
        own = V[..., target, :] @ history.mT  # (..., num_sequences, position, length)
        return Match(found, _own_spread(weights, own, reading.contrast[..., None]).flatten(-2)[..., batch.positions])


def _spread(weights: Tensor, products: Tensor, contrast: Tensor) -> Tensor:
    """Return the spread, ``(..., positions, num_candidates)``.

    Parameters
    ----------
    weights
        ``(..., positions, length)``, rows sum to 1.
    products
        V of the history times V of the candidates, ``(..., length, num_candidates)``.
    contrast
        β.
    """
    scaled = contrast * products.to(weights.dtype)
    # One product mixes all positions, so all share the best match of a candidate. What lies far below it, where that is
    # a match with an item that a position does not read, counts as `_LEAST`: a branch would wait for the device.
    most = scaled.detach().amax(-2, keepdim=True)  # (..., 1, num_candidates)
    mixture = (weights @ (scaled - most).exp()).clamp_min(_LEAST).log() + most
    return ((mixture - weights @ scaled) / contrast).clamp_min(0.0)


def _own_spread(weights: Tensor, products: Tensor, contrast: Tensor) -> Tensor:
    """Return the spread of one candidate at each position, ``(..., positions)``, given ``(..., positions, length)``."""
    scaled = contrast * products.to(weights.dtype)
    mixture = (scaled + _logs(weights)).logsumexp(-1)
    return ((mixture - (weights * scaled).sum(-1)) / contrast[..., 0]).clamp_min(0.0)


def _logs(weights: Tensor) -> Tensor:
    """Return the logarithms of weights; the gradient of a weight of 0 is 0."""
    is_read = weights > 0
    return weights.where(is_read, 1.0).log().masked_fill(~is_read, -torch.inf)
