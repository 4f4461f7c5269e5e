"""Early stopping: the history of a training run, and its best state so far."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, nn


@dataclass
class EarlyStopping:
    """The history of a training run and its best state so far.

    Attributes
    ----------
    history
        One row an epoch: ``epoch``, ``loss`` (nats per query, above the loss with all latents at their prior means),
        ``num_queries`` and ``validation`` (mean r-NDCG).
    best_epoch, best_score
        Epoch and validation score of the state in `best`.
    best
        State of the module with the best score; empty before the first.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = -np.inf
    best: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def better(self, number: int, score: float, module: nn.Module) -> bool:
        """Return whether `score` is the best so far; if so, keep the module's state."""
        if score <= self.best_score and self.best:
            return False
        self.best_epoch, self.best_score = number, score
        # A guide must never be deep-copied; its state_dict may.
        self.best = copy.deepcopy({name: value.detach() for name, value in module.state_dict().items()})
        return True
