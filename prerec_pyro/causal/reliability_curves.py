"""Reliability of uncertain lists: expected against observed, in bins of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from prerec_pyro.causal.measurement.measurement import Measurement
from prerec_pyro.causal.protocol import CausalModel
from prerec_pyro.causal.uncertainty import Membership, domain_draws
from prerec_pyro.data.batching.batch import Batch, query_batches
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.bootstrap import paired_bootstrap
from prerec_pyro.evaluation.protocol import target_items
from prerec_pyro.inference.interventions.backdoor import AveragedScorer
from prerec_pyro.inference.interventions.scorer import InterventionalScorer
from prerec_pyro.ranking.lists import Scorer, top_k

CURVES = {
    "stability": ("confidence", "stays"),
    "hits": ("expected_hit", "hit"),
    "confidence": ("confidence", "hit"),
}
"""Curve → expected column, observed column. The first two are reliable where they lie on the diagonal."""


def reliability(
    model: CausalModel,
    domain: Domain | EncodedDomain,
    *,
    draws: Mapping[str, Tensor] | None = None,
    bins: int = 10,
    measurement: Measurement | None = None,
) -> pd.DataFrame:
    """Return how reliable the confidence in lists is: one row per curve and bin of queries, bins of equal size.

    The draws are split into two halves. The first half gives, for the shown list, ``confidence``, the share of the list
    that is expected to stay, and ``expected_hit``, the probability that the next item is on it. The second half gives
    the share that does stay in draws that confidence has not used. The log says whether the target was on the list.

    Parameters
    ----------
    model
        A trained `PreRec` or `CalibratedPreRec`.
    domain
        Domain to measure on.
    draws
        Site → ``(num_draws, …)``, four draws or more; None takes `domain_draws`.
    bins
        Number of bins; queries are ordered by the expected value.
    measurement
        Queries and settings; its ``list_size`` is k. None takes the test users.

    Returns
    -------
    pandas.DataFrame
        ``curve``: ``"stability"``, confidence against the share that stays; ``"hits"``, expected hits against hits;
        ``"confidence"``, confidence against hits, which should rise but need not lie on the diagonal. ``bin``,
        ``num_queries``, ``expected``, ``observed``, and ``low``, ``high``, its 95 % interval over users.

    Raises
    ------
    InputError
        If there are fewer than four draws, no bin, or no query.

    Examples
    --------
    >>> from prerec_pyro import PreRec, TrainConfig, simulate
    >>> from prerec_pyro.causal import Measurement
    >>> shops = simulate(2, num_items=30, num_users=40, num_days=20)
    >>> source, shop = (one.domain.with_embeddings(one.truth.item_mean) for one in shops)
    >>> model = PreRec(training=TrainConfig(epochs=1), device="cpu").fit([source])
    >>> draws = domain_draws(model, shop, num_draws=4)
    >>> table = reliability(model, shop, draws=draws, bins=2, measurement=Measurement(list_size=5, draws=50))
    >>> table[["curve", "bin"]].value_counts().max(), table["observed"].between(0, 1).all()
    (np.int64(1), np.True_)
    """
    encoded, measurement = model.encoded(domain), measurement or Measurement()
    draws = domain_draws(model, encoded, seed=measurement.seed) if draws is None else draws
    scorer = model.scorer(encoded)
    averaged = AveragedScorer(scorer, draws)
    if averaged.num_draws < 4:
        raise InputError(f"reliability: {averaged.num_draws} draws, expected 4 or more, to hold half of them out")
    if bins < 1:
        raise InputError(f"bins is {bins}, expected 1 or more")
    found = _per_query(scorer, averaged, encoded, measurement)
    return pd.concat([_curve(found, name, bins, measurement) for name in CURVES], ignore_index=True)


@torch.no_grad()
def _per_query(
    scorer: InterventionalScorer, averaged: AveragedScorer, encoded: EncodedDomain, measurement: Measurement
) -> pd.DataFrame:
    """Return ``user, confidence, stays, expected_hit, hit`` of each query."""
    size = min(measurement.list_size, encoded.num_items)
    first, second = ([averaged.at(number) for number in range(half, averaged.num_draws, 2)] for half in (0, 1))
    parts = []
    for batch, events in query_batches(encoded, measurement.user_rows(encoded), max_scores=1 << 22):
        _, shown = top_k(scorer(batch).cpu(), size)  # (num_queries, k)
        choice, member = _over_draws(first, batch, size)
        _, held_out = _over_draws(second, batch, size)
        targets = target_items(encoded, events)
        parts.append(
            pd.DataFrame(
                {
                    "user": encoded.domain.user_of_event[events],
                    "confidence": member.gather(1, shown).mean(1).numpy(),
                    "stays": held_out.gather(1, shown).mean(1).numpy(),
                    "expected_hit": choice.gather(1, shown).sum(1).numpy(),
                    "hit": (shown == targets[:, None]).any(1).double().numpy(),
                }
            )
        )
        if measurement.progress is not None:
            measurement.progress(batch.num_queries)
    if not parts:
        raise InputError("reliability: there is no query; choose another split")
    return pd.concat(parts, ignore_index=True)


def _over_draws(scorers: Sequence[Scorer], batch: Batch, size: int) -> tuple[Tensor, Tensor]:
    """Return mean choice probabilities and membership in the top k, each ``(num_queries, num_items)``."""
    choice = torch.zeros(())
    member = Membership(size)
    for scorer in scorers:
        scores = scorer(batch).cpu()
        choice = choice + scores.softmax(1)
        member.add(scores)
    return choice / len(scorers), member.share()


def _curve(found: pd.DataFrame, name: str, bins: int, measurement: Measurement) -> pd.DataFrame:
    """Return the rows of one curve."""
    expected, observed = CURVES[name]
    order = np.argsort(found[expected].to_numpy(), kind="stable")
    rows = []
    for number, part in enumerate(np.array_split(order, min(bins, len(order)))):
        queries = found.iloc[part]
        (mean,) = paired_bootstrap(
            queries[[observed]].to_numpy(), queries["user"].to_numpy(), draws=measurement.draws, seed=measurement.seed
        )
        rows.append(
            {
                "curve": name,
                "bin": number + 1,
                "num_queries": len(part),
                "expected": queries[expected].mean(),
                "observed": mean.difference,
                "low": mean.low,
                "high": mean.high,
            }
        )
    return pd.DataFrame(rows)
