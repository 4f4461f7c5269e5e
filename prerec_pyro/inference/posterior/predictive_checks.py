"""Posterior predictive checks on users whose log the posterior was not given: ranks and popularity of their choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.inference.calibration.prediction import PredictedPrior
from prerec_pyro.inference.posterior.fit import program_of
from prerec_pyro.inference.posterior.program import DOMAIN_NODES, DomainProgram, Values
from prerec_pyro.inference.posterior.result import Posterior
from prerec_pyro.inference.posterior.subsample import sample_log
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.registry import Graph

LIST_LENGTH = 10


@dataclass(frozen=True, eq=False)
class PredictiveChecks:
    """Choices of held-out users compared with the posterior predictive distribution.

    Popularity is the number of interactions in the window before the query.

    Attributes
    ----------
    level
        ``(num_queries,)`` probability that the predictive distribution gives to items more likely than the chosen one,
        plus a random part of the chosen item's own probability. It is uniform if the distribution is right.
    rank
        ``(num_queries,)`` rank of the chosen item, from 1.
    chosen_popularity
        ``(num_queries,)`` popularity of the chosen item.
    drawn_popularity
        ``(num_queries,)`` popularity of an item drawn from the predictive distribution.
    listed_popularity
        ``(num_queries, LIST_LENGTH)`` popularity of the most likely items.
    num_users
        Number of users with a query.
    num_draws
        Number of posterior draws that P(R) is averaged over.

    Examples
    --------
    >>> import numpy as np
    >>> level, counts = np.linspace(0.005, 0.995, 100), np.ones(100)
    >>> checks = PredictiveChecks(level, counts, counts, counts, counts[:, None], num_users=50, num_draws=20)
    >>> len(checks)
    100
    >>> bool(abs(checks.miscalibration()) < 0.02)
    True
    """

    level: np.ndarray
    rank: np.ndarray
    chosen_popularity: np.ndarray
    drawn_popularity: np.ndarray
    listed_popularity: np.ndarray
    num_users: int
    num_draws: int

    def __len__(self) -> int:
        return len(self.level)

    def calibration(self, num_points: int = 101) -> tuple[np.ndarray, np.ndarray]:
        """Return claimed and observed shares, ``(num_points,)`` each.

        Sets of the most likely items that hold the claimed probability contain the choice in the observed share of the
        queries.
        """
        claimed = np.linspace(0, 1, num_points)
        return claimed, np.searchsorted(np.sort(self.level), claimed, side="right") / max(len(self), 1)

    def miscalibration(self) -> float:
        """Return the observed share minus the claimed one where they differ most; negative means overconfident."""
        claimed, observed = self.calibration()
        return float((observed - claimed)[np.abs(observed - claimed).argmax()])


class _BatchChecks(NamedTuple):
    """The columns of `PredictiveChecks` for one batch."""

    level: Tensor
    rank: Tensor
    chosen: Tensor
    drawn: Tensor
    listed: Tensor


@torch.no_grad()
def held_out_checks(
    graph: Graph,
    sources: TrainedDomains,
    encoded: EncodedDomain,
    posterior: Posterior,
    users: np.ndarray,
    *,
    queries: int = 1000,
    num_draws: int = 20,
    seed: int = 0,
    prior_S: PredictedPrior | None = None,
) -> PredictiveChecks:
    """Return the checks on queries of some users.

    Parameters
    ----------
    graph, sources, encoded
        Model and domain, as in `infer_posterior`.
    posterior
        The posterior of the domain.
    users
        ``(n,)`` rows of users whose log the posterior was not given.
    queries
        Number of queries, drawn at random.
    num_draws
        Number of posterior draws that P(R) is averaged over.
    seed
        Seed of queries, ties and drawn items.
    prior_S
        As in `infer_posterior`: S stands at its mean where the posterior has no draws of it.

    Raises
    ------
    InputError
        If no user has two events.
    """
    sample = sample_log(encoded, users, max_log=None, queries=queries, seed=seed)
    program = program_of(graph, sources, encoded, tuple(posterior.draws), torch.float32, prior_S)
    latents = _latents(posterior, num_draws, program.device)
    generator = torch.Generator().manual_seed(seed)
    parts, events = [], []
    for batch in sample.batches(sample.evaluated):
        p = _mean_probabilities(program, program.ready(batch.to(program.device)), latents)
        targets, counts, own_events = _observed(batch)
        parts.append(_check_batch(p, targets, counts[batch.slot], generator))
        events.append(own_events)
    columns = _BatchChecks(*(torch.cat(column) for column in zip(*parts, strict=True)))
    return PredictiveChecks(
        level=columns.level.numpy(),
        rank=columns.rank.numpy(),
        chosen_popularity=columns.chosen.numpy(),
        drawn_popularity=columns.drawn.numpy(),
        listed_popularity=columns.listed.numpy(),
        num_users=len(np.unique(encoded.domain.user_of_event[torch.cat(events).numpy()])),
        num_draws=len(latents),
    )


def _latents(posterior: Posterior, num_draws: int, device: torch.device) -> list[dict[str, Tensor]]:
    """Return posterior draws as `DomainProgram.choice` takes them; without latents a single empty draw."""
    draws = posterior.thinned(num_draws)
    count = len(next(iter(draws.values()))) if draws else 1
    return [
        {site: (v[row : row + 1] if site in DOMAIN_NODES else v[row]).to(device) for site, v in draws.items()}
        for row in range(count)
    ]


def _mean_probabilities(program: DomainProgram, batch: Batch, latents: Sequence[Values]) -> Tensor:
    """Return P(R) averaged over draws of the latents, ``(num_queries, num_items)`` float64 on the CPU."""
    first, *others = latents
    total = program.choice(first, batch).probs
    for values in others:
        total = total + program.choice(values, batch).probs
    return total.cpu().double() / len(latents)


def _observed(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return targets, popularity counts and events of a batch against the full catalogue.

    Raises
    ------
    ValueError
        If the batch has no targets, or not all items for candidates.
    """
    if batch.targets is None or batch.counts is None or batch.events is None:
        raise ValueError("expected a batch of the log against the full catalogue")
    return batch.targets, batch.counts, batch.events


def _check_batch(p: Tensor, targets: Tensor, counts: Tensor, generator: torch.Generator) -> _BatchChecks:
    """Return level, rank, and popularity of the chosen, a drawn and the listed items.

    Parameters
    ----------
    p, counts
        Probability and popularity of each item, ``(num_queries, num_items)``.
    targets
        Chosen items, ``(num_queries,)``.
    generator
        Source of ties and drawn items.
    """
    p = p / p.sum(dim=1, keepdim=True)
    own = p.gather(1, targets[:, None])  # (num_queries, 1)
    above, equal = p > own, p == own
    part = torch.rand(len(p), generator=generator, dtype=p.dtype)
    level = (p * above).sum(1) + part * (p * equal).sum(1)
    drawn = torch.multinomial(p, 1, generator=generator)
    listed = p.topk(min(LIST_LENGTH, p.shape[1]), dim=1).indices
    return _BatchChecks(
        level,
        above.sum(1) + 1,
        chosen=counts.gather(1, targets[:, None])[:, 0],
        drawn=counts.gather(1, drawn)[:, 0],
        listed=counts.gather(1, listed),
    )
