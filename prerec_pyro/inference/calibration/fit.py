"""Calibrated zero-shot: S of a new domain, re-estimated from the domain's own log with all networks frozen."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from prerec_pyro.data.batching.batch import query_batches
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.inference.interventions.effect_scales import Calibration
from prerec_pyro.inference.interventions.scorer import InterventionalScorer
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.likelihoods.repeat_mixture import EFFECTS, REPEAT_MATCH_WEIGHT, repeat_log_odds

NUM_CANDIDATES = 1024
FULL_SAMPLE = 600
GROWTH = 1.15


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a log says of S: the effects of each choice, and of its rivals.

    Rivals of an item met before are the others of the history; of a new item, new ones, drawn uniformly.

    Attributes
    ----------
    effects
        ``(num_queries, 1 + NUM_CANDIDATES, 2)`` U·V and Z·W_z of the target and of its rivals.
    weight
        ``(num_queries, 1 + NUM_CANDIDATES)`` log of how many items each stands for; -inf for what is no rival.
    again
        ``(num_queries,)`` bool: the target was met before.
    counts
        ``(num_queries, 2)`` how often the user did so before, and not; see `repeat_counts`.
    times
        ``(num_queries,)`` time slots.
    events
        ``(num_queries,)`` the choices, as positions in the log.
    """

    effects: Tensor
    weight: Tensor
    again: Tensor
    counts: Tensor
    times: Tensor
    events: Tensor

    def __getitem__(self, which: slice | Tensor) -> Evidence:
        return Evidence(*(getattr(self, field.name)[which] for field in dataclasses.fields(self)))

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
    if not isinstance(graph, ExtendedGraph):
        raise InputError(f"calibrate: the graph {type(graph).__name__} has no effect scales S to estimate")
    spread = graph.likelihood.spread.cpu()
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
    values, S = (
        [torch.zeros(len(EFFECTS), dtype=torch.float64)],
        torch.zeros(len(EFFECTS), dtype=torch.float64),
    )
    for end in ends:
        S = posterior_mode(graph, evidence[:end], start=S)
        values.append(S)
    return Calibration(
        torch.tensor(starts, dtype=torch.int64), torch.stack(values).float(), torch.tensor([0, *ends]), spread
    )


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
    width, num_items = 1 + NUM_CANDIDATES, encoded.num_items
    share = math.log(max(num_items - 1, 1) / NUM_CANDIDATES)
    parts = []
    for batch, _ in query_batches(encoded, users, max_scores=1 << 21):
        assert batch.targets is not None  # these are queries of the log
        drawn = torch.randint(num_items, (batch.num_queries, NUM_CANDIDATES), generator=generator)
        candidates = torch.cat([batch.targets[:, None], drawn], dim=1)  # (num_queries, width)
        is_met = torch.zeros(batch.num_queries, num_items, dtype=torch.bool)
        is_met[tuple(batch.repeats)] = True
        again = is_met.gather(1, batch.targets[:, None])[:, 0]
        rival = ~is_met.gather(1, candidates)
        weight = torch.full(candidates.shape, share)
        if again.any():
            own, item = is_met[again].nonzero(as_tuple=True)  # of the queries that are met again
            count = torch.bincount(own)
            column = 1 + torch.arange(len(own)) - (count.cumsum(0) - count)[own]
            row = again.nonzero()[:, 0][own]
            rival[again], weight[again] = False, 0.0
            candidates[row, column], rival[row, column] = item, True
        weight[~rival | (candidates == batch.targets[:, None])] = -torch.inf
        weight[:, 0] = 0.0
        effects = torch.stack([part.cpu().gather(1, candidates) for part in scorer.effects(batch)], dim=-1)
        parts.append((effects, weight, again, batch.repeat_counts, batch.times[batch.slot], batch.events))
    if not parts:
        none = torch.zeros(0, width)
        return Evidence(torch.zeros(0, width, 2), none, none[:, 0].bool(), none[:, :2], *none[:, :2].long().unbind(1))
    evidence = Evidence(*map(torch.cat, zip(*parts, strict=True)))
    return evidence[evidence.times.argsort(stable=True)]


def posterior_mode(graph: ExtendedGraph, evidence: Evidence, *, start: Tensor) -> Tensor:
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
        return torch.zeros(len(EFFECTS), dtype=torch.float64)
    S = start.clone().requires_grad_(True)
    match, popularity = evidence.effects.unbind(-1)  # each (num_queries, 1 + NUM_CANDIDATES)
    again = evidence.again
    match = torch.where(again[:, None], REPEAT_MATCH_WEIGHT * match, match)
    spread = graph.likelihood.spread.cpu().double()
    w_r, w_o = graph.likelihood.rates(None)
    optimizer = torch.optim.LBFGS([S], max_iter=40, line_search_fn="strong_wolfe", tolerance_change=1e-5)

    def loss() -> Tensor:
        optimizer.zero_grad()
        text, popular, repeat, wander = (S * spread).float()
        background = popular.exp() * popularity + evidence.weight
        followed = (text.exp() * match + background).log_softmax(dim=1)[:, 0]
        wandered = background.log_softmax(dim=1)[:, 0]
        chosen = torch.logaddexp(
            followed + nn.functional.logsigmoid(-w_o - wander), wandered + nn.functional.logsigmoid(w_o + wander)
        )
        odds = repeat_log_odds(evidence.counts, w_r + repeat)[:, 0]
        chosen = torch.where(again, followed, chosen) + nn.functional.logsigmoid(torch.where(again, odds, -odds))
        value = -chosen.double().sum() - graph.priors.S(torch.zeros_like(S)[None]).log_prob(S[None]).sum()
        value.backward()
        return value

    optimizer.step(loss)
    return S.detach()


def _steps(times: np.ndarray) -> tuple[list[int], list[int]]:
    """Return time slots at which the log before them has grown enough, and how many queries lie before each."""
    starts: list[int] = []
    ends: list[int] = []
    for slot in np.unique(times) + 1:
        before = int(np.searchsorted(times, slot))
        if not ends or before >= GROWTH * ends[-1]:
            starts.append(int(slot))
            ends.append(before)
    return starts, ends
