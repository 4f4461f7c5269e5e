"""Calibration: S of a new domain, estimated from its own log with all networks frozen."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.inference.calibration.evidence import Evidence, gather
from prerec_pyro.inference.calibration.pooling import pooled_products
from prerec_pyro.inference.calibration.prediction import PredictedPrior, Prediction
from prerec_pyro.inference.calibration.stores import PredictedScales
from prerec_pyro.inference.interventions.effect_scales import Calibration
from prerec_pyro.inference.interventions.scorer import InterventionalScorer
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.likelihoods.repeat_mixture import REPEAT_MATCH_WEIGHT, repeat_log_odds

FULL_SAMPLE = 600
GROWTH = 1.5
MAX_ITERATIONS = 30
SMALLEST_GAIN = 1e-3
"""Nats; the search ends with a step that gains less."""
BLOCK = 64
"""Queries whose scores are computed at a time: they stay in the CPU cache."""


def calibrate(
    scorer: InterventionalScorer,
    encoded: EncodedDomain,
    users: np.ndarray,
    *,
    lengths: np.ndarray | None = None,
    seed: int = 0,
    only_last: bool = False,
    predicted: PredictedScales | None = None,
) -> Calibration:
    """Return the posterior mode of S given the log of some users, at each time given what came before it.

    S at a time slot is estimated from queries of earlier slots only, and estimated again whenever their number has
    grown by half. A domain without timestamps has one slot: there S, like popularity, is one value from the whole log
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
        Whether the last estimate is made alone, of the most queries; the others are not made.
    predicted
        S as the features of the store predict it at each time: the prior of S, and its value before any query; None:
        0, with the standard deviation between domains.

    Raises
    ------
    InputError
        If the graph has no S.
    """
    graph = scorer.graph
    if not isinstance(graph, ExtendedGraph):
        raise InputError(f"calibrate: the graph {type(graph).__name__} has no effect scales S to estimate")
    spread = graph.likelihood.spread.cpu()
    if predicted is None:
        predicted = PredictedScales(np.empty(0, np.int64), [Prediction(torch.zeros_like(spread), spread)])
    evidence = gather(scorer, encoded, sample_users(encoded, users, seed), seed)
    if evidence is None:
        return predicted.served(spread)
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
    values = [(predicted.steps[0].mean / spread).double()]
    for start, end in zip(starts, ends, strict=True):
        values.append(posterior_mode(graph, evidence[:end], start=values[-1], prior=predicted.at(start)))
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


def posterior_mode(
    graph: ExtendedGraph, evidence: Evidence, *, start: Tensor, prior: Prediction | None = None
) -> Tensor:
    """Return argmax over S of log P(targets | S) + log P(S), ``(num_effects,)`` float64.

    Parameters
    ----------
    graph
        The model, whose parameters stay as they are.
    evidence
        Queries with the parts of their scores.
    start
        ``(num_effects,)`` where to start, the mode of a smaller log say.
    prior
        Mean and standard deviation of S in nats; None: 0, and those between domains.
    """
    spread = graph.likelihood.spread.cpu().double()
    prior = Prediction(torch.zeros_like(spread), spread) if prior is None else prior
    prior_of_S = PredictedPrior.of(graph.priors.S, prior, spread)
    if not len(evidence):
        return prior_of_S.mean
    from scipy import optimize  # slow to import, and plain lists do not need it

    blocks = [evidence[begin : begin + BLOCK] for begin in range(0, len(evidence), BLOCK)]

    @torch.enable_grad()
    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        S = torch.tensor(at, dtype=torch.float64, requires_grad=True)
        value = -prior_of_S(torch.zeros_like(S)[None]).log_prob(S[None]).sum()
        (gradient,) = torch.autograd.grad(value, S)  # and none of the graph's parameters, which may be in training
        for block in blocks:
            part = -choice_log_probs(graph, block, (S * spread).float()).double().sum()
            gradient += torch.autograd.grad(part, S)[0]
            value = value.detach() + part.detach()
        return float(value), gradient.numpy()

    before, _ = loss(start.numpy())
    options = {"maxiter": MAX_ITERATIONS, "ftol": SMALLEST_GAIN / max(abs(before), 1.0)}
    found = optimize.minimize(loss, start.numpy(), jac=True, method="L-BFGS-B", options=options)
    return torch.from_numpy(found.x)


def choice_log_probs(graph: ExtendedGraph, evidence: Evidence, nats: Tensor) -> Tensor:
    """Return the log probability of each choice given S in nats, ``(num_effects,)``; ``(num_queries,)``."""
    text, popular, repeat, shift = nats[:4]
    w_r, w_o = graph.likelihood.rates(None)
    match = evidence.correction
    if evidence.products.shape[1] and graph.interests is not None:
        match = match + _pooled(graph, evidence, nats)
    match = text.exp() * torch.where(evidence.is_repeat[:, None], REPEAT_MATCH_WEIGHT * match, match)
    background = popular.exp() * evidence.popularity + evidence.weight
    matched = (match + background).log_softmax(dim=1)[:, 0]
    background_only = background.log_softmax(dim=1)[:, 0]
    chosen = torch.logaddexp(
        matched + nn.functional.logsigmoid(-w_o - shift), background_only + nn.functional.logsigmoid(w_o + shift)
    )
    odds = repeat_log_odds(evidence.counts, w_r + repeat)[:, 0]
    is_repeat = evidence.is_repeat
    chosen = torch.where(is_repeat, matched, chosen)
    return chosen + nn.functional.logsigmoid(torch.where(is_repeat, odds, -odds))


def _pooled(graph: ExtendedGraph, evidence: Evidence, nats: Tensor) -> Tensor:
    """Return ``length · log Σ_a w_a exp(β V_a·V_j) / β``, ``(num_queries, num_rivals + 1)``."""
    reading = graph.reading(nats[None])
    assert reading is not None  # the graph has interests
    fading, contrast = reading.fading.squeeze(), reading.contrast.squeeze()
    return evidence.length * pooled_products(fading, contrast, evidence.products, evidence.is_interest)


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
