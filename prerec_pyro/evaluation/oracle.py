"""The recommender that knows the true parameters of a simulated domain: an upper bound for all others."""

from __future__ import annotations

import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.simulation.ground_truth import GroundTruth


class Oracle:
    """Recommender that ranks by the logits from which the events were drawn.

    Parameters
    ----------
    truth
        Ground truth of the domain, from `prerec_pyro.data.simulation.ground_truth`.
    popularity
        Whether the logits include the popularity of the items beside the match of user and item.

    Examples
    --------
    >>> import numpy as np
    >>> from prerec_pyro import simulate
    >>> from prerec_pyro.data.encoded import encode_domain
    >>> from prerec_pyro.evaluation import evaluate
    >>> (shop,) = simulate(1, num_items=30, num_users=40, num_days=20)
    >>> encoded = encode_domain(shop.domain.with_embeddings(shop.truth.item_mean))
    >>> users = np.arange(encoded.domain.num_users)
    >>> informed = evaluate(Oracle(shop.truth), encoded, users, k_percent=10)
    >>> blind = evaluate(Oracle(shop.truth, popularity=False), encoded, users, k_percent=10)
    >>> informed.ranking.compute()["r_ndcg"] > blind.ranking.compute()["r_ndcg"]
    True
    """

    name = "oracle"

    def __init__(self, truth: GroundTruth, *, popularity: bool = True) -> None:
        self.truth = truth
        self.popularity = popularity

    def scorer(self, encoded: EncodedDomain) -> Oracle:
        """Return itself: the truth belongs to one domain already."""
        return self

    def __call__(self, batch: Batch) -> Tensor:
        """Return the true logits of events of the log, ``(num_queries, num_items)``.

        Raises
        ------
        ValueError
            If the batch does not come from the log.
        """
        if batch.events is None:
            raise ValueError("the oracle scores events of the log only; this batch holds other histories")
        logits = self.truth.oracle_logits(batch.events.cpu().numpy(), popularity=self.popularity)
        return torch.from_numpy(logits)
