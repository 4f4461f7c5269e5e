"""The family GaussianMixture: rows of a node fall into groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import constraints

from prerec_pyro.errors import InputError
from prerec_pyro.models.priors.hyperpriors import check_positive


@dataclass(frozen=True)
class GaussianMixture:
    """A mixture of Gaussians around the mean: each row of the node belongs to one of the components.

    Attributes
    ----------
    weights
        Probability of each component; they sum to 1.
    means
        Offset of each component from the mean of the node: one number for all coordinates, or one for each coordinate.
    scales
        Standard deviation of each component, in latent units.

    Raises
    ------
    InputError
        If the lengths differ, the weights do not sum to 1, or a number is out of range.

    Examples
    --------
    Nine of ten domains lie near zero, the tenth is spread widely:

    >>> import torch
    >>> prior = GaussianMixture(weights=(0.9, 0.1), means=(0.0, 0.0), scales=(0.02, 0.5))
    >>> fn = prior(torch.zeros(4, 2))
    >>> fn.batch_shape, fn.event_shape
    (torch.Size([4]), torch.Size([2]))
    >>> GaussianMixture(weights=(0.9, 0.2), means=(0.0, 0.0), scales=(0.02, 0.5))
    Traceback (most recent call last):
    prerec_pyro.errors.InputError: prior mixture: weights sum to 1.1, expected 1
    """

    weights: tuple[float, ...]
    means: tuple[float | tuple[float, ...], ...]
    scales: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("weights", "means", "scales"):
            value = _as_tuple(getattr(self, name))
            if not isinstance(value, tuple) or not value:
                raise InputError(f"prior mixture: {name} is {value!r}, expected a number for each component")
            object.__setattr__(self, name, value)
        check_positive("mixture", **{f"weights[{i}]": weight for i, weight in enumerate(self.weights)})
        check_positive("mixture", **{f"scales[{i}]": scale for i, scale in enumerate(self.scales)})
        sizes = {name: len(getattr(self, name)) for name in ("weights", "means", "scales")}
        if len(set(sizes.values())) > 1:
            raise InputError(f"prior mixture: the numbers of components differ: {sizes}")
        if abs(sum(self.weights) - 1) > 1e-6:
            raise InputError(f"prior mixture: weights sum to {sum(self.weights):g}, expected 1")
        for mean in self.means:
            coordinates = mean if isinstance(mean, tuple) else (mean,)
            if not all(isinstance(m, int | float) and math.isfinite(m) for m in coordinates):
                raise InputError(f"prior mixture: means holds {mean!r}, expected numbers")
        if len({len(mean) for mean in self.means if isinstance(mean, tuple)}) > 1:
            raise InputError("prior mixture: means have different lengths")

    @property
    def width(self) -> int | None:
        """Number of coordinates that the means are for; None means any number."""
        return next((len(mean) for mean in self.means if isinstance(mean, tuple)), None)

    def __call__(self, loc: Tensor) -> dist.TorchDistribution:
        """Return the distribution of a node around `loc`, one event of ``(latent_dim,)`` per row.

        Raises
        ------
        InputError
            If the means have another length than a row of `loc`.
        """
        width = loc.shape[-1]
        if self.width not in (None, width):
            raise InputError(f"prior mixture: means have {self.width} numbers, the node has {width} coordinates")
        means = torch.stack([loc.new_tensor(mean).expand(width) for mean in self.means])  # (num_components, width)
        components = dist.Normal(loc.unsqueeze(-2) + means, loc.new_tensor(self.scales)[:, None]).to_event(1)
        weights = loc.new_tensor(self.weights).expand(*loc.shape[:-1], len(self.weights))  # (..., num_components)
        return _Mixture(dist.Categorical(weights), components)


class _Mixture(dist.MixtureSameFamily):
    """`MixtureSameFamily` with all real vectors as support, a constraint that Pyro's guides can transform to."""

    support = constraints.real_vector


def _as_tuple(value: object) -> object:
    """Return lists as tuples, so that a prior read from JSON equals the one that was written."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list | tuple) else value
