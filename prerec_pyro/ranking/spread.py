"""Items that cover a catalogue: those nearest the centres of a k-means clustering of their text vectors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

MOST_CLUSTERS = 64
"""Number of clusters from which longer lists take several items of each."""
FITTED_ITEMS = 20_000
"""Number of items that the centres are fitted to; more are sampled evenly."""


def spread(vectors: Tensor, k: int) -> Tensor:
    """Return ``(k,)`` rows of items that cover the catalogue; the same vectors give the same rows.

    The vectors, scaled to length 1, form `k` clusters, at most `MOST_CLUSTERS`. First comes the item nearest the
    centre of each cluster, the largest cluster first, then the second nearest of each, and so on.

    Parameters
    ----------
    vectors
        ``(num_items, dim)`` text vectors.
    k
        Number of items, at most ``num_items``.

    Examples
    --------
    >>> vectors = torch.tensor([[1, 0.1], [1, 0], [1, -0.1], [0, 1], [0.1, 1], [0.2, 1]])
    >>> spread(vectors, k=2).tolist()
    [1, 4]
    """
    unit = torch.nn.functional.normalize(vectors.float().cpu(), dim=1)
    if k >= len(unit):
        cluster, distance = torch.arange(len(unit)), torch.zeros(len(unit))
    else:
        cluster, distance = _clusters(unit, min(k, MOST_CLUSTERS))
    size = cluster.bincount()
    # Position of each item in its cluster, by distance; ties in the order of the item index.
    by_distance = distance.argsort(stable=True)
    order = by_distance[cluster[by_distance].argsort(stable=True)]
    position = torch.empty_like(order)
    position[order] = torch.arange(len(order)) - (size.cumsum(0) - size)[cluster[order]]
    # Round by round, larger clusters first.
    ranked = np.lexsort((cluster.numpy(), -size[cluster].numpy(), position.numpy()))
    return torch.from_numpy(ranked[:k])


def _clusters(unit: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the cluster of each vector and its squared distance from the centre, each ``(num_items,)``."""
    from sklearn.cluster import KMeans  # slow to import, and few lists need it

    distinct = unit.unique(dim=0)
    sample = distinct[torch.linspace(0, len(distinct) - 1, min(FITTED_ITEMS, len(distinct))).long()]
    k = min(k, len(sample))
    centres = torch.from_numpy(KMeans(k, n_init=1, random_state=0).fit(sample.numpy()).cluster_centers_)
    parts = [torch.cdist(part, centres.to(part)).square().min(1) for part in unit.split(FITTED_ITEMS)]
    return torch.cat([part.indices for part in parts]), torch.cat([part.values for part in parts])
