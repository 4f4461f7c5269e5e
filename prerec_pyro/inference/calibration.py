"""Calibrated zero-shot: S of a new domain, re-estimated from the domain's own log with all networks frozen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from prerec_pyro.data.batches import query_batches
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.models.graph import SPREAD, PreRecGraph

if TYPE_CHECKING:
    from prerec_pyro.inference.interventions import InterventionalScorer

NUM_CANDIDATES = 1024
FULL_SAMPLE = 600
GROWTH = 1.15


@dataclass(frozen=True, eq=False)
class Calibration:
    """S as known at each time: a step function of the time slot.

    Attributes
    ----------
    since
        ``(num_steps,)`` first time slot of each step, increasing.
    values
        ``(num_steps + 1, 4)`` S, in units of the graph's ``spread``: before all steps, and from each on.
    num_queries
        ``(num_steps + 1,)`` queries that each was estimated from.
    """

    since: Tensor
    values: Tensor
    num_queries: Tensor

    def at(self, times: Tensor) -> Tensor:
        """Return S at time slots, ``(len(times), 4)``."""
        step = torch.searchsorted(self.since.to(times.device), times, right=True)
        return self.values.to(times.device)[step]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a log says of S: the three effects of each choice, and of those that were not chosen.

    Attributes
    ----------
    effects
        ``(num_queries, 1 + NUM_CANDIDATES, 3)`` U·V, Z·W_z and 1[j ∈ H] of the target and of others drawn uniformly.
    weight
        ``(num_queries, 1 + NUM_CANDIDATES)`` log of how many items each stands for; -inf for draws of the target.
    times
        ``(num_queries,)`` time slots.
    events
        ``(num_queries,)`` the choices, as positions in the log.
    """

    effects: Tensor
    weight: Tensor
    times: Tensor
    events: Tensor

    def __getitem__(self, which: slice | Tensor) -> Evidence:
        return Evidence(self.effects[which], self.weight[which], self.times[which], self.events[which])

    def __len__(self) -> int:
        return len(self.times)


def calibrate(
    scorer: InterventionalScorer,
    encoded: EncodedDomain,
    users: np.ndarray,
    *,
    lengths: np.ndarray | None = None,
    seed: int = 0,
) -> Calibration:
    """Return the posterior mode of S given the log of some users, at each time given what came before it.

    S at a time slot is estimated from queries of earlier slots only, and again whenever these have grown by a
    seventh. A domain without timestamps has one slot: there S is one value, from the whole log of `users`, just as
    its popularity is.

    Parameters
    ----------
    scorer
        Of the domain, zero-shot; its networks are frozen.
    encoded
        The domain.
    users
        ``(n,)`` user rows whose log may be read. In an evaluation: none whose queries are measured.
    lengths
        ``(n,)`` how many of each user's first events may be read; None is all.
    seed
        Of the sample of users and of the draws.
    """
    graph = scorer.graph
    evidence = gather(scorer, encoded, sample_users(encoded, users, seed), seed)
    if lengths is not None:
        last = np.zeros(encoded.domain.num_users, np.int64)
        last[users] = encoded.domain.offsets[users] + lengths
        evidence = evidence[evidence.events < torch.from_numpy(last[encoded.domain.user_of_event])[evidence.events]]
    if encoded.popularity.is_static:
        starts = [int(encoded.slots.min())]
        ends = [len(evidence)]
    else:
        starts, ends = _steps(evidence.times.numpy())
    values, S = [torch.zeros(len(SPREAD), dtype=torch.float64)], torch.zeros(len(SPREAD), dtype=torch.float64)
    for end in ends:
        S = posterior_mode(graph, evidence[:end], start=S)
        values.append(S)
    return Calibration(torch.tensor(starts, dtype=torch.int64), torch.stack(values).float(), torch.tensor([0, *ends]))


def sample_users(encoded: EncodedDomain, users: np.ndarray, seed: int) -> np.ndarray:
    """Return users enough to tell four numbers at any time of the log, sorted.

    In the order of their first event, user number r is kept with probability n/r, where n users give about
    ``FULL_SAMPLE`` queries: early in the log all are, later ever fewer of the many.
    """
    offsets = encoded.domain.offsets
    users = users[np.diff(offsets)[users] > 1]
    users = users[np.argsort(encoded.slots[offsets[users]], kind="stable")]
    queries = (np.diff(offsets)[users] - 1).cumsum()
    rank = np.maximum(queries / FULL_SAMPLE, 1.0)
    kept = np.random.default_rng(seed).random(len(users)) < 1.0 / rank
    return np.sort(users[kept])


@torch.no_grad()
def gather(scorer: InterventionalScorer, encoded: EncodedDomain, users: np.ndarray, seed: int = 0) -> Evidence:
    """Return the evidence in the queries of `users`, sorted by time."""
    generator = torch.Generator().manual_seed(seed)
    share = math.log(max(encoded.num_items - 1, 1) / NUM_CANDIDATES)
    effects, weight, times, events = [], [], [], []
    for batch, _ in query_batches(encoded, users, max_scores=1 << 21):
        drawn = torch.randint(encoded.num_items, (batch.num_queries, NUM_CANDIDATES), generator=generator)
        candidates = torch.cat([batch.targets[:, None], drawn], dim=1)  # (num_queries, 1 + NUM_CANDIDATES)
        parts = [part.cpu().gather(1, candidates) for part in scorer.effects(batch)]
        effects.append(torch.stack(parts, dim=-1))
        stands_for = torch.full(candidates.shape, share).masked_fill(candidates == batch.targets[:, None], -torch.inf)
        stands_for[:, 0] = 0.0
        weight.append(stands_for)
        times.append(batch.times[batch.slot])
        events.append(batch.events)
    if not times:
        width = 1 + NUM_CANDIDATES
        return Evidence(torch.zeros(0, width, 3), torch.zeros(0, width), *torch.zeros(2, 0).long())
    time = torch.cat(times)
    order = time.argsort(stable=True)
    return Evidence(torch.cat(effects)[order], torch.cat(weight)[order], time[order], torch.cat(events)[order])


def posterior_mode(graph: PreRecGraph, evidence: Evidence, *, start: Tensor) -> Tensor:
    """Return argmax over S of log P(targets | S) + log P(S), ``(4,)`` float64.

    Parameters
    ----------
    graph
        The model, whose parameters stay as they are.
    evidence
        Queries with their effects.
    start
        ``(4,)`` where to start, the mode of a smaller log say.
    """
    if not len(evidence):
        return torch.zeros(len(SPREAD), dtype=torch.float64)
    S = start.clone().requires_grad_(True)
    match, popularity, repeats = evidence.effects.unbind(-1)  # each (num_queries, 1 + NUM_CANDIDATES)
    spread = graph.spread.cpu().double()
    w_h = graph.w_h.item() if graph.config.repeats else 0.0
    w_o = graph.w_o.item() if graph.config.wandering else -math.inf
    optimizer = torch.optim.LBFGS([S], max_iter=40, line_search_fn="strong_wolfe", tolerance_change=1e-5)

    def loss() -> Tensor:
        optimizer.zero_grad()
        text, popular, repeat, wander = (S * spread).float()
        repeat = (w_h + repeat) * graph.config.repeats
        background = popular.exp() * popularity + repeat * repeats + evidence.weight
        followed = (text.exp() * match + background).log_softmax(dim=1)[:, 0]
        wandered = background.log_softmax(dim=1)[:, 0]
        chosen = torch.logaddexp(
            followed + nn.functional.logsigmoid(-w_o - wander), wandered + nn.functional.logsigmoid(w_o + wander)
        )
        value = -chosen.double().sum() - graph.priors.S(torch.zeros_like(S)[None]).log_prob(S[None]).sum()
        value.backward()
        return value

    optimizer.step(loss)
    return S.detach()


def _steps(times: np.ndarray) -> tuple[list[int], list[int]]:
    """Return time slots at which the log before them has grown enough, and how many queries lie before each."""
    starts, ends = [], []
    for slot in np.unique(times) + 1:
        before = int(np.searchsorted(times, slot))
        if not ends or before >= GROWTH * ends[-1]:
            starts.append(int(slot))
            ends.append(before)
    return starts, ends
