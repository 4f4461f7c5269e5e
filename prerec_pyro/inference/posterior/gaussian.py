"""Gaussians in the place of a domain's posterior: Laplace's, and those that variational inference fits."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoGuide, AutoLowRankMultivariateNormal, AutoMultivariateNormal, AutoNormal
from pyro.infer.autoguide.initialization import init_to_value
from torch import Tensor

from prerec_pyro.errors import InputError
from prerec_pyro.inference.posterior.mode import Mode, spreads, twice_differentiable
from prerec_pyro.inference.posterior.program import DomainProgram

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """How variational inference is run.

    Attributes
    ----------
    steps
        Of Adam, each on one draw.
    rate
        Of Adam at the start, in units of the posterior's spread; it decays to zero.
    restarts
        Runs, from starts one spread apart; the one with the best ELBO counts, the others say whether it can be trusted.
    rank
        Of the low-rank guide; None is the root of the dimension.
    particles
        Draws that the final ELBO is estimated from.
    """

    steps: int = 300
    rate: float = 0.05
    restarts: int = 3
    rank: int | None = None
    particles: int = 32


def laplace(mode: Mode) -> AutoMultivariateNormal:
    """Return Pyro's Laplace approximation at the mode: a Gaussian with the inverse Hessian for its covariance.

    Raises
    ------
    InputError
        If the density does not bend down in every direction at its mode.
    """
    try:
        with twice_differentiable():
            guide = mode.guide.laplace_approximation()
    except torch.linalg.LinAlgError as error:
        raise InputError(_NOT_A_MAXIMUM) from error
    if not bool(torch.isfinite(guide.scale_tril).all() and torch.isfinite(guide.scale).all()):
        raise InputError(_NOT_A_MAXIMUM)
    return guide


_NOT_A_MAXIMUM = (
    "the density does not bend down in every direction at its mode, so it has no Laplace approximation; "
    "take method='nuts' or 'normal', or evaluate more queries"
)


def variational(
    program: DomainProgram, mode: Mode, kind: str, schedule: Schedule, seed: int
) -> tuple[AutoGuide, dict[str, Any]]:
    """Return the fitted guide of the best restart, and what the restarts agree on.

    Parameters
    ----------
    program
        Its units become the mode and the spread of each coordinate.
    mode
        Where to start.
    kind
        ``"normal"``, each number on its own, or ``"low_rank"``, with correlations of some directions.
    schedule
        How to run.
    seed
        Of draws and starts.

    Returns
    -------
    tuple
        The guide; and ``elbo``, those of the restarts in nats, ``steps``, and ``mean_shift``, the largest difference
        between the mean of a restart and the best one's in standard deviations of that.
    """
    spread = spreads(program, mode)
    for site, value in mode.values.items():
        program.units[site] = (value, spread[site])
    runs = []
    for number in range(schedule.restarts):
        torch.manual_seed(hash((seed, number)) % 2**31)
        guide = _guide(program, mode, kind, schedule, jitter=0.0 if number == 0 else 1.0)
        elbo = _fit(program, guide, schedule)
        logger.info("variational inference: restart %d reached an ELBO of %.2f nats", number + 1, elbo)
        runs.append((elbo, guide))
    guide = max(runs, key=lambda run: run[0])[1]
    mean, scale = _moments(guide)
    shift = max(float(((_moments(other)[0] - mean) / scale).abs().max()) for _, other in runs)
    return guide, {"elbo": [elbo for elbo, _ in runs], "steps": schedule.steps, "mean_shift": shift}


def _guide(program: DomainProgram, mode: Mode, kind: str, schedule: Schedule, jitter: float) -> AutoGuide:
    start = {name: value + jitter * torch.randn_like(value) for name, value in program.start(mode.values).items()}
    where = init_to_value(values=start)
    if kind == "normal":
        guide = AutoNormal(program, init_loc_fn=where, init_scale=1.0)
    else:
        guide = AutoLowRankMultivariateNormal(program, init_loc_fn=where, init_scale=1.0, rank=schedule.rank)
    with pyro.validation_enabled(False), torch.no_grad():
        guide()  # makes its parameters
        if kind == "low_rank":
            guide.cov_factor *= 0.1  # starts near independence
            guide.scale = torch.ones_like(guide.scale)
    return guide


def _fit(program: DomainProgram, guide: AutoGuide, schedule: Schedule) -> float:
    """Maximise the ELBO; return it, in nats."""
    objective = Trace_ELBO()
    optimizer = torch.optim.Adam(guide.parameters(), lr=schedule.rate)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, max(schedule.steps, 1))
    with pyro.validation_enabled(False):
        for _ in range(schedule.steps):
            optimizer.zero_grad()
            objective.differentiable_loss(program, guide).backward()
            optimizer.step()
            decay.step()
        with torch.no_grad():
            elbo = -sum(objective.loss(program, guide) for _ in range(schedule.particles)) / schedule.particles
    if not elbo > float("-inf"):
        raise InputError(f"variational inference diverged: its ELBO is {elbo}; take method='laplace'")
    return elbo


def _moments(guide: AutoGuide) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of every number, flat."""
    with torch.no_grad():
        if isinstance(guide, AutoNormal):
            names = [name for name, _ in guide.prototype_trace.iter_stochastic_nodes()]
            found = [guide._get_loc_and_scale(name) for name in names]
            return torch.cat([m.flatten() for m, _ in found]), torch.cat([s.flatten() for _, s in found])
        mean, scale = guide._loc_scale()
        return mean.detach(), scale
