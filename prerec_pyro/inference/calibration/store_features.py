"""Features of a store: what can be seen of its catalogue, and of its log up to a moment, without a model."""

from __future__ import annotations

from typing import NamedTuple
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
    "repeats": "log of the share of events that repeat an item of the user",
    "succession": "log of how much more alike the texts of two items in succession are than those of any two",
    "fading": "log of the rate at which this likeness falls off, from item to item",
    "order": "1 for a log without times, else 0",
}
"""Name → meaning, in the order of `store_features`; the first three are of the catalogue, the others of the log."""

UNITS = (1.5, 0.15, 0.15, 0.8, 1.5, 0.2, 1.5, 0.5, 0.7, 1.0)
"""A difference in each feature at which two stores are of different kinds; fixed, so that no source moves another."""

FIRST_EVENTS = 256
"""Events from which a log has features; they are counted again whenever the number of events has doubled."""

PLACES = ((1, 1), (4, 8))
"""How far apart in a history items are whose likeness is compared, first and last distance."""

_APART = (sum(PLACES[1]) - sum(PLACES[0])) / 2  # items between the two, on average

_SAMPLE = 1024
_EVENTS = 4096
_LEAST = 0.1  # standard deviations; what a likeness is raised by before it divides
_LEAST_REPEATS = 0.002  # what the share of repeats is raised by
_MOST_KEPT = 0.95  # of the likeness, from succession to the later places
_catalogues: WeakKeyDictionary[Domain, _Catalogue] = WeakKeyDictionary()


class _Catalogue(NamedTuple):
    """What is known of the texts of a catalogue."""

    features: list[float]
    mean: float  # of the cosine of two items
    std: float


class FeaturesOverTime(NamedTuple):
    """Features of a store at each time: a step function of the time slot.

    Attributes
    ----------
    since
        ``(num_steps,)`` first time slot of each step, increasing.
    values
        ``(num_steps + 1, num_features)`` in `UNITS`: before all steps, and from each on.
    """

    since: np.ndarray
    values: Tensor


def store_features(encoded: EncodedDomain, users: np.ndarray | None = None) -> Tensor:
    """Return the features of a store in `UNITS`, ``(num_features,)``; NaN for those that a store without a log lacks.

    Parameters
    ----------
    encoded
        The domain; whether its texts are whitened makes no difference.
    users
        ``(n,)`` user rows whose events are the log; None: all users.
    """
    events = np.arange(encoded.domain.num_interactions)
    if users is not None:
        events = events[np.isin(encoded.domain.user_of_event, users)]
    return _in_units(encoded, events)


def features_over_time(encoded: EncodedDomain) -> FeaturesOverTime:
    """Return the features of a store at each time, of the events of earlier slots alone.

    A log without timestamps has one slot: there the features, like popularity, are those of the whole log.

    Parameters
    ----------
    encoded
        See `store_features`.
    """
    none = np.empty(0, np.int64)
    if not encoded.domain.num_interactions:
        return FeaturesOverTime(none, _in_units(encoded, none)[None])
    if encoded.popularity.is_static:
        return FeaturesOverTime(none, store_features(encoded)[None])
    order = np.argsort(encoded.slots, kind="stable")
    times = encoded.slots[order]
    since, ends = [], []
    wanted = FIRST_EVENTS
    for slot in np.unique(times) + 1:
        before = int(np.searchsorted(times, slot))
        if before >= wanted:
            since.append(int(slot))
            ends.append(before)
            wanted = 2 * before
    rows = [_in_units(encoded, order[:end]) for end in (0, *ends)]
    return FeaturesOverTime(np.array(since, np.int64), torch.stack(rows))


def _in_units(encoded: EncodedDomain, events: np.ndarray) -> Tensor:
    """Return the features of the catalogue and of some events of the log, ``(num_features,)``."""
    if encoded.domain not in _catalogues:
        _catalogues[encoded.domain] = _of_catalogue(encoded)
    catalogue = _catalogues[encoded.domain]
    values = [*catalogue.features, *_of_events(encoded, events, catalogue)]
    return torch.tensor(values) / torch.tensor(UNITS)


def _of_catalogue(encoded: EncodedDomain) -> _Catalogue:
    generator = torch.Generator().manual_seed(0)
    some = torch.randperm(encoded.num_items, generator=generator)[:_SAMPLE]
    texts = normalize(encoded.plain_texts, dim=1)
    cosines = texts[some] @ texts.mT  # (num_sampled, num_items)
    own = torch.zeros_like(cosines, dtype=torch.bool)
    own[torch.arange(len(some)), some] = True
    if encoded.num_items == 1:
        return _Catalogue([0.0, 1.0, 1.0], 1.0, 1.0)
    nearest = float(cosines.masked_fill(own, -1.0).max(dim=1).values.mean())
    others = cosines[~own]
    features = [float(np.log(encoded.num_items)), float(texts.mean(dim=0).square().sum()), nearest]
    return _Catalogue(features, float(others.mean()), max(float(others.std(correction=0)), 1e-6))


def _of_events(encoded: EncodedDomain, events: np.ndarray, catalogue: _Catalogue) -> list[float]:
    domain = encoded.domain
    if not len(events):
        return [float("nan")] * (len(STORE_FEATURES) - len(catalogue.features))
    item, user = domain.item_index[events], domain.user_of_event[events]
    counts = np.sort(np.bincount(item, minlength=domain.num_items))
    rank = np.arange(1, len(counts) + 1)
    gini = float(2 * (rank * counts).sum() / (len(counts) * counts.sum()) - (len(counts) + 1) / len(counts))
    pairs = np.unique(user.astype(np.int64) * domain.num_items + item)
    windows = 1.0
    if domain.days is not None:
        days = domain.days[events]
        windows = max(float(days.max() - days.min() + 1) / encoded.popularity.window, 1.0)
    next_, later = (max(_likeness(encoded, events, places, catalogue), 0.0) for places in PLACES)
    return [
        float(np.log(len(events) / len(np.unique(user)))),
        float(np.log(len(events) / (windows * domain.num_items))),
        gini,
        float(np.log(1.0 - len(pairs) / len(events) + _LEAST_REPEATS)),
        float(np.log(next_ + _LEAST)),
        float(np.log(-np.log(min((later + _LEAST) / (next_ + _LEAST), _MOST_KEPT)) / _APART)),
        float(domain.days is None),
    ]


def _likeness(encoded: EncodedDomain, events: np.ndarray, places: tuple[int, int], catalogue: _Catalogue) -> float:
    """Return how alike items are that stand so many places apart in a history, in standard deviations of two items.

    Pairs of one item with itself do not count. A user's events so far are the first ones of the user.
    """
    domain = encoded.domain
    some = np.random.default_rng(0).permutation(events)[:_EVENTS]
    first = domain.offsets[domain.user_of_event[some]]
    pairs = [(some[some - lag >= first], lag) for lag in range(places[0], places[1] + 1)]
    later = domain.item_index[np.concatenate([event for event, _ in pairs])]
    earlier = domain.item_index[np.concatenate([event - lag for event, lag in pairs])]
    apart = later != earlier
    if not apart.any():
        return 0.0
    texts = [
        normalize(encoded.plain_texts[torch.from_numpy(item[apart].astype(np.int64))], dim=1)
        for item in (later, earlier)
    ]
    return (float((texts[0] * texts[1]).sum(dim=1).mean()) - catalogue.mean) / catalogue.std
