"""S and newcomers of a store that the model was not trained on: what is kept of the sources, and what they predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.newcomers import newcomer_popularity
from prerec_pyro.inference.calibration.hyperprior import absorb
from prerec_pyro.inference.calibration.prediction import PredictedPrior, Prediction, predict_effect_scales
from prerec_pyro.inference.calibration.store_features import features_over_time, store_features
from prerec_pyro.inference.interventions.effect_scales import Calibration
from prerec_pyro.inference.trained_domains import NEWCOMERS, STORES, TrainedDomains
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.graphs.registry import Graph


class PredictedScales(NamedTuple):
    """S of a store as its features predict it at each time: a step function of the time slot.

    Attributes
    ----------
    since
        ``(num_steps,)`` first time slot of each step, increasing.
    steps
        The prediction before all steps, which reads the catalogue alone, and from each on.
    """

    since: np.ndarray
    steps: list[Prediction]

    def at(self, slot: int) -> Prediction:
        """Return the prediction from the events of earlier slots."""
        return self.steps[int(np.searchsorted(self.since, slot, side="right"))]

    def served(self, spread: Tensor) -> Calibration:
        """Return the means, as a scorer reads S; no query of the log is behind them."""
        means = torch.stack([step.mean for step in self.steps])
        queries = torch.zeros(len(means), dtype=torch.int64)
        return Calibration(torch.from_numpy(self.since), means / spread, queries, spread)


def remember_stores(
    graph: Graph, sources: TrainedDomains, stores: Sequence[EncodedDomain], scales: Callable[[], Tensor] | None
) -> None:
    """Keep what new items have in the sources among the nodes of `sources` and, of several, S and features.

    Graphs of the paper keep nothing: they count as the paper does, and have no S.

    Parameters
    ----------
    graph
        The trained graph.
    sources
        The trained domains; changed.
    stores
        The same domains.
    scales
        Returns S that each would have as a new store, in nats, ``(num_domains, num_effects)``; None where there is no
        S.
    """
    if not isinstance(graph, ExtendedGraph):
        return
    learnt = newcomer_popularity((store.domain for store in stores), window=stores[0].popularity.window)
    if learnt.num_domains:
        sources.nodes[NEWCOMERS] = torch.from_numpy(learnt.as_array()).to(next(graph.parameters()).device)
    if scales is None or len(stores) < 2:
        return
    nats = scales()
    features = torch.stack([store_features(store) for store in stores]).to(nats.device)
    sources.nodes |= dict(zip(STORES, (nats, features), strict=True))


def predicted_scales(graph: Graph, sources: TrainedDomains, store: EncodedDomain) -> PredictedScales | None:
    """Return S of a store as its features predict it; None for a trained domain, or with fewer than two sources.

    At each time the features are those of the catalogue and of earlier events.

    Parameters
    ----------
    graph, sources
        The trained model.
    store
        The store.
    """
    if not isinstance(graph, ExtendedGraph) or not _predicts(sources, store):
        return None
    S, features = (sources.nodes[name].cpu() for name in STORES)
    since, seen = features_over_time(store)
    spread = graph.likelihood.spread.cpu()
    return PredictedScales(since, [predict_effect_scales(S, features, row, spread) for row in seen])


def _predicts(sources: TrainedDomains, store: EncodedDomain) -> bool:
    """Return whether the sources say what S of a store is: there are several, and it is none of them."""
    known = all(name in sources.nodes and len(sources.nodes[name]) > 1 for name in STORES)
    return known and sources.row(store.domain) is None


def prior_of_store(graph: Graph, sources: TrainedDomains, store: EncodedDomain) -> PredictedPrior | None:
    """Return the prior of S of a store given its whole log, from `predicted_scales`; None where that is None.

    Parameters
    ----------
    graph, sources
        The trained model.
    store
        The store.
    """
    predicted = predicted_scales(graph, sources, store)
    if predicted is None or not isinstance(graph, ExtendedGraph):
        return None
    return PredictedPrior.of(graph.priors.S, predicted.steps[-1], graph.likelihood.spread)


def start_at_prediction(
    graph: Graph, nodes: TrainedDomains, sources: TrainedDomains, store: EncodedDomain, users: np.ndarray
) -> Tensor:
    """Make S = 0 of a model that is to be fine-tuned on a store what its features predict; return the move in nats.

    Parameters
    ----------
    graph, nodes
        The model before fine-tuning, as it was pre-trained; its parameters change.
    sources
        The domains that it was pre-trained on.
    store
        The store.
    users
        ``(n,)`` user rows whose log the features are read from.
    """
    weights = nodes.weights(graph)
    if weights is None or not isinstance(graph, ExtendedGraph) or not _predicts(sources, store):
        return torch.zeros(())
    S, features = (sources.nodes[name].cpu() for name in STORES)
    spread = graph.likelihood.spread.cpu()
    nats = predict_effect_scales(S, features, store_features(store, users), spread).mean.to(weights.W_z.device)
    absorb(graph, nats, weights.W_z)
    return nats


def stores_from(sources: TrainedDomains, moved: Tensor) -> dict[str, Tensor]:
    """Return what is kept of the sources of another model, in which S = 0 has moved by so many nats."""
    if any(name not in sources.nodes for name in STORES):
        return {}
    S, features = (sources.nodes[name] for name in STORES)
    return {STORES[0]: S - moved.to(S), STORES[1]: features}
