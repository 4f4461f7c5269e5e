"""Inference of a domain's posterior from a trained model and the domain's log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyro
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pyro.infer.autoguide import AutoGuide
from torch import Tensor

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.inference.calibration.prediction import PredictedPrior
from prerec_pyro.inference.posterior.evaluation import evaluate_posterior
from prerec_pyro.inference.posterior.gaussian import Schedule, laplace, variational
from prerec_pyro.inference.posterior.mode import Mode, find_mode
from prerec_pyro.inference.posterior.nuts import run_chains
from prerec_pyro.inference.posterior.program import DOMAIN_NODES, DomainProgram, latent_sites
from prerec_pyro.inference.posterior.result import Method, Posterior, check_method
from prerec_pyro.inference.posterior.subsample import LogSample, sample_log
from prerec_pyro.inference.posterior.traces import log_prob_sum, site_value
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.registry import Graph

MAX_DOUBLE_SCORES = 1 << 20  # up to so many scores are computed in double precision


class PosteriorConfig(BaseModel):
    """Settings of the inference of a posterior."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    draws: int = Field(500, ge=1, description="number of draws; of NUTS, in each chain")
    chains: int = Field(4, ge=1, description="number of chains of NUTS")
    warmup: int | None = Field(
        None, ge=1, description="draws that NUTS adapts on; None is the number of draws it keeps"
    )
    queries: int | None = Field(1000, ge=1, description="queries that the density is evaluated on; None is all given")
    max_log: int | None = Field(50_000, ge=1, description="queries of the log that the posterior is given; None is all")
    latents: tuple[str, ...] | None = Field(
        None, description="some of D, S and the lifted weights; None is all of them"
    )
    restarts: int = Field(3, ge=1, description="number of runs of variational inference")
    steps: int = Field(300, ge=1, description="steps of each run of variational inference")
    rank: int | None = Field(
        None, ge=1, description="rank of the low-rank guide; None is the square root of the dimension"
    )
    seed: int = Field(0, ge=0, description="seed of all draws")


def infer_posterior(
    graph: Graph,
    sources: TrainedDomains,
    encoded: EncodedDomain,
    users: np.ndarray,
    method: Method = "laplace",
    *,
    prior_S: PredictedPrior | None = None,
    **settings: Any,
) -> Posterior:
    """Return the posterior of one domain's low-dimensional latents given the log of some users.

    Parameters
    ----------
    graph, sources
        The trained model. A domain that it was trained on keeps the MAP of its item offsets. The items of any other
        domain are fixed at their prior mean.
    encoded
        The domain, with texts whitened for the model.
    users
        ``(n,)`` rows of the users whose log is used.
    method
        ``"delta"`` for the mode; ``"laplace"``, ``"normal"`` and ``"low_rank"`` for Gaussians; ``"nuts"`` for Markov
        chains.
    prior_S
        Prior of S of a new store, from `prior_of_store`; None is the prior between domains.
    settings
        Fields of `PosteriorConfig`.

    Raises
    ------
    InputError
        If the method or a setting is unknown or out of range, the model has no such latent, or the log holds no choice.
    """
    check_method(method)
    config = _checked(settings)
    latents = _checked_latents(graph, method, config.latents)
    sample = sample_log(encoded, users, max_log=config.max_log, queries=config.queries, seed=config.seed)
    scores = sample.num_evaluated * encoded.num_items
    dtype = torch.float64 if scores <= MAX_DOUBLE_SCORES else torch.float32
    program = program_of(graph, sources, encoded, latents, dtype, prior_S)
    facts = _facts(program, sample, config)
    points: dict[str, Tensor] = {}
    statistics: dict[str, Tensor] = {}
    if program.sites:
        mode = find_mode(program, sample, point_estimates(graph, sources, encoded, prior_S))
        points, statistics, details = _draw(program, mode, method, config)
        facts |= {"rounds": mode.rounds, "last_gain": mode.last_gain} | details
    else:  # PreRec_n has no latent; only the choices are random
        program.observe([program.ready(batch) for batch in sample.batches(sample.evaluated)], sample.weight, {}, {})
    num_prior_draws = max(config.draws, 2)
    return evaluate_posterior(
        program, encoded, method, points, statistics, facts, num_prior_draws=num_prior_draws, seed=config.seed
    )


def point_estimates(
    graph: Graph, sources: TrainedDomains, encoded: EncodedDomain, prior_S: PredictedPrior | None = None
) -> dict[str, Tensor]:
    """Return D (1, B), S (1, num_effects) and lifted weights (B,) that serve the domain: its MAP, or the prior mean."""
    sites, device = latent_sites(graph), graph.f_e.linear.weight.device
    row, widths = sources.row(encoded.domain), graph.domain_widths
    trained = {} if row is None else {s: sources.nodes[s][row : row + 1] for s in DOMAIN_NODES if s in sources.nodes}
    if prior_S is not None and row is None:
        trained = {"S": prior_S.mean[None].to(device)}
    found = {site: trained.get(site, torch.zeros(1, widths[site], device=device)) for site in sites if site in widths}
    weights = sources.weights(graph)
    return found if weights is None else found | {site: weights._asdict()[site] for site in graph.lifted}


def program_of(
    graph: Graph,
    sources: TrainedDomains,
    encoded: EncodedDomain,
    latents: Sequence[str],
    dtype: torch.dtype,
    prior_S: PredictedPrior | None = None,
) -> DomainProgram:
    """Return the program of a domain in which `latents` are random and everything else is fixed at its MAP."""
    row = sources.row(encoded.domain)
    nodes = {} if row is None else sources.nodes_of(encoded.domain, row)
    known = {name: value for name, value in nodes.items() if name == "V_decentered"}
    scales = {site for of_node in graph.hypers.values() for site in of_node}
    known |= {site: value for site, value in sources.nodes.items() if site in scales}
    points = point_estimates(graph, sources, encoded, prior_S)
    return DomainProgram(graph, known | {s: v.detach() for s, v in points.items() if s not in latents}, dtype, prior_S)


def _draw(
    program: DomainProgram, mode: Mode, method: Method, config: PosteriorConfig
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """Return draws by the site names that guides use, ``(num_chains, num_draws, …)``, their statistics, and facts."""
    if method == "delta":
        return {name: value[None, None] for name, value in program.start(mode.values).items()}, {}, {}
    if method == "nuts":
        warmup = config.warmup or config.draws
        sizes = {"num_chains": config.chains, "num_draws": config.draws, "num_warmup": warmup}
        chains = run_chains(program, mode, **sizes, seed=config.seed)
        return chains.points, {"energy": chains.energy, "diverging": chains.diverging}, {"warmup": warmup}
    guide: AutoGuide
    facts: dict[str, Any]
    if method == "laplace":
        guide, facts = laplace(mode), {}
    else:
        schedule = Schedule(steps=config.steps, restarts=config.restarts, rank=config.rank)
        guide, facts = variational(program, mode, method, schedule, config.seed)
    names = list(program.start(mode.values))
    pyro.set_rng_seed(config.seed)
    with torch.no_grad(), pyro.validation_enabled(False):
        traces = [pyro.poutine.trace(guide).get_trace() for _ in range(config.draws)]
        log_q = torch.stack([log_prob_sum(trace) for trace in traces])
    points = {name: torch.stack([site_value(trace, name) for trace in traces])[None] for name in names}
    return points, {"log_q": log_q[None]}, facts


def _facts(program: DomainProgram, sample: LogSample, config: PosteriorConfig) -> dict[str, Any]:
    """Return the evidence that the posterior is given, as plain JSON."""
    return {
        "latents": list(program.sites),
        "log_queries": sample.num_log,
        "given_queries": sample.num_given,
        "evaluated_queries": sample.num_evaluated,
        "weight": sample.weight,
        "seed": config.seed,
        "precision": str(program.dtype).removeprefix("torch."),
    }


def _checked(settings: dict[str, Any]) -> PosteriorConfig:
    try:
        return PosteriorConfig(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        allowed = ", ".join(PosteriorConfig.model_fields)
        raise InputError(f"posterior: {name}: {first['msg']}; settings are {allowed}") from None


def _checked_latents(graph: Graph, method: Method, named: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the named latents, or all that the graph has."""
    sites = latent_sites(graph)
    if not sites and method != "delta":
        raise InputError(f"method {method!r}: the graph of this model has no D and no S; use 'delta'")
    latents = sites if named is None else named
    if unknown := set(latents) - set(sites):
        raise InputError(
            f"latents: {', '.join(sorted(unknown))} is unknown; this model has {', '.join(sites) or 'none'}"
        )
    if sites and not latents:
        raise InputError(f"latents: none is left; name some of {', '.join(sites)}")
    return latents
