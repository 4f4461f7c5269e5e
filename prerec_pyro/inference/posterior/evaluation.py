"""Evaluation of a domain's program at the draws of its latents; the result is a `Posterior`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyro
import torch
from torch import Tensor

from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.inference.posterior.program import DOMAIN_NODES, DomainProgram, Values
from prerec_pyro.inference.posterior.result import Method, Posterior
from prerec_pyro.inference.posterior.traces import choice_distribution, log_prob_sum, site_value


class Evaluation(NamedTuple):
    """The program at one draw of its latents.

    Attributes
    ----------
    latents
        Site → value.
    log_density
        log P(choices, latents) in nats, a scalar.
    log_likelihood
        ``(num_queries,)`` log P(R) of each query, in nats.
    replicated
        ``(num_queries,)`` an item drawn from P(R) for each query.
    """

    latents: dict[str, Tensor]
    log_density: Tensor
    log_likelihood: Tensor
    replicated: Tensor


@torch.no_grad()
def evaluate_posterior(
    program: DomainProgram,
    encoded: EncodedDomain,
    method: Method,
    points: Values,
    statistics: Values,
    facts: dict[str, Any],
    *,
    num_prior_draws: int,
    seed: int,
) -> Posterior:
    """Return the posterior: latents, log densities, log-likelihoods and replicated choices at some draws.

    Parameters
    ----------
    program
        The program, with the batches that the density is evaluated on.
    encoded
        The domain.
    method
        Approximation that the draws come from.
    points
        Site, under the name that guides use → ``(num_chains, num_draws, …)``; empty for a program without latents.
    statistics
        Name → ``(num_chains, num_draws)``; ``lp`` is added.
    facts
        Plain JSON, kept with the posterior.
    num_prior_draws
        Number of draws from the prior.
    seed
        Seed of replicated choices and prior draws.
    """
    shape = next(iter(points.values())).shape[:2] if points else torch.Size((1, 1))
    flat = {name: value.flatten(0, 1) for name, value in points.items()}
    torch.manual_seed(seed)
    with pyro.validation_enabled(False):
        rows = list(_evaluate(program, flat, shape.numel()))

    def stacked(parts: list[Tensor]) -> Tensor:
        return torch.stack(parts).unflatten(0, shape).cpu()  # (num_chains, num_draws, …)

    draws = {site: stacked([row.latents[site] for row in rows]).float() for site in program.sites}
    return Posterior(
        method=method,
        domain=encoded.name,
        draws=_without_domain(draws),
        prior=_prior_draws(program, num_prior_draws),
        log_likelihood=stacked([row.log_likelihood for row in rows]).float(),
        replicated=stacked([row.replicated for row in rows]),
        observed=torch.cat([batch.targets for batch in program.batches if batch.targets is not None]).cpu(),
        events=torch.cat([batch.events for batch in program.batches if batch.events is not None]).cpu(),
        statistics={name: value.cpu() for name, value in statistics.items()}
        | {"lp": stacked([row.log_density for row in rows])},
        item_ids=encoded.domain.item_ids,
        facts=facts,
    )


def _evaluate(program: DomainProgram, points: Values, count: int) -> Iterator[Evaluation]:
    """Yield the program at each of `count` points, ``(count, …)`` by site."""
    for row in range(count):
        data = {name: value[row] for name, value in points.items()}
        trace = pyro.poutine.trace(pyro.poutine.condition(program, data=data)).get_trace()
        sites = [f"batch_{number}/R" for number in range(len(program.batches))]
        choices = [(choice_distribution(trace, site), site_value(trace, site)) for site in sites]
        yield Evaluation(
            latents={site: site_value(trace, site) for site in program.sites},
            log_density=log_prob_sum(trace),
            log_likelihood=torch.cat([choice.log_prob(target) for choice, target in choices]),
            replicated=torch.cat([choice.sample() for choice, _ in choices]),
        )


def _prior_draws(program: DomainProgram, count: int) -> dict[str, Tensor]:
    """Return draws from the prior of each site, ``(1, count, …)`` float32."""
    if not program.sites:
        return {}
    drawn = [program.latents() for _ in range(count)]
    stacked = {site: torch.stack([values[site] for values in drawn])[None].float().cpu() for site in program.sites}
    return _without_domain(stacked)


def _without_domain(draws: Values) -> dict[str, Tensor]:
    """Return draws with the domain dimension of D and S, which has length 1, removed."""
    return {site: value.squeeze(2) if site in DOMAIN_NODES else value for site, value in draws.items()}
