"""Whose log the posterior of a domain is given, and whom it is checked on."""

from __future__ import annotations

import dataclasses
from typing import Any

from prerec_pyro.data.encoded import EncodedDomain, check_texts
from prerec_pyro.data.splits import SplitName, split_users
from prerec_pyro.inference.posterior.fit import infer_posterior
from prerec_pyro.inference.posterior.predictive_checks import PredictiveChecks, held_out_checks
from prerec_pyro.inference.posterior.result import Method, Posterior
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.registry import Graph


def posterior_of(
    graph: Graph,
    sources: TrainedDomains,
    encoded: EncodedDomain,
    method: Method = "laplace",
    *,
    split_seed: int = 0,
    users: SplitName | None = None,
    **settings: Any,
) -> Posterior:
    """Return the posterior of a domain's D and S, and of lifted weights, given the log of some of its users.

    The networks and the item offsets stand at their MAP.

    Parameters
    ----------
    graph, sources
        The trained model.
    encoded
        A source, a domain that the model was fine-tuned on, or a new one; texts whitened as the model wants them.
    method
        ``"delta"``, ``"laplace"``, ``"normal"``, ``"low_rank"`` or ``"nuts"``; see `infer_posterior`.
    split_seed
        Of the split of users that the model was trained by.
    users
        Whose log is read. None: a new domain's training users, and of a domain that the model was trained on the
        validation users: items and networks were fitted to the training users, whose choices then seem easier to
        predict than anybody's will be.
    settings
        ``draws``, ``chains``, ``queries``, ``seed``, … of `PosteriorConfig`.

    Raises
    ------
    InputError
        If an argument means nothing, or there is nothing to learn from.
    """
    check_texts(encoded, graph.f_e.linear.in_features)
    users = users or ("train" if sources.row(encoded.domain) is None else "validation")
    rows = split_users(encoded.domain, split_seed).users(users)
    found = infer_posterior(graph.eval(), sources, encoded, rows, method, **settings)
    return dataclasses.replace(found, facts=found.facts | {"users": users, "split_seed": split_seed})


def checks_on_others(
    graph: Graph,
    sources: TrainedDomains,
    encoded: EncodedDomain,
    posterior: Posterior,
    *,
    queries: int = 1000,
    seed: int = 0,
) -> PredictiveChecks:
    """Return how a posterior predicts users whose log it was not given: validation users, or else test users."""
    other = "validation" if posterior.facts["users"] == "train" else "test"
    users = split_users(encoded.domain, posterior.facts["split_seed"]).users(other)
    return held_out_checks(graph.eval(), sources, encoded, posterior, users, queries=queries, seed=seed)
