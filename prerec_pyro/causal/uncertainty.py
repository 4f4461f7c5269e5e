"""Uncertain lists: how often each item is in the top k over draws of the unknown nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from prerec_pyro.causal.protocol import CausalModel, require_nodes
from prerec_pyro.data.batching.histories import Seen, read_histories
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.inference.calibration.stores import prior_of_store
from prerec_pyro.inference.interventions.backdoor import AveragedScorer
from prerec_pyro.inference.interventions.intervention import Semantics, Value
from prerec_pyro.inference.prior.draws import prior_draws
from prerec_pyro.ranking.lists import hide, list_table, score_histories, top_k

COLUMNS = ("user_id", "item_id", "score", "rank", "p_top_k", "confidence")
NUM_DRAWS = 64


def domain_draws(
    model: CausalModel, domain: Domain | EncodedDomain, *, num_draws: int = NUM_DRAWS, seed: int = 0
) -> dict[str, Tensor]:
    """Return draws of D and S from their prior, which holds all that is known about a new domain.

    The prior of S is the prediction from the features of the store; see `prior_of_store`.

    Parameters
    ----------
    model
        A trained `PreRec` or `CalibratedPreRec`.
    domain
        A domain that the model was not trained on.
    num_draws
        Number of draws.
    seed
        Seed of the draws.

    Returns
    -------
    dict
        Site → ``(num_draws, …)``.

    Raises
    ------
    InputError
        If the model was trained on the domain, so that its prior is not its posterior, or has no confounders.

    Examples
    --------
    >>> from prerec_pyro import PreRec, TrainConfig, simulate
    >>> shops = simulate(2, num_items=30, num_users=40, num_days=20)
    >>> source, shop = (one.domain.with_embeddings(one.truth.item_mean) for one in shops)
    >>> model = PreRec(training=TrainConfig(epochs=1), device="cpu").fit([source])
    >>> len(domain_draws(model, shop, num_draws=8)["D"])
    8
    """
    graph = require_nodes(model, "D", "uncertainty")
    name = domain.name
    if model.sources.row(domain.domain if isinstance(domain, EncodedDomain) else domain) is not None:
        raise InputError(
            f"domain {name!r}: the model was trained on it, so its uncertainty is the posterior of D and S and not the "
            "prior; give draws of the posterior, such as model.posterior(domain).thinned(64)"
        )
    drawn = prior_draws(graph, num_draws, nodes=("D", "S"), seed=seed)
    predicted = prior_of_store(graph, model.sources, model.encoded(domain))
    if predicted is not None:
        drawn["S"] = (predicted.mean + predicted.std * drawn["S"].to(predicted.mean)).to(drawn["S"])
    return drawn


def uncertain_lists(
    model: CausalModel,
    domain: Domain | EncodedDomain,
    users: Sequence[str] | None = None,
    *,
    draws: Mapping[str, Tensor] | None = None,
    histories: Any = None,
    k: int = 20,
    do: Mapping[str, Value] | None = None,
    semantics: Semantics = "interventional",
    at: str | int | None = None,
    seen: Seen = "drop",
) -> pd.DataFrame:
    """Return the lists of `recommend` with two more columns, ``p_top_k`` and ``confidence``.

    ``p_top_k`` is the probability that the item is among the user's k best: the share of draws in which it is.
    ``confidence``, one number per user, is the mean of ``p_top_k`` over the list: the share of the list that is
    expected to stay once the unknown nodes are known.

    Parameters
    ----------
    model
        A trained `PreRec` or `CalibratedPreRec`.
    domain, users, histories, k, do, semantics, at, seen
        As in `recommend`.
    draws
        Site → ``(num_draws, …)``, as ``Posterior.thinned`` returns them; None takes `domain_draws`.

    Raises
    ------
    InputError
        As `recommend` and `domain_draws` do.

    Examples
    --------
    >>> from prerec_pyro import PreRec, TrainConfig, simulate
    >>> shops = simulate(2, num_items=30, num_users=40, num_days=20)
    >>> source, shop = (one.domain.with_embeddings(one.truth.item_mean) for one in shops)
    >>> model = PreRec(training=TrainConfig(epochs=1), device="cpu").fit([source])
    >>> lists = uncertain_lists(model, shop, shop.user_ids[:2], draws=domain_draws(model, shop, num_draws=8), k=3)
    >>> len(lists), list(lists.columns[-2:])
    (6, ['p_top_k', 'confidence'])
    """
    if seen not in ("drop", "keep"):
        raise InputError(f"seen {seen!r}: expected 'drop' or 'keep'")
    if k < 1:
        raise InputError(f"k is {k}, expected 1 or more")
    encoded = model.encoded(domain)
    draws = domain_draws(model, encoded) if draws is None else draws
    read = read_histories(encoded, users, histories, at, "error")
    scorer = model.scorer(encoded, do, semantics)
    averaged = AveragedScorer(scorer, draws)
    plain = score_histories(scorer, encoded, read)
    varied = [score_histories(averaged.at(number), encoded, read) for number in range(averaged.num_draws)]
    size = min(k, encoded.num_items)
    tables = [_empty(encoded)]
    for (rows, scores), *others in zip(plain, *varied, strict=True):
        found = [scores, *(draw for _, draw in others)]
        if seen == "drop":
            found = [hide(one, *read.seen(rows)) for one in found]
        tables.append(_block(encoded, read.user_ids[rows], found[0], found[1:], size))
    return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)


def _block(
    encoded: EncodedDomain, user_ids: np.ndarray, scores: Tensor, draws: Iterable[Tensor], size: int
) -> pd.DataFrame:
    """Return the lists of one block of users; `scores` and each draw are ``(num_rows, num_items)``."""
    best, index = top_k(scores, size)
    table = list_table(user_ids, encoded.domain.item_ids, best, index)
    p = membership(draws, size).gather(1, index).where(torch.isfinite(best), torch.nan)  # (num_rows, k)
    kept = torch.isfinite(best).numpy().ravel()
    table["p_top_k"] = p.numpy().ravel()[kept]
    table["confidence"] = p.nanmean(1, keepdim=True).expand_as(p).numpy().ravel()[kept]
    return table


class Membership:
    """Share of draws in which each item is among the k best, accumulated draw by draw.

    Parameters
    ----------
    k
        Length of the lists, at most the number of items.
    """

    def __init__(self, k: int) -> None:
        self.k = k
        self._total = torch.zeros(())
        self._number = 0

    def add(self, scores: Tensor) -> None:
        """Add one draw, ``(num_queries, num_items)`` scores; an item at -inf never counts."""
        best, index = top_k(scores, self.k)
        member = torch.zeros_like(scores).scatter_(1, index, torch.isfinite(best).to(scores.dtype))
        self._total = self._total + member
        self._number += 1

    def share(self) -> Tensor:
        """Return the share of the draws, ``(num_queries, num_items)`` from 0 to 1.

        Raises
        ------
        InputError
            If no draw was added.
        """
        if not self._number:
            raise InputError("membership: expected one draw or more")
        return self._total / self._number


def membership(scores: Iterable[Tensor], k: int) -> Tensor:
    """Return how often each item is among the k best, ``(num_queries, num_items)`` from 0 to 1.

    Parameters
    ----------
    scores
        One ``(num_queries, num_items)`` tensor per draw; an item at -inf never counts.
    k
        Length of the lists, at most ``num_items``.

    Raises
    ------
    InputError
        If there is no draw.
    """
    found = Membership(k)
    for draw in scores:
        found.add(draw)
    return found.share()


def _empty(encoded: EncodedDomain) -> pd.DataFrame:
    """Return a table without rows, which keeps the columns where there is no list."""
    table = list_table(np.empty(0, object), encoded.domain.item_ids, torch.empty(0, 1), torch.empty(0, 1).long())
    return table.assign(p_top_k=np.empty(0, np.float32), confidence=np.empty(0, np.float32))
