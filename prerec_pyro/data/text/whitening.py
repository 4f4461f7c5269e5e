"""Texts of one catalogue, made to differ in all directions alike."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

_ROWS = 8192  # at a time in double precision


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
    mean = texts.mean(dim=0, dtype=torch.double)
    covariance = sum((part.double() - mean).mT @ (part.double() - mean) for part in texts.split(_ROWS)) / num_items
    values, directions = torch.linalg.eigh(covariance)
    share = dim / (dim + num_items)
    values = (1 - share) * values.clamp_min(0) + share * values.mean()
    if not values.mean() > 0:  # all texts are the same
        return texts
    root = (directions * values ** (-strength / 2)) @ directions.mT  # (text_dim, text_dim)
    whitened = torch.empty_like(texts)
    for old, new in zip(texts.split(_ROWS), whitened.split(_ROWS), strict=True):
        new.copy_(normalize((old.double() - mean) @ root, dim=1))
    return whitened
