"""Effect scales of one domain over time, as a scorer reads them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Calibration:
    """S as estimated at each time: a step function of the time slot.

    Attributes
    ----------
    since
        ``(num_steps,)`` first time slot of each step, increasing.
    values
        ``(num_steps + 1, num_effects)`` S in units of `spread`: before all steps, and from each on.
    num_queries
        ``(num_steps + 1,)`` queries that each was estimated from.
    spread
        ``(num_effects,)`` standard deviation of S between domains, in nats.
    """

    since: Tensor
    values: Tensor
    num_queries: Tensor
    spread: Tensor

    def at(self, times: Tensor) -> Tensor:
        """Return S in nats at time slots, ``(len(times), num_effects)``."""
        step = torch.searchsorted(self.since.to(times.device), times, right=True)
        return (self.values * self.spread).to(times.device)[step]
