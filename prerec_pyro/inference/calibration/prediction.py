"""Prediction of S of a store from its features: a Gaussian process over the domains that were trained on."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions.transforms import AffineTransform

from prerec_pyro.inference.calibration.store_features import STORE_FEATURES, UNITS
from prerec_pyro.models.likelihoods.repeat_mixture import EFFECTS
from prerec_pyro.models.priors import Prior

REACHES = (0.5, 1.0, 2.0, 4.0)
"""Distances between stores, in units of the features, that the likelihood chooses from."""
SHARES = (0.2, 0.4, 0.6, 0.8)
"""Shares of the variance of S that like stores have in common, that the likelihood chooses from."""
TRENDS = (0.0, 0.3, 1.0, 3.0)
"""Variances of S along a feature, for a difference of one unit in all of them, that the likelihood chooses from."""


MEASURED = {"repeat": "repeats", "fading": "fading"}
"""Effect → the feature that measures it in a log, both as logarithms of a rate: one nat of it moves S by one nat."""


class Prediction(NamedTuple):
    """S of a store in nats, as its features predict it.

    Attributes
    ----------
    mean, std
        ``(num_effects,)``.
    """

    mean: Tensor
    std: Tensor


@dataclass(frozen=True, eq=False)
class PredictedPrior:
    """Prior of S of a store: the prior between domains, moved to a prediction and scaled to its width.

    ``S = mean + std * u`` with u from the prior between domains.

    Attributes
    ----------
    between
        Prior of S between domains, in units of their ``spread``.
    mean, std
        ``(num_effects,)`` of the prediction, in the same units.

    Examples
    --------
    >>> from prerec_pyro.priors import Normal
    >>> found = Prediction(mean=torch.tensor([1.0, 1.0]), std=torch.tensor([0.5, 0.25]))
    >>> prior = PredictedPrior.of(Normal(1.0), found, spread=torch.tensor([2.0, 0.5]))
    >>> prior.mean, prior.std
    (tensor([0.5000, 2.0000]), tensor([0.2500, 0.5000]))
    """

    between: Prior
    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, between: Prior, prediction: Prediction, spread: Tensor) -> PredictedPrior:
        """Return the prior for a prediction in nats.

        Parameters
        ----------
        between
            Prior of S between domains.
        prediction
            Mean and standard deviation in nats.
        spread
            ``(num_effects,)`` standard deviation of S between domains, in nats.
        """
        return cls(between, *(part.to(spread) / spread for part in prediction))

    def __call__(self, loc: Tensor) -> dist.TorchDistribution:
        """Return the distribution of S; `loc`, ``(..., num_effects)``, is the location of u and usually 0."""
        move = AffineTransform(self.mean.to(loc), self.std.to(loc), event_dim=1)
        return dist.TransformedDistribution(self.between(loc), [move])

    @property
    def width(self) -> int:
        """Number of effects: the prior is for this width alone."""
        return len(self.mean)


def predict_effect_scales(S: Tensor, features: Tensor, store: Tensor, spread: Tensor) -> Prediction:
    """Return the posterior predictive of S of a store under a Gaussian process, coordinate by coordinate.

    ``S_k = m + b_k + a·x_k + g(x_k) + e_k``. Stores with like features have like g, and a is a trend in the features.
    It goes on beyond the sources by one unit of each feature, and no further. Where a feature measures the effect
    itself, b is this feature, see `MEASURED`, and else 0. The level m has a flat prior, so its estimate is that of
    generalised least squares, in which many sources of one kind weigh little more than one. How far likeness reaches,
    how much it explains, and how strong trends are, is chosen by the marginal likelihood of the sources, for all
    coordinates together.

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
    measured, own_measured = _measured(features, seen, len(spread)), _measured(store, seen, len(spread))
    features, store = features[:, seen], store[seen]
    units = (S - measured) / spread  # (num_sources, num_effects)
    centre, low, high = features.mean(dim=0), features.amin(dim=0) - 1.0, features.amax(dim=0) + 1.0
    along, store_along = features - centre, store.clamp(low, high) - centre
    options = [_Kernel(*option) for option in itertools.product(REACHES, SHARES, TRENDS)]
    fits = [_Fit.of(units, kernel(features, along, features, along), kernel.share) for kernel in options]
    best = max(range(len(fits)), key=lambda number: fits[number].evidence)
    kernel = options[best]
    near = kernel(features, along, store[None], store_along[None])[:, 0]  # (num_sources,)
    own = kernel(store[None], store_along[None], store[None], store_along[None])[0, 0] + 1.0 - kernel.share
    mean, variance = fits[best].predict(near, own)
    return Prediction((mean * spread + own_measured).float(), (variance.sqrt() * spread).float())


def _measured(features: Tensor, seen: Tensor, num_effects: int) -> Tensor:
    """Return what features say of each effect by themselves, ``(..., num_effects)`` in nats; 0 where none does.

    Parameters
    ----------
    features
        ``(..., num_features)``.
    seen
        ``(num_features,)`` bool: the features that all stores have.
    num_effects
        Number of effects.
    """
    found = features.new_zeros(*features.shape[:-1], num_effects)
    for effect, feature in MEASURED.items():
        row, column = EFFECTS.index(effect), list(STORE_FEATURES).index(feature)
        if row < num_effects and column < len(seen) and seen[column]:
            found[..., row] = features[..., column] * UNITS[column]
    return found


class _Kernel(NamedTuple):
    """Covariance of S of two stores, in units of its spread."""

    reach: float
    share: float
    trend: float

    def __call__(self, some: Tensor, some_along: Tensor, others: Tensor, others_along: Tensor) -> Tensor:
        """Return it for each pair, given the features of both, and those that the trend follows."""
        distance = (some[:, None] - others).square().mean(dim=-1)
        products = some_along @ others_along.mT / max(1, some_along.shape[1])
        return self.share * (-0.5 * distance / self.reach**2).exp() + self.trend * products


class _Fit(NamedTuple):
    """A Gaussian process with a free level, given its kernel."""

    inverse: Tensor  # of the covariance, (num_sources, num_sources)
    level: Tensor  # (num_effects,)
    level_variance: Tensor
    residual: Tensor  # (num_sources, num_effects)
    evidence: float

    @classmethod
    def of(cls, units: Tensor, kernel: Tensor, share: float) -> _Fit:
        covariance = kernel + (1.0 - share) * torch.eye(len(units), dtype=kernel.dtype)
        inverse = torch.linalg.inv(covariance)
        variance = 1.0 / inverse.sum()
        level = variance * (inverse.sum(dim=0) @ units)
        residual = units - level
        squares = (residual * (inverse @ residual)).sum()
        half = units.shape[1] * (torch.logdet(covariance) - variance.log() + (len(units) - 1) * math.log(2 * math.pi))
        return cls(inverse, level, variance, residual, float(-0.5 * (squares + half)))

    def predict(self, near: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean, ``(num_effects,)``, and variance of a store, by its covariance with the sources and itself."""
        weights = self.inverse @ near
        rest = 1.0 - weights.sum()
        variance = own - near @ weights + rest**2 * self.level_variance
        return self.level + weights @ self.residual, variance.clamp_min(1e-6)
