"""Prediction of S of a store from its features: a Gaussian process over the domains that were trained on."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

REACHES = (0.5, 1.0, 2.0, 4.0)
"""Distances between stores, in units of the features, that the likelihood chooses from."""
SHARES = (0.2, 0.4, 0.6, 0.8)
"""Shares of the variance of S that the features explain, that the likelihood chooses from."""


class Prediction(NamedTuple):
    """S of a store in nats, as its features predict it.

    Attributes
    ----------
    mean, std
        ``(num_effects,)``.
    """

    mean: Tensor
    std: Tensor


def predict_effect_scales(S: Tensor, features: Tensor, store: Tensor, spread: Tensor) -> Prediction:
    """Return the posterior predictive of S of a store under a Gaussian process, coordinate by coordinate.

    ``S_k = m + g(x_k) + e_k``. Stores with like features have like g. The level m has a flat prior, so its estimate is
    that of generalised least squares, in which many sources of one kind weigh little more than one. A store that is
    like no source gets m. How far likeness reaches, and how much it explains, are chosen by the marginal likelihood of
    the sources, for all coordinates together.

    Parameters
    ----------
    S
        ``(num_sources, num_effects)`` of the sources, in nats.
    features
        ``(num_sources, num_features)`` of the sources; see `store_features`.
    store
        ``(num_features,)`` of the store; features that are NaN do not count.
    spread
        ``(num_effects,)`` standard deviation of S between domains, in nats.
    """
    S, features, store, spread = (part.double() for part in (S, features, store, spread))
    seen = ~store.isnan() & ~features.isnan().any(dim=0)
    features, store = features[:, seen], store[seen]
    units = S / spread  # (num_sources, num_effects)
    distance = (features[:, None] - features).square().mean(dim=-1)
    options = [(reach, share) for reach in REACHES for share in SHARES]
    fits = [_Fit.of(units, distance, reach, share) for reach, share in options]
    best = max(range(len(fits)), key=lambda number: fits[number].evidence)
    reach, share = options[best]
    near = share * (-0.5 * (features - store).square().mean(dim=-1) / reach**2).exp()  # (num_sources,)
    mean, variance = fits[best].predict(near)
    return Prediction((mean * spread).float(), (variance.sqrt() * spread).float())


class _Fit(NamedTuple):
    """A Gaussian process with a free level, given its kernel."""

    inverse: Tensor  # of the covariance, (num_sources, num_sources)
    level: Tensor  # (num_effects,)
    level_variance: Tensor
    residual: Tensor  # (num_sources, num_effects)
    evidence: float

    @classmethod
    def of(cls, units: Tensor, distance: Tensor, reach: float, share: float) -> _Fit:
        kernel = share * (-0.5 * distance / reach**2).exp()
        covariance = kernel + (1.0 - share) * torch.eye(len(units), dtype=kernel.dtype)
        inverse = torch.linalg.inv(covariance)
        variance = 1.0 / inverse.sum()
        level = variance * (inverse.sum(dim=0) @ units)
        residual = units - level
        squares = (residual * (inverse @ residual)).sum()
        half = units.shape[1] * (torch.logdet(covariance) - variance.log() + (len(units) - 1) * math.log(2 * math.pi))
        return cls(inverse, level, variance, residual, float(-0.5 * (squares + half)))

    def predict(self, near: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean, ``(num_effects,)``, and variance of a store, given its covariance with the sources."""
        weights = self.inverse @ near
        rest = 1.0 - weights.sum()
        variance = 1.0 - near @ weights + rest**2 * self.level_variance
        return self.level + weights @ self.residual, variance.clamp_min(1e-6)
