"""Estimates of S of the trained domains, from their logs, as part of the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.subsets import random_users
from prerec_pyro.inference.calibration.fit import calibrate
from prerec_pyro.inference.calibration.hyperprior import absorb, fit_hyperprior
from prerec_pyro.inference.interventions.scorer import Intervention, InterventionalScorer
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.training.batch_schedule import Source
from prerec_pyro.training.run import FULL_BUDGET_SOURCES, TrainingRun, ValidationUsers, shared_budget

MIN_DECISION_QUERIES = 6000
"""Least number of validation queries, about, that decide whether an estimate of S is kept."""

QUERIES_OF_S = 8000
"""Most queries, about, that S of a source is estimated from where there are many sources; see `shared_budget`."""

QUERIES_OF_STORE = 1000
"""Most queries, about, that S of a source as a new store is estimated from; see `as_new_stores`."""

_SEED = 7  # follows the seed of the run: the draw of these users is independent of the others

Log = tuple[np.ndarray, np.ndarray | None]
"""Users, and the number of first events of each that count; None counts all."""


@dataclass(frozen=True, eq=False)
class EffectScaleUpdate:
    """Estimates the posterior mode of S after a training run; the networks do not change.

    It follows training because S is the mode of a likelihood with ω, and training is without ω (docs/decisions).

    Attributes
    ----------
    graph, sources
        Parameters and free nodes of the model; they change.
    run
        The domains, with their training and validation users.
    scorer
        Returns the scorer of a domain for the current model.
    validation
        Returns the score of validation users for the current model, from at least so many queries. With 0 it takes as
        many as rate an epoch.
    seed
        Seed of the draws of rivals.
    """

    graph: ExtendedGraph
    sources: TrainedDomains
    run: TrainingRun
    scorer: Callable[[EncodedDomain], InterventionalScorer]
    validation: Callable[[ValidationUsers, int], float]
    seed: int

    def after_fine_tuning(self) -> Tensor:
        """Make the mode of S of the one domain part of the parameters; return how far S = 0 moved, in nats.

        The change is undone if validation users rank worse with it, where S comes from little data: from a sample of
        the training queries, or from fewer than `MIN_DECISION_QUERIES` validation queries.
        """
        encoded, users = self.run.parts[0]
        if self.run.num_samples is None and Source(encoded, users, 0, 0).num_queries >= MIN_DECISION_QUERIES:
            return self._absorb()
        moved: list[Tensor] = []
        kept = self._unless_worse(lambda: moved.append(self._absorb()))
        return moved[0] if kept else torch.zeros_like(moved[0])

    def after_pre_training(self) -> None:
        """Fit the hyperprior of S to the modes of all domains.

        After a run on samples the change is undone if validation users rank worse with it.
        """
        if self.run.num_samples is None:
            self._learn()
        else:
            self._unless_worse(self._learn)

    def as_new_stores(self) -> Tensor:
        """Return S that each domain would have as a new store, in nats, ``(num_domains, num_effects)``.

        It is the mode given the networks alone, without D and the item offsets of the domain. With them a history is
        read otherwise: offsets know what is chosen together, and texts need not say it.
        """
        weights, nothing = self.sources.weights(self.graph), Intervention({})
        found = []
        for encoded, (users, lengths) in zip(self.run.encoded, self.logs(), strict=True):
            if lengths is None:
                users = random_users(encoded.domain, users, QUERIES_OF_STORE, seed=(self.seed, _SEED))
            scorer = InterventionalScorer(self.graph.eval(), encoded, nothing, weights=weights)
            S = calibrate(scorer, encoded, users, lengths=lengths, seed=self.seed, only_last=True).values[-1]
            found.append(self.graph.likelihood.in_nats(S.to(self.graph.likelihood.spread)))
        return torch.stack(found)

    def score_after(self) -> float:
        """Return the better of the validation scores of an epoch with and without the estimate; nothing changes."""
        before, after, undo = self._tried(self._absorb, 0)
        undo()
        return max(before, after)

    def logs(self) -> list[Log]:
        """Return the log of each domain that S is estimated from.

        It is the log of the validation users, which no network was fitted to. For a run on samples it is the samples
        themselves: a market with ten queries has no log of other users. Validation users then only decide.

        With many sources a random part of the users is read, so that the work does not grow with their number.
        """
        if self.run.num_samples is None:
            parts = self.run.parts
            if len(parts) <= FULL_BUDGET_SOURCES:
                return [(users, None) for _, users in parts]
            queries = shared_budget(QUERIES_OF_S, len(parts))
            seed = (self.seed, _SEED)
            return [(random_users(encoded.domain, users, queries, seed=seed), None) for encoded, users in parts]
        sources = self.run.sources(np.zeros(len(self.run.encoded), np.int64))
        return [(source.users, source.lengths) for source in sources]

    def _learn(self) -> None:
        self.sources.nodes["S"] = fit_hyperprior(self.graph, self._modes(), self._W_z)

    def _absorb(self) -> Tensor:
        (S,) = self._modes()
        nats = S * self.graph.likelihood.spread
        absorb(self.graph, nats, self._W_z)
        return nats

    def _modes(self) -> Tensor:
        """Return the posterior mode of S of each domain, ``(num_domains, num_effects)``."""
        S = []
        for encoded, (users, lengths) in zip(self.run.encoded, self.logs(), strict=True):
            found = calibrate(self.scorer(encoded), encoded, users, lengths=lengths, seed=self.seed, only_last=True)
            S.append(found.values[-1].to(self.graph.likelihood.spread))
        return torch.stack(S)

    def _unless_worse(self, change: Callable[[], None]) -> bool:
        """Make a change, and undo it if validation users then rank worse; return whether it is kept.

        The networks know the few rows that S is estimated from by heart, so the estimate is too confident. The queries
        of an epoch are too few to show it.
        """
        before, after, undo = self._tried(change, MIN_DECISION_QUERIES)
        if after < before:
            undo()
        return after >= before

    def _tried(self, change: Callable[[], object], queries: int) -> tuple[float, float, Callable[[], None]]:
        """Make a change; return the validation scores before and after it, and a function that undoes it."""
        graph, nodes = {name: value.clone() for name, value in self.graph.state_dict().items()}, self.sources.nodes
        before = self.validation(self.run.parts, queries)
        self.sources.nodes = {name: value.clone() for name, value in nodes.items()}  # the guide keeps its own
        change()

        def undo() -> None:
            self.graph.load_state_dict(graph)
            self.sources.nodes = nodes

        return before, self.validation(self.run.parts, queries), undo

    @property
    def _W_z(self) -> Tensor:
        weights = self.sources.weights(self.graph)
        assert weights is not None  # a graph with S has Z
        return weights.W_z
