"""From a trained model and a domain's log to a `Posterior`, by the method that is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyro
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.inference.posterior.gaussian import Schedule, laplace, variational
from prerec_pyro.inference.posterior.mode import Mode, find_mode
from prerec_pyro.inference.posterior.nuts import run_chains
from prerec_pyro.inference.posterior.program import OF_DOMAIN, DomainProgram, Values, latent_sites
from prerec_pyro.inference.posterior.result import METHODS, Method, Posterior
from prerec_pyro.inference.posterior.subsample import LogSample, sample_log
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.registry import Graph

DOUBLE_UP_TO = 1 << 20  # scores: small problems are computed in double precision


class PosteriorConfig(BaseModel):
    """How a posterior is computed, and given what."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    draws: int = Field(500, ge=1, description="draws, of NUTS in each chain")
    chains: int = Field(4, ge=1, description="chains of NUTS")
    warmup: int | None = Field(None, ge=1, description="draws that NUTS adapts on; None is as many as it keeps")
    queries: int | None = Field(1000, ge=1, description="queries that the density is evaluated on; None is all given")
    max_log: int | None = Field(50_000, ge=1, description="queries of the log that the posterior is given; None is all")
    latents: tuple[str, ...] | None = Field(None, description="of D, S and lifted weights; None is all there are")
    restarts: int = Field(3, ge=1, description="runs of variational inference")
    steps: int = Field(300, ge=1, description="steps of each")
    rank: int | None = Field(None, ge=1, description="of the low-rank guide; None is the root of the dimension")
    seed: int = Field(0, ge=0)


def infer_posterior(
    graph: Graph,
    sources: TrainedDomains,
    encoded: EncodedDomain,
    users: np.ndarray,
    method: Method = "laplace",
    **settings: Any,
) -> Posterior:
    """Return the posterior of one domain's low-dimensional latents given the log of some users.

    Parameters
    ----------
    graph, sources
        The trained model. A domain that it was trained on keeps the MAP of its item offsets; the items of any other
        stand at their prior mean.
    encoded
        The domain, its texts whitened as the model wants them.
    users
        ``(n,)`` user rows whose log is read.
    method
        ``"delta"``, the mode; ``"laplace"``, ``"normal"`` and ``"low_rank"``, Gaussians; ``"nuts"``, Markov chains.
    settings
        Of `PosteriorConfig`.

    Raises
    ------
    InputError
        If the method or a setting means nothing, the model has no such latent, or the log nothing to learn from.
    """
    if method not in METHODS:
        raise InputError(f"method {method!r}: expected one of {', '.join(METHODS)}")
    config = _checked(settings)
    sites = latent_sites(graph)
    if not sites and method != "delta":
        raise InputError(f"method {method!r}: this model is PreRec_n, it has no D and no S; take 'delta'")
    asked = sites if config.latents is None else config.latents
    if unknown := set(asked) - set(sites):
        raise InputError(f"latents: {', '.join(sorted(unknown))} is none; this model has {', '.join(sites) or 'none'}")
    if sites and not asked:
        raise InputError(f"latents: none is left; name some of {', '.join(sites)}")
    sample = sample_log(encoded, users, max_log=config.max_log, queries=config.queries, seed=config.seed)
    scores = sample.num_evaluated * encoded.num_items
    dtype = torch.float64 if scores <= DOUBLE_UP_TO else torch.float32
    program = program_of(graph, sources, encoded, asked, dtype)
    facts = _facts(program, sample, config)
    if not program.sites:  # PreRec_n: nothing is random but the choices
        program.observe([program.ready(batch) for batch in sample.batches(sample.evaluated)], sample.weight, {}, {})
        return _posterior(program, encoded, method, {}, {}, facts, config)
    mode = find_mode(program, sample, point_estimates(graph, sources, encoded))
    facts |= {"rounds": mode.rounds, "last_gain": mode.last_gain}
    points, statistics, found = _draw(program, mode, method, config)
    return _posterior(program, encoded, method, points, statistics, facts | found, config)


def point_estimates(graph: Graph, sources: TrainedDomains, encoded: EncodedDomain) -> dict[str, Tensor]:
    """Return D (1, B), S (1, 4) and lifted weights (B,) as the domain is served: its MAP, or the prior mean."""
    sites, device = latent_sites(graph), graph.f_e.linear.weight.device
    row, widths = sources.row(encoded.domain), graph.domain_widths
    trained = {} if row is None else {s: sources.nodes[s][row : row + 1] for s in OF_DOMAIN if s in sources.nodes}
    found = {site: trained.get(site, torch.zeros(1, widths[site], device=device)) for site in sites if site in widths}
    weights = sources.weights(graph)
    return found if weights is None else found | {site: weights._asdict()[site] for site in graph.lifted}


def program_of(
    graph: Graph, sources: TrainedDomains, encoded: EncodedDomain, latents: Sequence[str], dtype: torch.dtype
) -> DomainProgram:
    """Return the program of a domain in which `latents` are random and all else stands at its MAP."""
    row = sources.row(encoded.domain)
    nodes = {} if row is None else sources.nodes_of(encoded.domain, row)
    known = {name: value for name, value in nodes.items() if name == "V_decentered"}
    scales = {site for of_node in graph.hypers.values() for site in of_node}
    known |= {site: value for site, value in sources.nodes.items() if site in scales}
    served = point_estimates(graph, sources, encoded)
    return DomainProgram(graph, known | {s: v.detach() for s, v in served.items() if s not in latents}, dtype)


def _draw(
    program: DomainProgram, mode: Mode, method: Method, config: PosteriorConfig
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """Return points as the guides see them, ``(num_chains, num_draws, …)``, statistics of each, and facts."""
    if method == "delta":
        return {name: value[None, None] for name, value in program.start(mode.values).items()}, {}, {}
    if method == "nuts":
        warmup = config.warmup or config.draws
        sizes = {"num_chains": config.chains, "num_draws": config.draws, "num_warmup": warmup}
        chains = run_chains(program, mode, **sizes, seed=config.seed)
        return chains.points, {"energy": chains.energy, "diverging": chains.diverging}, {"warmup": warmup}
    if method == "laplace":
        guide, facts = laplace(mode), {}
    else:
        schedule = Schedule(steps=config.steps, restarts=config.restarts, rank=config.rank)
        guide, facts = variational(program, mode, method, schedule, config.seed)
    names = list(program.start(mode.values))
    pyro.set_rng_seed(config.seed)
    with torch.no_grad(), pyro.validation_enabled(False):
        traces = [pyro.poutine.trace(guide).get_trace() for _ in range(config.draws)]
        log_q = torch.stack([trace.log_prob_sum() for trace in traces])
    points = {name: torch.stack([trace.nodes[name]["value"] for trace in traces])[None] for name in names}
    return points, {"log_q": log_q[None]}, facts


@torch.no_grad()
def _posterior(
    program: DomainProgram,
    encoded: EncodedDomain,
    method: Method,
    points: dict[str, Tensor],
    statistics: dict[str, Tensor],
    facts: dict[str, Any],
    config: PosteriorConfig,
) -> Posterior:
    """Evaluate the program at the points, and gather all that a `Posterior` holds."""
    shape = next(iter(points.values())).shape[:2] if points else (1, 1)
    flat = {name: value.flatten(0, 1) for name, value in points.items()}
    torch.manual_seed(config.seed)
    with pyro.validation_enabled(False):
        rows = list(_evaluate(program, flat, shape[0] * shape[1]))
    values, lp, log_likelihood, replicated = zip(*rows, strict=True)

    def whole(parts: tuple[Tensor, ...]) -> Tensor:
        return torch.stack(parts).unflatten(0, shape).cpu()

    draws = {site: whole(tuple(value[site] for value in values)).float() for site in program.sites}
    return Posterior(
        method=method,
        domain=encoded.name,
        draws={site: value.squeeze(2) if site in OF_DOMAIN else value for site, value in draws.items()},
        prior=_prior_draws(program, max(config.draws, 2)),
        log_likelihood=whole(log_likelihood).float(),
        replicated=whole(replicated),
        observed=torch.cat([batch.targets for batch in program.batches]).cpu(),
        events=torch.cat([batch.events for batch in program.batches]).cpu(),
        statistics={name: value.cpu() for name, value in statistics.items()} | {"lp": whole(lp)},
        item_ids=encoded.domain.item_ids,
        facts=facts,
    )


def _evaluate(program: DomainProgram, points: Values, count: int) -> Iterator[tuple[dict, Tensor, Tensor, Tensor]]:
    """Yield, at each point, latents, log density, log-likelihoods and an item drawn for each query."""
    for row in range(count):
        data = {name: value[row] for name, value in points.items()}
        trace = pyro.poutine.trace(pyro.poutine.condition(program, data=data)).get_trace()
        choices = [trace.nodes[f"batch_{number}/R"] for number in range(len(program.batches))]
        fits = torch.cat([site["fn"].log_prob(site["value"]) for site in choices])
        items = torch.cat([site["fn"].sample() for site in choices])
        yield trace.nodes["_RETURN"]["value"], trace.log_prob_sum(), fits, items


def _prior_draws(program: DomainProgram, count: int) -> dict[str, Tensor]:
    drawn = [program.latents() for _ in range(count)] if program.sites else []
    found = {site: torch.stack([values[site] for values in drawn])[None].float().cpu() for site in program.sites}
    return {site: value.squeeze(2) if site in OF_DOMAIN else value for site, value in found.items()}


def _facts(program: DomainProgram, sample: LogSample, config: PosteriorConfig) -> dict[str, Any]:
    """Return what the numbers rest on, plain JSON."""
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
