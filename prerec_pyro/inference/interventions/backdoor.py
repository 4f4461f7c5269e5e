"""Back-door adjustment in full: P(R | do(…)) averaged over draws of D, S or other latents."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import reduce

import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.errors import InputError
from prerec_pyro.inference.interventions.scorer import InterventionalScorer


class AveragedScorer:
    """log E[P(R | do(…), θ)] over draws of latents θ, such as D, S or the item offsets.

    The back-door adjustment averages the *choice probabilities* that each D gives, with U and V recomputed at it; the
    paper (eq. 5) computes them once, at D = 0. All queries share the draws, so that neither two queries nor two
    interventions differ by chance.

    Parameters
    ----------
    scorer
        Scorer of the domain, under the intervention.
    draws
        Site → ``(num_draws, …)``, each draw as `InterventionalScorer.given` takes it; draw i of one site belongs to
        draw i of the others. From `prior_draws`, or ``Posterior.thinned``.

    Raises
    ------
    InputError
        If there is no draw, or sites differ in their number.
    """

    def __init__(self, scorer: InterventionalScorer, draws: Mapping[str, Tensor]) -> None:
        lengths = {site: len(value) for site, value in draws.items()}
        if not lengths or len(set(lengths.values())) > 1 or 0 in lengths.values():
            raise InputError(
                f"draws: expected one or more of each site, the same number of all; got {lengths or 'none'}"
            )
        self.scorer = scorer
        self.draws = dict(draws)
        self.num_draws = next(iter(lengths.values()))

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """Return ``(num_queries, num_items)`` log probabilities."""
        log_p = (scores.log_softmax(dim=-1) for scores in self.each(batch))
        return reduce(torch.logaddexp, log_p) - math.log(self.num_draws)

    def each(self, batch: Batch) -> Iterator[Tensor]:
        """Yield the scores at each draw, ``(num_queries, num_items)``; one at a time bounds memory."""
        for number in range(self.num_draws):
            yield self.at(number)(batch)

    def at(self, number: int) -> InterventionalScorer:
        """Return the scorer at one draw."""
        return self.scorer.given({site: value[number] for site, value in self.draws.items()})

    @torch.no_grad()
    def item_vectors_at_end(self) -> Tensor:
        """Return E[V], ``(num_items, B)``, in the slot after the log's last day."""
        vectors = (self.at(number).item_vectors_at_end() for number in range(self.num_draws))
        return reduce(torch.add, vectors) / self.num_draws
