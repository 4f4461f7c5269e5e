"""Posteriors of trained models: the users that a posterior is given, and the users that it is checked on."""

from __future__ import annotations

import dataclasses
from typing import Any

from prerec_pyro.data.encoded import EncodedDomain, check_texts
from prerec_pyro.data.splits import SplitName, split_users
from prerec_pyro.inference.calibration.prediction import PredictedPrior
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
    prior_S: PredictedPrior | None = None,
    **settings: Any,
) -> Posterior:
    """Return the posterior of a domain's D, S and lifted weights given the log of some of its users.

    The networks and the item offsets are fixed at their MAP.

    Parameters
    ----------
    graph, sources
        The trained model.
    encoded
        A source domain, a domain that the model was fine-tuned on, or a new one; its texts are whitened for the model.
    method
        ``"delta"``, ``"laplace"``, ``"normal"``, ``"low_rank"`` or ``"nuts"``; see `infer_posterior`.
    split_seed
        Seed of the split of users that the model was trained with.
    users
        Part of the split whose log is used. None takes the training users of a new domain, and the validation users
        of a domain that the model was trained on. Items and networks were fitted to the training users there, so their
        choices look easier to predict than those of any other users.
    prior_S
        Prior of S of a new store, from `prior_of_store`; None is the prior between domains.
    settings
        Fields of `PosteriorConfig`: ``draws``, ``chains``, ``queries``, ``seed``, …

    Raises
    ------
    InputError
        If an argument is unknown or out of range, or the log holds no choice.
    """
    check_texts(encoded, graph.f_e.linear.in_features)
    default: SplitName = "train" if sources.row(encoded.domain) is None else "validation"
    part = users or default
    rows = split_users(encoded.domain, split_seed).users(part)
    posterior = infer_posterior(graph.eval(), sources, encoded, rows, method, prior_S=prior_S, **settings)
    return dataclasses.replace(posterior, facts=posterior.facts | {"users": part, "split_seed": split_seed})


def checks_on_others(
    graph: Graph,
    sources: TrainedDomains,
    encoded: EncodedDomain,
    posterior: Posterior,
    *,
    queries: int = 1000,
    seed: int = 0,
    prior_S: PredictedPrior | None = None,
) -> PredictiveChecks:
    """Return the predictive checks of a posterior on users whose log it was not given.

    These are the validation users if it was given the training users, and the test users otherwise.

    Parameters
    ----------
    graph, sources, encoded
        Model and domain, as in `posterior_of`.
    posterior
        The posterior that `posterior_of` returned.
    queries
        Number of queries, drawn at random.
    seed
        Seed of queries and drawn items.
    prior_S
        As in `posterior_of`.

    Raises
    ------
    InputError
        If no user has two events.
    """
    part: SplitName = "validation" if posterior.facts["users"] == "train" else "test"
    users = split_users(encoded.domain, posterior.facts["split_seed"]).users(part)
    return held_out_checks(
        graph.eval(), sources, encoded, posterior, users, queries=queries, seed=seed, prior_S=prior_S
    )
