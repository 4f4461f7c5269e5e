"""How sure a list is: how often each item makes it to the top k over draws of what is not known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from prerec_pyro.causal.protocol import CausalModel, require_nodes
from prerec_pyro.data.batching.histories import Histories, Seen, read_histories
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.inference.interventions.backdoor import AveragedScorer
from prerec_pyro.inference.interventions.intervention import Semantics, Value
from prerec_pyro.inference.prior.draws import prior_draws
from prerec_pyro.ranking.lists import hide, list_table, score_histories, top_k

COLUMNS = ("user_id", "item_id", "score", "rank", "p_top_k", "confidence")
NUM_DRAWS = 64


def domain_draws(
    model: CausalModel, domain: Domain | EncodedDomain, *, num_draws: int = NUM_DRAWS, seed: int = 0
) -> dict[str, Tensor]:
    """Return draws of D and S from their prior: all that is known of a domain that the model was not trained on.

    Raises
    ------
    InputError
        If the model was trained on the domain, whose posterior is not its prior; or has no confounders.
    """
    graph = require_nodes(model, "D", "uncertainty")
    name = domain.name
    if model.sources.row(domain.domain if isinstance(domain, EncodedDomain) else domain) is not None:
        raise InputError(
            f"domain {name!r}: the model was trained on it, so what it does not know is the posterior of D and S, not "
            "their prior; give draws of it, such as model.posterior(domain).thinned(64)"
        )
    return prior_draws(graph, num_draws, nodes=("D", "S"), seed=seed)


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
    """Return the lists of `recommend` with two columns more, ``p_top_k`` and ``confidence``.

    ``p_top_k`` is the probability that the item is among the user's k best: the share of draws in which it is.
    ``confidence``, one number a user, is its mean over the list: the share of it that is expected to stay, were what is
    not known to be known.

    Parameters
    ----------
    model
        A trained `PreRec` or `CalibratedPreRec`.
    domain, users, histories, k, do, semantics, at, seen
        As in `recommend`.
    draws
        Site → ``(num_draws, …)``, as ``Posterior.thinned`` gives them; None is `domain_draws`.

    Raises
    ------
    InputError
        As `recommend`, and as `domain_draws`.
    """
    if seen not in ("drop", "keep"):
        raise InputError(f"seen {seen!r}: expected 'drop' or 'keep'")
    if k < 1:
        raise InputError(f"k is {k}, expected 1 or more")
    encoded = model.encoded(domain)
    draws = domain_draws(model, encoded) if draws is None else draws
    read = read_histories(encoded, users, histories, at)
    scorer = model.scorer(encoded, do, semantics)
    known = AveragedScorer(scorer, draws)
    plain = score_histories(scorer, encoded, read)
    varied = [score_histories(known.at(number), encoded, read) for number in range(known.num_draws)]
    tables = [_empty(encoded)]
    for (rows, scores), *others in zip(plain, *varied, strict=True):
        size, drop = min(k, encoded.num_items), seen == "drop"
        best, index = top_k(_hidden(scores, read, rows, drop), size)
        share = membership((_hidden(found, read, rows, drop) for _, found in others), size)
        table = list_table(read.user_ids[rows], encoded.domain.item_ids, best, index)
        p = share.gather(1, index).where(torch.isfinite(best), torch.nan)  # (num_rows, k)
        kept = torch.isfinite(best).numpy().ravel()
        table["p_top_k"] = p.numpy().ravel()[kept]
        table["confidence"] = p.nanmean(1, keepdim=True).expand_as(p).numpy().ravel()[kept]
        tables.append(table)
    return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)


def membership(scores: Iterable[Tensor], k: int) -> Tensor:
    """Return how often each item is among the k best, ``(num_queries, num_items)`` from 0 to 1.

    Parameters
    ----------
    scores
        Each ``(num_queries, num_items)``, a draw; an item at -inf is never counted.
    k
        At most ``num_items``.
    """
    total, number = None, 0
    for found in scores:
        best, index = top_k(found, k)
        if total is None:
            total = torch.zeros_like(found)
        total.scatter_add_(1, index, torch.isfinite(best).to(total.dtype))
        number += 1
    if total is None:
        raise InputError("membership: expected one draw or more")
    return total / number


def _hidden(scores: Tensor, read: Histories, rows: slice, drop: bool) -> Tensor:
    return hide(scores, *read.seen(rows)) if drop else scores


def _empty(encoded: EncodedDomain) -> pd.DataFrame:
    table = list_table(np.empty(0, object), encoded.domain.item_ids, torch.empty(0, 1), torch.empty(0, 1).long())
    return table.assign(p_top_k=np.empty(0, np.float32), confidence=np.empty(0, np.float32))
