"""S of the domains that a model is trained on: read from a log, and made part of the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.inference.calibration import calibrate
from prerec_pyro.inference.interventions import InterventionalScorer
from prerec_pyro.inference.sources import TrainedSources
from prerec_pyro.inference.strengths import absorb, learn_prior
from prerec_pyro.models.graph import PreRecGraph
from prerec_pyro.training_run import Parts, TrainingRun

Log = tuple[np.ndarray, np.ndarray | None]  # users, and how many of each user's first events count; None is all


@dataclass(frozen=True, eq=False)
class StrengthReading:
    """Asks for the posterior mode of S, all networks as they are, before and after a training run.

    Attributes
    ----------
    graph, sources
        The model; changed.
    run
        The domains, and which users train and which validate.
    scorer
        Gives that of a domain, by the model as it stands.
    validation
        Gives the score of validation users, by the model as it stands.
    seed
        Of the draws of rivals.
    """

    graph: PreRecGraph
    sources: TrainedSources
    run: TrainingRun
    scorer: Callable[[EncodedDomain], InterventionalScorer]
    validation: Callable[[Parts], float]
    seed: int

    def before_fine_tuning(self) -> None:
        """Start at the mode of S given the training users, unless validation users are then ranked worse."""
        self._unless_worse(lambda: self._absorb(self._training_logs()))

    def after_fine_tuning(self) -> None:
        """The networks are new ones: ask again, and make the mode of S part of the parameters."""
        self._at_the_end(self._absorb)

    def after_pre_training(self) -> None:
        """Learn the prior of S from the modes of all domains."""
        self._at_the_end(self._learn)

    def _at_the_end(self, take: Callable[[list[Log]], None]) -> None:
        """Read the log of the validation users, which the networks have not fitted; of a run on some samples, those.

        Whoever has ten samples has no log of other users to read S from: validation users then only choose.
        """
        if self.run.num_samples is None:
            take([(users, None) for _, users in self.run.parts])
        else:
            self._unless_worse(lambda: take(self._training_logs()))

    def _training_logs(self) -> list[Log]:
        sources = self.run.sources(np.zeros(len(self.run.encoded), np.int64))
        return [(source.users, source.lengths) for source in sources]

    def _learn(self, logs: list[Log]) -> None:
        self.sources.nodes["S"] = learn_prior(self.graph, self._modes(logs), self._W_z)

    def _absorb(self, logs: list[Log]) -> None:
        (S,) = self._modes(logs)
        absorb(self.graph, S * self.graph.spread, self._W_z)

    def _modes(self, logs: list[Log]) -> Tensor:
        """Return the posterior mode of S of each domain, ``(num_domains, 4)``."""
        S = []
        for encoded, (users, lengths) in zip(self.run.encoded, logs, strict=True):
            found = calibrate(self.scorer(encoded), encoded, users, lengths=lengths, seed=self.seed)
            S.append(found.values[-1].to(self.graph.spread))
        return torch.stack(S)

    def _unless_worse(self, change: Callable[[], None]) -> None:
        """Make a change, and undo it where validation users are then ranked worse: a few rows can mislead S."""
        before = self.validation(self.run.parts)
        graph, nodes = ({name: value.clone() for name, value in of.items()} for of in self._state())
        change()
        if self.validation(self.run.parts) < before:
            self.graph.load_state_dict(graph)
            self.sources.nodes = nodes

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return self.graph.state_dict(), self.sources.nodes

    @property
    def _W_z(self) -> Tensor:
        return self.sources.weights(self.graph).W_z
