"""The distribution of R: which candidate a user takes."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution


class SoftmaxCategorical(dist.Categorical):
    """Categorical(softmax(logits)), normalised in one pass each way.

    The same as ``dist.Categorical(logits=logits)``, whose ``logits - logits.logsumexp(...)`` reads and writes the
    queries × candidates several times more; with all items of a domain as candidates that is most of a step.

    Parameters
    ----------
    logits
        ``(..., num_candidates)``, unnormalised.
    """

    def __init__(self, logits: Tensor) -> None:
        self._param = self.logits = logits.log_softmax(-1)
        self._num_events = logits.shape[-1]
        Distribution.__init__(self, logits.shape[:-1], validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> SoftmaxCategorical:
        """Return it broadcast to `batch_shape`."""
        if _instance is None and torch.Size(batch_shape) == self.batch_shape:
            return self
        return super().expand(batch_shape, _instance=self._get_checked_instance(SoftmaxCategorical, _instance))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability of each choice, ``(...)``."""
        if value.shape != self.batch_shape:
            return super().log_prob(value)
        return self.logits.gather(-1, value.long().unsqueeze(-1)).squeeze(-1)
