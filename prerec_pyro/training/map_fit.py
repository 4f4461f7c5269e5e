"""The fit of a graph's parameters and of the MAP of its free nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.inference.guides.map_guide import NonCenteredModel, map_guide, trained_nodes
from prerec_pyro.inference.interventions.scorer import InterventionalScorer
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.edges import check_edges
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.graphs.registry import Graph
from prerec_pyro.training.effect_scale_hold import EffectScaleHold
from prerec_pyro.training.effect_scale_update import EffectScaleUpdate
from prerec_pyro.training.objective import map_trainer
from prerec_pyro.training.recipes import TrainConfig
from prerec_pyro.training.run import TrainingRun, ValidationUsers


class MapFit(NamedTuple):
    """The result of `fit_map`.

    Attributes
    ----------
    history
        One row of metrics for each epoch; see `EarlyStopping`.
    facts
        Facts about the run, for a manifest.
    update
        The estimate of S that is still to be made, of a graph that has S.
    """

    history: list[dict[str, float]]
    facts: dict[str, Any]
    update: EffectScaleUpdate | None


def fit_map(
    graph: Graph,
    domains: TrainedDomains,
    free: frozenset[str],
    run: TrainingRun,
    training: TrainConfig,
    device: torch.device,
    *,
    config: Callable[[], dict[str, Any]],
    scorer: Callable[[EncodedDomain], InterventionalScorer],
    validation: Callable[[ValidationUsers, int], float],
) -> MapFit:
    """Return the history and the facts of a training run; fit the graph and the free nodes of its domains.

    Parameters
    ----------
    graph, domains
        The graph and its domains; both change. Nodes of `domains` that belong to all domains are the start.
    free
        Nodes with a MAP of their own.
    run
        The domains, with their training and validation users.
    training
        Settings of training.
    device
        Device of the graph.
    config
        Returns what the model is built from, plain JSON; see `TrainingRun.fit`.
    scorer
        Returns the scorer of a domain for the current model.
    validation
        Returns the score of validation users for the current model, from at least so many queries.

    Raises
    ------
    InputError
        If a graph of one's own has other edges than it declares; see `check_edges`.
    """
    first = domains.first_rows
    program = NonCenteredModel(graph, free)
    guide = map_guide(program, int(first[-1]), free, start=domains.nodes)
    sources = run.sources(first)
    check_edges(graph, sources[0].first_batch(training).to(device))
    hold = EffectScaleHold(graph, sources, training)
    # After a run on samples S is estimated, so an epoch is validated with the estimate.
    estimated = len(sources) == 1 and (bool(hold) or run.num_samples is not None)
    update = None
    if isinstance(graph, ExtendedGraph):
        update = EffectScaleUpdate(graph, domains, run, scorer, validation, training.seed)
    trainer = map_trainer(program, guide, sources, training, device)

    def score(parts: ValidationUsers) -> float:
        domains.nodes = trained_nodes(guide)
        with hold.returned():
            return update.score_after() if estimated and update is not None else validation(parts, 0)

    progress, facts = run.fit(trainer, config, score)
    hold.put_back()
    domains.nodes = {name: value.clone() for name, value in trained_nodes(guide).items()}
    return MapFit(progress.history, facts, update)
