"""Whitening of the text vectors of one catalogue, so that they vary more equally in all directions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

_ROWS = 8192  # rows at a time in double precision


def whiten(texts: Tensor, strength: float) -> Tensor:
    """Return ``normalize((X - mean) Σ^(-strength/2))``, in the shape of `texts`, with rows of length one.

    Items of one store are similar: what they share does not help to predict the next item, and a few directions hold
    most of the variance. The mean and the covariance Σ come from the catalogue, so no clicks are needed. Σ is shrunk
    towards a multiple of the identity, more strongly for small catalogues.

    Parameters
    ----------
    texts
        X, ``(num_items, text_dim)``.
    strength
        0 returns `texts` unchanged; 1 would give every direction the same variance, but for the shrinkage.

    Examples
    --------
    >>> import torch
    >>> from prerec_pyro.data import whiten
    >>> texts = torch.tensor([[3.0, 0.0], [3.0, 1.0], [3.0, 8.0]])
    >>> whiten(texts, strength=0.5)
    tensor([[ 0., -1.],
            [ 0., -1.],
            [ 0.,  1.]])
    """
    num_items, dim = texts.shape
    if strength == 0 or num_items < 2:
        return texts
    mean = texts.mean(dim=0, dtype=torch.double)
    covariance = sum((part.double() - mean).mT @ (part.double() - mean) for part in texts.split(_ROWS)) / num_items
    values, directions = torch.linalg.eigh(covariance)
    share = dim / (dim + num_items)
    values = (1 - share) * values.clamp_min(0) + share * values.mean()
    if not values.mean() > 0:  # all texts are equal
        return texts
    root = (directions * values ** (-strength / 2)) @ directions.mT  # (text_dim, text_dim)
    whitened = torch.empty_like(texts)
    for old, new in zip(texts.split(_ROWS), whitened.split(_ROWS), strict=True):
        new.copy_(normalize((old.double() - mean) @ root, dim=1))
    return whitened
