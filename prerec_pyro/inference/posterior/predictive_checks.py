"""Does the posterior predict people it has not seen: where their choices stand, and how popular they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.inference.posterior.fit import program_of
from prerec_pyro.inference.posterior.program import OF_DOMAIN
from prerec_pyro.inference.posterior.result import Posterior
from prerec_pyro.inference.posterior.subsample import sample_log
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.registry import Graph

LISTED = 10


@dataclass(frozen=True, eq=False)
class PredictiveChecks:
    """Choices of users whose log the posterior was not given, against what it predicts for them.

    Attributes
    ----------
    level
        ``(num_queries,)`` probability that the posterior predictive distribution gives to items more likely than the
        chosen one, and a random part of its own: uniform if the distribution is right, whatever it is.
    rank
        ``(num_queries,)`` of the chosen item, from 1.
    chosen, drawn, listed
        Popularity (interactions in the window before) of what was chosen, ``(num_queries,)``, of what the predictive
        distribution draws, ``(num_queries,)``, and of its ``LISTED`` most likely items, ``(num_queries, LISTED)``.
    num_users, num_draws
        Users that the queries are of, and posterior draws that were averaged over.
    """

    level: np.ndarray
    rank: np.ndarray
    chosen: np.ndarray
    drawn: np.ndarray
    listed: np.ndarray
    num_users: int
    num_draws: int

    def __len__(self) -> int:
        return len(self.level)

    def calibration(self, num_points: int = 101) -> tuple[np.ndarray, np.ndarray]:
        """Return claimed and found shares: sets of items that hold so much probability held the choice so often."""
        claimed = np.linspace(0, 1, num_points)
        return claimed, np.searchsorted(np.sort(self.level), claimed, side="right") / max(len(self), 1)

    def miscalibration(self) -> float:
        """Return the found share minus the claimed one where they differ most; negative is too sure."""
        claimed, found = self.calibration()
        return float((found - claimed)[np.abs(found - claimed).argmax()])


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
) -> PredictiveChecks:
    """Return the checks on queries of `users`.

    Parameters
    ----------
    graph, sources, encoded
        As in `infer_posterior`.
    posterior
        From it.
    users
        ``(n,)`` user rows: none whose log it was given.
    queries, num_draws
        Queries, drawn at random, and posterior draws to average P(R) over.
    seed
        Of queries, ties and drawn items.

    Raises
    ------
    InputError
        If no user has two events.
    """
    sample = sample_log(encoded, users, max_log=None, queries=queries, seed=seed)
    program = program_of(graph, sources, encoded, tuple(posterior.draws), torch.float32)
    draws = posterior.thinned(num_draws)
    count = len(next(iter(draws.values()))) if draws else 1
    device = program.f_e.linear.weight.device
    latents = [
        {s: (v[row : row + 1] if s in OF_DOMAIN else v[row]).to(device) for s, v in draws.items()}
        for row in range(count)
    ]
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for batch in sample.batches(sample.evaluated):
        ready = program.ready(batch.to(device))
        p = sum(program.choice(values, ready).probs for values in latents).cpu().double() / count
        parts.append(_of_batch(p, batch.targets, batch.counts[batch.slot], generator))
    columns = [np.concatenate([part[i].numpy() for part in parts]) for i in range(5)]
    events = np.concatenate([batch.events.numpy() for batch in sample.batches(sample.evaluated)])
    num_users = len(np.unique(encoded.domain.user_of_event[events]))
    return PredictiveChecks(*columns, num_users=num_users, num_draws=count)


def _of_batch(p: Tensor, targets: Tensor, counts: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Return level, rank and popularity of the chosen, a drawn and the listed items.

    Parameters
    ----------
    p, counts
        ``(num_queries, num_items)``.
    targets
        ``(num_queries,)``.
    """
    p = p / p.sum(dim=1, keepdim=True)
    own = p.gather(1, targets[:, None])  # (num_queries, 1)
    above, equal = p > own, p == own
    lot = torch.rand(len(p), generator=generator, dtype=p.dtype)
    level = (p * above).sum(1) + lot * (p * equal).sum(1)
    drawn = torch.multinomial(p, 1, generator=generator)
    listed = p.topk(min(LISTED, p.shape[1]), dim=1).indices
    popularity = (counts.gather(1, rows) for rows in (targets[:, None], drawn, listed))
    chosen, sampled, top = popularity
    return level, above.sum(1) + 1, chosen[:, 0], sampled[:, 0], top
