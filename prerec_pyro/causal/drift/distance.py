"""Distance of a gradient from what chance allows: Hotelling's T² over groups of users."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Distance:
    """Result of `hotelling_distance`.

    Attributes
    ----------
    squared
        Squared Mahalanobis distance.
    p_value
        Probability of a distance this large where nothing has changed.
    gradient
        ``(size,)`` sum of the gradients minus the offset.
    covariance
        ``(size, size)`` covariance of the sum of the gradients.
    """

    squared: float
    p_value: float
    gradient: Tensor
    covariance: Tensor


def hotelling_distance(gradients: Tensor, offset: Tensor, offset_covariance: Tensor) -> Distance:
    """Return the distance of the sum of some gradients from its expectation.

    Parameters
    ----------
    gradients
        ``(num_groups, size)`` gradients of the later log-likelihood by group of users.
    offset
        ``(size,)`` expectation of their sum where nothing has changed.
    offset_covariance
        ``(size, size)`` covariance of that expectation.
    """
    number, size = gradients.shape
    total, covariance = gradients.sum(0) - offset, sum_covariance(gradients)
    squared = float(total @ torch.linalg.solve(covariance + offset_covariance, total))
    ratio = squared * (number - size) / (size * (number - 1))  # Hotelling's T² as an F statistic
    return Distance(squared, float(stats.f.sf(ratio, size, number - size)), total, covariance)


def sum_covariance(gradients: Tensor) -> Tensor:
    """Return the covariance of the sum of exchangeable gradients, ``(size, size)``, from ``(num_groups, size)``."""
    centred = gradients - gradients.mean(0)
    return centred.mT @ centred * (len(gradients) / (len(gradients) - 1))
