"""Where training stands, and the best state so far: what early stopping goes back to."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, nn


@dataclass
class EarlyStopping:
    """Where training stands, and its best state so far.

    Attributes
    ----------
    history
        A row an epoch: ``epoch, loss`` (nats a query, above that of all latents at their prior means), ``num_queries``
        and ``validation`` (mean r-NDCG).
    best_epoch, best_score
        Of the state in `best`.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = -np.inf
    best: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def better(self, number: int, score: float, module: nn.Module) -> bool:
        """Keep the module's state if `score` is the best yet; return whether it is."""
        if score <= self.best_score and self.best:
            return False
        self.best_epoch, self.best_score = number, score
        # A guide must never be deep-copied; its state_dict may.
        self.best = copy.deepcopy({name: value.detach() for name, value in module.state_dict().items()})
        return True
