"""S of the domains that a model is trained on: read from a log, and made part of the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.inference.calibration.fit import calibrate
from prerec_pyro.inference.calibration.hyperprior import absorb, fit_hyperprior
from prerec_pyro.inference.interventions.scorer import InterventionalScorer
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.training.batch_schedule import Source
from prerec_pyro.training.run import TrainingRun, ValidationUsers

MIN_DECISION_QUERIES = 6000
"""Validation queries, at least about, by which it is decided whether what was read of S is taken."""

Log = tuple[np.ndarray, np.ndarray | None]  # users, and how many of each user's first events count; None is all


@dataclass(frozen=True, eq=False)
class EffectScaleUpdate:
    """Asks for the posterior mode of S after a training run, all networks as they are.

    Not before it: S is the mode of a likelihood with ω, and training is without (docs/results.md).

    Attributes
    ----------
    graph, sources
        The model; changed.
    run
        The domains, and which users train and which validate.
    scorer
        Gives that of a domain, by the model as it stands.
    validation
        Gives the score of validation users, by the model as it stands, from at least so many queries: 0 is as many as
        an epoch is judged by.
    seed
        Of the draws of rivals.
    """

    graph: ExtendedGraph
    sources: TrainedDomains
    run: TrainingRun
    scorer: Callable[[EncodedDomain], InterventionalScorer]
    validation: Callable[[ValidationUsers, int], float]
    seed: int

    def after_fine_tuning(self) -> None:
        """Make the mode of S of the one domain part of the parameters; of few, unless validation users rank worse.

        Few are a sample of the training queries, or validation users, whose log is read, with less than decides.
        """
        encoded, users = self.run.parts[0]
        if self.run.num_samples is None and Source(encoded, users, 0, 0).num_queries >= MIN_DECISION_QUERIES:
            self._absorb()
        else:
            self._unless_worse(self._absorb)

    def after_pre_training(self) -> None:
        """Learn the prior of S from the modes of all domains; of a few samples, unless validation users rank worse."""
        if self.run.num_samples is None:
            self._learn()
        else:
            self._unless_worse(self._learn)

    def score_after(self) -> float:
        """Return what an epoch's validation users are ranked at with or without S, the better; nothing is changed."""
        before, after, undo = self._tried(self._absorb, 0)
        undo()
        return max(before, after)

    def logs(self) -> list[Log]:
        """Return the log of each domain from which S is read: that of its validation users, which no network fitted.

        Of a run on some samples, those: whoever has ten has no log of others, and validation users then only choose.
        """
        if self.run.num_samples is None:
            return [(users, None) for _, users in self.run.parts]
        sources = self.run.sources(np.zeros(len(self.run.encoded), np.int64))
        return [(source.users, source.lengths) for source in sources]

    def _learn(self) -> None:
        self.sources.nodes["S"] = fit_hyperprior(self.graph, self._modes(), self._W_z)

    def _absorb(self) -> None:
        (S,) = self._modes()
        absorb(self.graph, S * self.graph.likelihood.spread, self._W_z)

    def _modes(self) -> Tensor:
        """Return the posterior mode of S of each domain, ``(num_domains, 4)``."""
        S = []
        for encoded, (users, lengths) in zip(self.run.encoded, self.logs(), strict=True):
            found = calibrate(self.scorer(encoded), encoded, users, lengths=lengths, seed=self.seed)
            S.append(found.values[-1].to(self.graph.likelihood.spread))
        return torch.stack(S)

    def _unless_worse(self, change: Callable[[], None]) -> None:
        """Make a change, and undo it where validation users are then ranked worse: a few rows can mislead S.

        Networks know by heart the few rows that S is read from, so what it says is too sure, and an epoch's queries are
        too few to tell.
        """
        before, after, undo = self._tried(change, MIN_DECISION_QUERIES)
        if after < before:
            undo()

    def _tried(self, change: Callable[[], None], queries: int) -> tuple[float, float, Callable[[], None]]:
        """Make a change; return what validation users are ranked at before and after it, and what takes it back."""
        graph, nodes = {name: value.clone() for name, value in self.graph.state_dict().items()}, self.sources.nodes
        before = self.validation(self.run.parts, queries)
        self.sources.nodes = {name: value.clone() for name, value in nodes.items()}  # the guide's own are not touched
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
