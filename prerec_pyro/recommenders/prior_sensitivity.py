"""Sensitivity to the priors: one model trained under several of them, and a table of the differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch, query_batches
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.splits import split_users
from prerec_pyro.data.subsets import random_users
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.metrics import usable_k_percent
from prerec_pyro.evaluation.protocol import evaluate, num_queries
from prerec_pyro.models.graphs.paper import PaperGraph
from prerec_pyro.models.likelihoods.repeat_mixture import EFFECTS, RepeatMixture
from prerec_pyro.models.priors import Priors
from prerec_pyro.ranking.lists import top_k
from prerec_pyro.recommenders.prerec import PreRec

DEFAULT = "default"


@dataclass(frozen=True, eq=False)
class PriorSensitivity:
    """The same model trained under several priors, and the differences.

    Attributes
    ----------
    table
        One row for each prior and domain; the others are compared with the first prior.
    models
        The trained models, by prior.

    Notes
    -----
    The columns of the table are ``prior``, ``domain``, ``num_queries``, ``recall``, ``r_ndcg``, and these.

    - ``overlap``: share of the k best items of a query that are among its k best under the first prior, averaged over
      queries. ``first_same``: share of queries with the same best item.
    - ``D_norm`` and ``D_cosine``: length of D_k, and cosine of its angle to D_k under the first prior (NaN for
      targets). ``W_z_norm`` and ``W_z_cosine``: the same for W_z.
    - ``score_correlation`` and ``score_slope``: regression of the popularity score f_pop(F)·W_z over items and times of
      day on the score under the first prior. A slope of 1.2 means that popularity counts 20 % more.
    - ``S_match``, ``S_popularity``, ``S_repeat``, ``S_background``, ``S_fading``, ``S_contrast``: S_k in nats (NaN for
      targets, and for what the graph lacks).
    """

    table: pd.DataFrame
    models: dict[str, PreRec] = field(repr=False)

    def summary(self) -> pd.DataFrame:
        """Return one row for each prior: the columns of `table`, averaged over the domains."""
        return self.table.drop(columns="domain").groupby("prior", sort=False).mean()

    def plot(self, metric: str = "r_ndcg") -> list[Any]:
        """Return two axes: the validation metric under each prior, and the overlap of the lists."""
        from prerec_pyro.plots.priors import plot_prior_sensitivity

        return plot_prior_sensitivity(self.table, metric)


def prior_sensitivity(
    domains: Sequence[Domain | EncodedDomain],
    priors: Mapping[str, Priors],
    *,
    model: PreRec | None = None,
    targets: Sequence[Domain | EncodedDomain] = (),
    split_seed: int = 0,
    num_samples: int | None = None,
    k: int = 20,
    k_percent: float | None = None,
    queries: int = 2000,
) -> PriorSensitivity:
    """Return the differences between models trained under several priors, from the same seed on the same data.

    Parameters
    ----------
    domains
        Domains to train on.
    priors
        Priors by name. Unless one is named ``"default"``, the priors of `model` are put first under that name.
    model
        A `PreRec` that gives all settings but the priors; None is ``PreRec()``. It need not be trained and does not
        change.
    targets
        Domains to serve zero-shot with each model; their rows follow those of `domains`.
    split_seed, num_samples
        As in `PreRec.fit`.
    k
        Length of the lists that are compared.
    k_percent
        K% of Recall and r-NDCG in percent, at least one item; None takes it from the model's training.
    queries
        Approximate number of queries of each domain, from validation users that are the same for all priors.

    Raises
    ------
    InputError
        If there is no prior to compare with, or two domains share a name.
    """
    model = model or PreRec()
    named = _default_first(priors, model.priors)
    sources = [model.encoded(domain) for domain in domains]
    measured = _distinct([*sources, *(model.encoded(domain) for domain in targets)])
    percent = model.training.k_percent if k_percent is None else k_percent
    users = {e.name: _validation_users(e, split_seed, queries) for e in measured}
    models: dict[str, PreRec] = {}
    rows: list[dict[str, object]] = []
    first: dict[str, Predictions] = {}
    for name, prior in named.items():
        models[name] = model.with_priors(prior).fit(sources, split_seed=split_seed, num_samples=num_samples)
        for e in measured:
            predictions = _predict(models[name], e, users[e.name], k)
            metrics = _validation_metrics(models[name], e, users[e.name], percent)
            compared = differences(predictions, first.setdefault(e.name, predictions))
            head = {"prior": name, "domain": e.name, "num_queries": len(predictions.lists)}
            rows.append({**head, **metrics, **compared})
    return PriorSensitivity(pd.DataFrame(rows), models)


def _distinct(domains: list[EncodedDomain]) -> list[EncodedDomain]:
    """Return the domains, which must differ in their names."""
    if len({e.name for e in domains}) < len(domains):
        raise InputError("prior_sensitivity: two domains share a name; give each its own")
    return domains


def _default_first(priors: Mapping[str, Priors], default: Priors) -> dict[str, Priors]:
    """Return the priors by name, with ``"default"`` in the first place."""
    named = {DEFAULT: priors.get(DEFAULT, default), **{name: p for name, p in priors.items() if name != DEFAULT}}
    if len(named) < 2:
        raise InputError("prior_sensitivity: name one set of priors or more besides the default")
    return named


def _validation_metrics(model: PreRec, encoded: EncodedDomain, users: np.ndarray, k_percent: float) -> dict[str, float]:
    """Return Recall and r-NDCG at K%, or at one item if K% is less."""
    percent = usable_k_percent(encoded.num_items, k_percent)
    values = evaluate(model, encoded, users, k_percent=percent).ranking.compute()
    return {metric: values[metric] for metric in ("recall", "r_ndcg")}


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of a model for a domain, and the values of its nodes there.

    Attributes
    ----------
    lists
        Best items of each query, ``(num_queries, k)``.
    scores
        Popularity scores f_pop(F)·W_z, one for each distinct popularity; empty without W_z.
    W_z
        ``(B,)``, or empty.
    D
        ``(B,)``, or None for a domain that the model was not trained on.
    S
        ``(num_effects,)`` in nats, or None.
    """

    lists: Tensor
    scores: Tensor
    W_z: Tensor
    D: Tensor | None
    S: Tensor | None


@torch.no_grad()
def _predict(model: PreRec, encoded: EncodedDomain, users: np.ndarray, k: int) -> Predictions:
    scorer, graph = model.scorer(encoded), model.graph
    weights = model.sources.weights(graph)
    W_z = None if weights is None else weights.W_z
    lists, scores = [], []
    for batch, _ in query_batches(encoded, users):
        lists.append(top_k(scorer(batch).cpu(), min(k, encoded.num_items))[1])
        if W_z is not None and isinstance(graph, PaperGraph):
            scores.append(_popularity_scores(graph, batch.to(model.device), W_z).cpu())
    row = model.sources.row(encoded.domain)
    known = model.sources.nodes
    nodes = {} if row is None else {node: known[node][row].cpu() for node in "DS" if node in known}
    likelihood = graph.likelihood
    S = likelihood.in_nats(nodes["S"]) if isinstance(likelihood, RepeatMixture) and "S" in nodes else None
    empty = torch.empty(0)
    return Predictions(
        lists=torch.cat(lists),
        scores=torch.cat(scores) if scores else empty,
        W_z=empty if W_z is None else W_z.cpu(),
        D=nodes.get("D"),
        S=S,
    )


def _popularity_scores(graph: PaperGraph, batch: Batch, W_z: Tensor) -> Tensor:
    """Return f_pop(F)·W_z, summed over windows, of items that differ in time or in a count, each once."""
    batch = batch if graph.num_windows > 1 else batch.without_other_windows()
    effect = graph.f_pop(batch.factors, batch.level_window) @ W_z  # (num_levels,)
    levels = [batch.candidate_level, *([] if batch.window_level is None else batch.window_level)]
    return effect[torch.stack(levels).flatten(1).unique(dim=1)].sum(0)


def differences(predictions: Predictions, first: Predictions) -> dict[str, float]:
    """Return the columns of the table that compare a model with the first one on the same queries."""
    overlap = (predictions.lists[:, :, None] == first.lists[:, None, :]).any(2).float().mean()
    columns = {
        "overlap": overlap.item(),
        "first_same": (predictions.lists[:, 0] == first.lists[:, 0]).float().mean().item(),
        **_compare_vectors("D", predictions.D, first.D),
        **_compare_vectors("W_z", predictions.W_z, first.W_z),
    }
    own, other = (scores.double() - scores.double().mean() for scores in (predictions.scores, first.scores))
    product = (own * other).sum()
    columns["score_correlation"] = (product / (own.square().sum() * other.square().sum()).sqrt()).item()
    columns["score_slope"] = (product / other.square().sum()).item()
    S = [] if predictions.S is None else predictions.S.tolist()
    missing = [float("nan")] * (len(EFFECTS) - len(S))
    return columns | {f"S_{name}": value for name, value in zip(EFFECTS, S + missing, strict=True)}


def _compare_vectors(name: str, vector: Tensor | None, first: Tensor | None) -> dict[str, float]:
    """Return length and cosine of two values of a node, NaN if one is missing."""
    if vector is None or first is None or not len(vector):
        return {f"{name}_norm": float("nan"), f"{name}_cosine": float("nan")}
    lengths = vector.norm() * first.norm()
    return {f"{name}_norm": vector.norm().item(), f"{name}_cosine": (vector @ first / lengths).item()}


def _validation_users(encoded: EncodedDomain, split_seed: int, queries: int) -> np.ndarray:
    """Return validation users with about so many queries, the same in each call.

    Raises
    ------
    InputError
        If no validation user has two events.
    """
    users = split_users(encoded.domain, split_seed).validation
    if not num_queries(encoded.domain, users):
        raise InputError(f"domain {encoded.name!r}: no validation user has two events, so nothing can be compared")
    return random_users(encoded.domain, users, queries)
