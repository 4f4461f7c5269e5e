"""What hangs on a prior: the same data under several, and a table of what moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import query_batches
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.splits import split_users
from prerec_pyro.errors import InputError
from prerec_pyro.evaluation.metrics import usable_k_percent
from prerec_pyro.evaluation.protocol import evaluate
from prerec_pyro.models.likelihoods.repeat_mixture import EFFECTS
from prerec_pyro.models.priors import Priors
from prerec_pyro.ranking.lists import top_k
from prerec_pyro.recommenders.prerec import PreRec

DEFAULT = "default"


@dataclass(frozen=True, eq=False)
class PriorSensitivity:
    """The same model trained under several priors, and what differs.

    Attributes
    ----------
    table
        A row a prior and domain; the first prior is the one that the others are compared with. See `prior_sensitivity`.
    models
        The trained models, by prior.
    """

    table: pd.DataFrame
    models: dict[str, PreRec] = field(repr=False)

    def summary(self) -> pd.DataFrame:
        """Return a row a prior: the columns of `table`, averaged over the domains."""
        return self.table.drop(columns="domain").groupby("prior", sort=False).mean()

    def plot(self, metric: str = "r_ndcg") -> list[Any]:
        """Return two axes: the validation metric under each prior, and how much of the lists stays."""
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
    """Train the same model under each of several priors, from the same seed on the same data; say what moved.

    Parameters
    ----------
    domains
        To train on.
    priors
        Priors by name. Unless one is named ``"default"``, those of `model` are put first by that name.
    model
        A `PreRec` whose settings, but for the priors, all runs take; None is ``PreRec()``. It need not be trained, and
        is not touched.
    targets
        Domains to serve zero-shot with each model, whose rows come after those of `domains`.
    split_seed, num_samples
        As of `PreRec.fit`.
    k
        Length of the lists whose overlap is measured.
    k_percent
        K% of Recall and r-NDCG in percent; None is that of the model's training. At least one item.
    queries
        Of each domain, about: validation users are drawn until there are so many, the same for all priors.

    Returns
    -------
    PriorSensitivity
        Its table has the columns ``prior``, ``domain``, ``num_queries``, ``recall``, ``r_ndcg``; ``overlap``, the share
        of the k best items of a query that are among the k best under the first prior, averaged; ``first_same``, the
        share of queries whose best item is the same; ``D_norm`` and ``D_cosine``, length of D_k and cosine of its angle
        to the first prior's (NaN of targets); ``W_z_norm``, ``W_z_cosine``; ``score_correlation`` and ``score_slope``
        of the popularity score f_pop(F)·W_z over items and times of day, regressed on the first prior's: a slope of 1.2
        says that popularity counts a fifth more; ``S_match`` … ``S_wandering``, S_k in nats (NaN of targets).

    Raises
    ------
    InputError
        If there is no prior to compare with, or a target has the name of a source.
    """
    model = model or PreRec()
    named = dict(priors) if DEFAULT in priors else {DEFAULT: model.priors, **priors}
    named = {DEFAULT: named.pop(DEFAULT), **named}
    if len(named) < 2:
        raise InputError("prior_sensitivity: name one set of priors or more beside the default's")
    sources = [model.encoded(domain) for domain in domains]
    asked = [*sources, *(model.encoded(domain) for domain in targets)]
    if len({e.name for e in asked}) < len(asked):
        raise InputError("prior_sensitivity: two domains share a name; give each its own")
    percent = model.training.k_percent if k_percent is None else k_percent
    models, rows, first = {}, [], {}
    for name, prior in named.items():
        one = model.with_priors(prior).fit(sources, split_seed=split_seed, num_samples=num_samples)
        models[name] = one
        for e in asked:
            users = _some_users(e, split_seed, queries)
            seen = _seen(one, e, users, k)
            head = {"prior": name, "domain": e.name, "num_queries": len(seen.lists)}
            rows.append(head | _reached(one, e, users, percent) | _moved(seen, first.setdefault(e.name, seen)))
    return PriorSensitivity(pd.DataFrame(rows), models)


def _reached(model: PreRec, encoded: EncodedDomain, users: np.ndarray, k_percent: float) -> dict[str, float]:
    """Return Recall and r-NDCG, at one item at least."""
    measured = evaluate(
        model, encoded, users, k_percent=usable_k_percent(encoded.num_items, k_percent)
    ).ranking.compute()
    return {metric: measured[metric] for metric in ("recall", "r_ndcg")}


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a model says of a domain: lists ``(num_queries, k)``, popularity scores, and its nodes there."""

    lists: Tensor
    scores: Tensor
    W_z: Tensor
    D: Tensor | None
    S: Tensor | None


@torch.no_grad()
def _seen(model: PreRec, encoded: EncodedDomain, users: np.ndarray, k: int) -> _Seen:
    scorer, graph = model.scorer(encoded), model.graph
    W_z = model.sources.weights(graph).W_z
    lists, scores = [], []
    for batch, _ in query_batches(encoded, users):
        lists.append(top_k(scorer(batch).cpu(), min(k, encoded.num_items))[1])
        if W_z is not None:
            level = batch.candidate_level.unique()  # an item's count at a time of day, once however many share it
            scores.append((graph.f_pop(batch.factors.to(model.device)[level]) @ W_z).cpu())
    row = model.sources.row(encoded.domain)
    known = model.sources.nodes
    nodes = {} if row is None else {node: known[node][row].cpu() for node in "DS" if node in known}
    S = nodes["S"] * graph.likelihood.spread.cpu() if "S" in nodes else None
    none = torch.empty(0)
    return _Seen(
        torch.cat(lists), torch.cat(scores) if scores else none, none if W_z is None else W_z.cpu(), nodes.get("D"), S
    )


def _moved(seen: _Seen, first: _Seen) -> dict[str, float]:
    """Return how one model differs from another on the same queries."""
    same = (seen.lists[:, :, None] == first.lists[:, None, :]).any(2).float().mean()
    found = {
        "overlap": same.item(),
        "first_same": (seen.lists[:, 0] == first.lists[:, 0]).float().mean().item(),
        **_vector("D", seen.D, first.D),
        **_vector("W_z", seen.W_z, first.W_z),
    }
    mine, theirs = (scores.double() - scores.double().mean() for scores in (seen.scores, first.scores))
    across = (mine * theirs).sum()
    found["score_correlation"] = (across / (mine.square().sum() * theirs.square().sum()).sqrt()).item()
    found["score_slope"] = (across / theirs.square().sum()).item()
    names = EFFECTS
    return found | {f"S_{name}": float("nan") if seen.S is None else seen.S[i].item() for i, name in enumerate(names)}


def _vector(name: str, one: Tensor | None, other: Tensor | None) -> dict[str, float]:
    if one is None or other is None or not len(one):
        return {f"{name}_norm": float("nan"), f"{name}_cosine": float("nan")}
    length = one.norm() * other.norm()
    return {f"{name}_norm": one.norm().item(), f"{name}_cosine": (one @ other / length).item()}


def _some_users(encoded: EncodedDomain, split_seed: int, queries: int) -> np.ndarray:
    """Return validation users, the same each time, that give about so many queries."""
    drawn = np.random.default_rng(0).permutation(split_users(encoded.domain, split_seed).validation)
    given = np.maximum(np.diff(encoded.domain.offsets)[drawn] - 1, 0).cumsum()
    if not len(given) or not given[-1]:
        raise InputError(f"domain {encoded.name!r}: no validation user with two events, so nothing to compare on")
    return np.sort(drawn[: int(np.searchsorted(given, queries)) + 1])
