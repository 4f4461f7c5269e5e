"""The recommender that knows the truth of a simulated domain: what no other can beat on average."""

from __future__ import annotations

import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.simulation.ground_truth import GroundTruth


class Oracle:
    """Ranks by the logits that the events were drawn with.

    Parameters
    ----------
    truth
        Of the domain, from `prerec_pyro.data.simulation.ground_truth`.
    popularity
        Whether it knows the items' popularity as well as the tastes.
    """

    name = "oracle"

    def __init__(self, truth: GroundTruth, *, popularity: bool = True) -> None:
        self.truth = truth
        self.popularity = popularity

    def scorer(self, encoded: EncodedDomain) -> Oracle:
        """Return itself."""
        return self

    def __call__(self, batch: Batch) -> Tensor:
        """Return ``(num_queries, num_items)`` true logits of events of the log."""
        logits = self.truth.oracle_logits(batch.events.cpu().numpy(), popularity=self.popularity)
        return torch.from_numpy(logits)
