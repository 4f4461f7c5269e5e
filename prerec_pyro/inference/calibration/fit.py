"""Calibration: S of a new domain, estimated from its own log with all networks frozen."""

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
    """Evidence about S in a log: the effects of each choice and of its rivals.

    Rivals of a repeated item are the other items of the history; rivals of a new item are new items, drawn uniformly.

    Attributes
    ----------
    effects
        ``(num_queries, 1 + NUM_CANDIDATES, 2)`` U·V and Z·W_z of the target and of its rivals.
    weight
        ``(num_queries, 1 + NUM_CANDIDATES)`` log of the number of items that each represents; -inf for none.
    is_repeat
        ``(num_queries,)`` bool: the target is an item of the history.
    counts
        ``(num_queries, 2)`` repeats and other choices of the user so far; see `repeat_counts`.
    times
        ``(num_queries,)`` time slots.
    events
        ``(num_queries,)`` the choices, as positions in the log.
    """

    effects: Tensor
    weight: Tensor
    is_repeat: Tensor
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
    only_last: bool = False,
) -> Calibration:
    """Return the posterior mode of S given the log of some users, at each time given what came before it.

    S at a time slot is estimated from queries of earlier slots only, and estimated again whenever their number has
    grown by 15 %. A domain without timestamps has one slot: there S, like popularity, is one value from the whole log
    of `users`.

    Parameters
    ----------
    scorer
        Zero-shot scorer of the domain; its networks are frozen.
    encoded
        The domain.
    users
        ``(n,)`` user rows whose log may be read. In an evaluation: none whose queries are measured.
    lengths
        ``(n,)`` how many of each user's first events may be read; None is all.
    seed
        Seed of the sample of users and of the draws.
    only_last
        Whether the last estimate is made alone, of the most queries: an eighth of the work.

    Raises
    ------
    InputError
        If the graph has no S.
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
    if only_last:
        starts, ends = starts[-1:], ends[-1:]
    S = torch.zeros(len(EFFECTS), dtype=torch.float64)
    values = [S]
    for end in ends:
        S = posterior_mode(graph, evidence[:end], start=S)
        values.append(S)
    since = torch.tensor(starts, dtype=torch.int64)
    return Calibration(since, torch.stack(values).float(), torch.tensor([0, *ends]), spread)


def sample_users(encoded: EncodedDomain, users: np.ndarray, seed: int) -> np.ndarray:
    """Return a sample of users, sorted, that is large enough for four numbers at any time of the log.

    In the order of their first event, user number r is kept with probability n/r, where n users give about
    ``FULL_SAMPLE`` queries: all users early in the log, a falling share of the many later ones.
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
        is_seen = torch.zeros(batch.num_queries, num_items, dtype=torch.bool)
        is_seen[tuple(batch.repeats)] = True
        is_repeat = is_seen.gather(1, batch.targets[:, None])[:, 0]
        rival = ~is_seen.gather(1, candidates)
        weight = torch.full(candidates.shape, share)
        if is_repeat.any():
            own, item = is_seen[is_repeat].nonzero(as_tuple=True)  # items of the histories of repeats
            count = torch.bincount(own)
            column = 1 + torch.arange(len(own)) - (count.cumsum(0) - count)[own]
            row = is_repeat.nonzero()[:, 0][own]
            rival[is_repeat], weight[is_repeat] = False, 0.0
            candidates[row, column], rival[row, column] = item, True
        weight[~rival | (candidates == batch.targets[:, None])] = -torch.inf
        weight[:, 0] = 0.0
        effects = torch.stack([part.cpu().gather(1, candidates) for part in scorer.effects(batch)], dim=-1)
        parts.append((effects, weight, is_repeat, batch.repeat_counts, batch.times[batch.slot], batch.events))
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
    is_repeat = evidence.is_repeat
    match = torch.where(is_repeat[:, None], REPEAT_MATCH_WEIGHT * match, match)
    spread = graph.likelihood.spread.cpu().double()
    w_r, w_o = graph.likelihood.rates(None)
    optimizer = torch.optim.LBFGS([S], max_iter=40, line_search_fn="strong_wolfe", tolerance_change=1e-5)

    def loss() -> Tensor:
        optimizer.zero_grad()
        text, popular, repeat, shift = (S * spread).float()
        background = popular.exp() * popularity + evidence.weight
        matched = (text.exp() * match + background).log_softmax(dim=1)[:, 0]
        background_only = background.log_softmax(dim=1)[:, 0]
        chosen = torch.logaddexp(
            matched + nn.functional.logsigmoid(-w_o - shift), background_only + nn.functional.logsigmoid(w_o + shift)
        )
        odds = repeat_log_odds(evidence.counts, w_r + repeat)[:, 0]
        chosen = torch.where(is_repeat, matched, chosen) + nn.functional.logsigmoid(torch.where(is_repeat, odds, -odds))
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
