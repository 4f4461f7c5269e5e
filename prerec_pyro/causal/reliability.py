"""Is the confidence in a list honest? What was expected against what happened, in bins."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from prerec_pyro.causal.measurement.measurement import Measurement
from prerec_pyro.causal.protocol import CausalModel
from prerec_pyro.causal.uncertainty import domain_draws, membership
from prerec_pyro.data.batching.batch import Batch, query_batches
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.bootstrap import paired_bootstrap
from prerec_pyro.inference.interventions.backdoor import AveragedScorer
from prerec_pyro.inference.interventions.scorer import InterventionalScorer
from prerec_pyro.ranking.lists import top_k

CURVES = {
    "stability": ("confidence", "stays"),
    "hits": ("expected_hit", "hit"),
    "confidence": ("confidence", "hit"),
}
"""Curve → what is expected, what happens. The first two are honest where they lie on the diagonal."""


def reliability(
    model: CausalModel,
    domain: Domain | EncodedDomain,
    *,
    draws: Mapping[str, Tensor] | None = None,
    bins: int = 10,
    measurement: Measurement | None = None,
) -> pd.DataFrame:
    """Return how honest the confidence in lists is, a row a curve and bin of queries, as many queries in each.

    The draws are dealt into two halves. From the first come, for the list that a user is shown, ``confidence``, the
    share of it that is expected to stay, and ``expected_hit``, the probability that the item that comes next is on it.
    From the second half comes the share that stays in draws that confidence has not seen; from the log, whether the
    target was on the list.

    Parameters
    ----------
    model, domain
        Which, and where.
    draws
        Site → ``(num_draws, …)``, four or more; None is `domain_draws`.
    bins
        Of queries, ordered by what is expected.
    measurement
        On whose queries; its ``list_size`` is k. None is the test users.

    Returns
    -------
    pandas.DataFrame
        ``curve``: ``"stability"``, confidence against what stays; ``"hits"``, expected hits against hits;
        ``"confidence"``, confidence against hits, which need not lie on the diagonal but should rise. ``bin``,
        ``num_queries``, ``expected``, ``observed``, and ``low``, ``high``: its 95 % interval over users.

    Raises
    ------
    InputError
        If there are fewer than four draws, no bin, or no query.
    """
    encoded, measurement = model.encoded(domain), measurement or Measurement()
    draws = domain_draws(model, encoded, seed=measurement.seed) if draws is None else draws
    scorer = model.scorer(encoded)
    known = AveragedScorer(scorer, draws)
    if known.num_draws < 4:
        raise InputError(f"reliability: {known.num_draws} draws, expected 4 or more, to hold half of them out")
    if bins < 1:
        raise InputError(f"bins is {bins}, expected 1 or more")
    found = _per_query(scorer, known, encoded, measurement)
    tables = [_curve(found, name, bins, measurement) for name in CURVES]
    return pd.concat(tables, ignore_index=True)


@torch.no_grad()
def _per_query(
    scorer: InterventionalScorer, known: AveragedScorer, encoded: EncodedDomain, measurement: Measurement
) -> pd.DataFrame:
    size = min(measurement.list_size, encoded.num_items)
    halves = [[known.at(number) for number in range(first, known.num_draws, 2)] for first in (0, 1)]
    parts = []
    for batch, events in query_batches(encoded, measurement.whose(encoded), max_scores=1 << 22):
        _, shown = top_k(scorer(batch).cpu(), size)  # (num_queries, k)
        likely, members = _answers(halves[0], batch, size)
        _, others = _answers(halves[1], batch, size)
        parts.append(
            pd.DataFrame(
                {
                    "user": encoded.domain.user_of_event[events],
                    "confidence": members.gather(1, shown).mean(1).numpy(),
                    "stays": others.gather(1, shown).mean(1).numpy(),
                    "expected_hit": likely.gather(1, shown).sum(1).numpy(),
                    "hit": (shown == batch.targets[:, None]).any(1).double().numpy(),
                }
            )
        )
        if measurement.progress is not None:
            measurement.progress(batch.num_queries)
    if not parts:
        raise InputError("reliability: there is no query; choose another split")
    return pd.concat(parts, ignore_index=True)


def _answers(scorers: list[Callable[[Batch], Tensor]], batch: Batch, size: int) -> tuple[Tensor, Tensor]:
    """Return the mean choice probabilities and the membership in the top k, ``(num_queries, num_items)``."""
    total: Tensor | None = None

    def each():
        nonlocal total
        for scorer in scorers:
            scores = scorer(batch).cpu()
            p = scores.softmax(1)
            total = p if total is None else total + p
            yield scores

    members = membership(each(), size)
    return total / len(scorers), members


def _curve(found: pd.DataFrame, name: str, bins: int, measurement: Measurement) -> pd.DataFrame:
    expected, observed = CURVES[name]
    order = np.argsort(found[expected].to_numpy(), kind="stable")
    rows = []
    for number, part in enumerate(np.array_split(order, min(bins, len(order)))):
        here = found.iloc[part]
        (one,) = paired_bootstrap(
            here[[observed]].to_numpy(), here["user"].to_numpy(), draws=measurement.draws, seed=measurement.seed
        )
        rows.append(
            {
                "curve": name,
                "bin": number + 1,
                "num_queries": len(part),
                "expected": here[expected].mean(),
                "observed": one.difference,
                "low": one.low,
                "high": one.high,
            }
        )
    return pd.DataFrame(rows)
