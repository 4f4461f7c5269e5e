"""Texts of one catalogue, made to differ in all directions alike."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def whiten(texts: Tensor, strength: float) -> Tensor:
    """Return ``normalize((X - mean) Σ^(-strength/2))``, the shape of `texts`, rows of length one.

    Items of one store are alike: what all of them share says nothing of which comes next, and a few directions hold
    most of the spread. Mean and covariance Σ are those of the catalogue itself, so this needs no clicks. Σ is shrunk
    to a multiple of the identity, the more the fewer items there are.

    Parameters
    ----------
    texts
        X, ``(num_items, text_dim)``.
    strength
        0 returns `texts` as they are; 1 would make every direction vary alike.
    """
    num_items, dim = texts.shape
    if strength == 0 or num_items < 2:
        return texts
    centred = texts.double() - texts.double().mean(dim=0)
    values, directions = torch.linalg.eigh(centred.mT @ centred / num_items)
    share = dim / (dim + num_items)
    values = (1 - share) * values.clamp_min(0) + share * values.mean()
    if not values.mean() > 0:  # all texts are the same
        return texts
    scaled = (centred @ directions) * values ** (-strength / 2)  # (num_items, text_dim)
    return normalize(scaled @ directions.mT, dim=1).to(texts.dtype)
