"""Features of a store: what can be seen of its catalogue and its log without a model."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain

STORE_FEATURES = {
    "items": "log of the number of items",
    "likeness": "mean cosine between the texts of two items",
    "variants": "mean cosine between the text of an item and the most similar other text",
    "length": "log of the mean number of events of a user",
    "turnover": "log of the events of a popularity window for each item",
    "gini": "Gini coefficient of the number of events of an item",
    "repeats": "share of events that repeat an item of the user",
    "order": "1 for a log without times, else 0",
}
"""Name → meaning, in the order of `store_features`."""

UNITS = (1.5, 0.15, 0.15, 0.8, 1.5, 0.2, 0.1, 1.0)
"""A difference in each feature at which two stores are of different kinds; fixed, so that no source moves another."""

_SAMPLE = 1024
_known: WeakKeyDictionary[Domain, Tensor] = WeakKeyDictionary()


def store_features(encoded: EncodedDomain) -> Tensor:
    """Return the features of a store in `UNITS`, ``(num_features,)``; NaN for those that a store without a log lacks.

    Parameters
    ----------
    encoded
        The domain; its texts as the encoder gives them, not whitened.
    """
    if encoded.domain not in _known:
        values = [*_of_catalogue(encoded), *_of_log(encoded)]
        _known[encoded.domain] = torch.tensor(values) / torch.tensor(UNITS)
    return _known[encoded.domain]


def _of_catalogue(encoded: EncodedDomain) -> list[float]:
    generator = torch.Generator().manual_seed(0)
    some = torch.randperm(encoded.num_items, generator=generator)[:_SAMPLE]
    texts = normalize(encoded.texts, dim=1)
    cosines = texts[some] @ texts.mT  # (num_sampled, num_items)
    cosines[torch.arange(len(some)), some] = -1.0
    nearest = float(cosines.max(dim=1).values.mean()) if encoded.num_items > 1 else 1.0
    return [float(np.log(encoded.num_items)), float(texts.mean(dim=0).square().sum()), nearest]


def _of_log(encoded: EncodedDomain) -> list[float]:
    domain = encoded.domain
    if not domain.num_interactions:
        return [float("nan")] * 5
    counts = np.sort(np.bincount(domain.item_index, minlength=domain.num_items))
    rank = np.arange(1, len(counts) + 1)
    gini = float(2 * (rank * counts).sum() / (len(counts) * counts.sum()) - (len(counts) + 1) / len(counts))
    pairs = np.unique(domain.user_of_event.astype(np.int64) * domain.num_items + domain.item_index)
    windows = 1.0
    if domain.days is not None:
        windows = max(float(domain.days.max() - domain.days.min() + 1) / encoded.popularity.window, 1.0)
    return [
        float(np.log(domain.num_interactions / max(domain.num_users, 1))),
        float(np.log(domain.num_interactions / (windows * domain.num_items))),
        gini,
        1.0 - len(pairs) / domain.num_interactions,
        float(domain.days is None),
    ]
