"""Gaussian approximations of a domain's posterior: Laplace's, and those fitted by variational inference."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

import pyro
import torch
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoGuide, AutoLowRankMultivariateNormal, AutoMultivariateNormal, AutoNormal
from pyro.infer.autoguide.initialization import init_to_value
from torch import Tensor

from prerec_pyro.errors import InputError
from prerec_pyro.inference.posterior.mode import Mode, posterior_widths, twice_differentiable
from prerec_pyro.inference.posterior.program import LatentProgram

logger = logging.getLogger(__name__)

VariationalKind = Literal["normal", "low_rank"]
_NOT_A_MAXIMUM = (
    "the density does not curve down in every direction at its mode, so it has no Laplace approximation; "
    "use method='nuts' or 'normal', or evaluate more queries"
)


@dataclass(frozen=True)
class Schedule:
    """Settings of variational inference.

    Attributes
    ----------
    steps
        Steps of Adam, each on one draw.
    rate
        Learning rate of Adam at the start, in units of the posterior's width; it decays to zero.
    restarts
        Number of runs. The first starts at the mode, the others one width away. The run with the best ELBO is kept; the
        others show whether it can be trusted.
    rank
        Rank of the low-rank guide; None is the square root of the dimension.
    particles
        Draws that estimate the final ELBO.
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
        If the density does not curve down in every direction at its mode.
    """
    try:
        with twice_differentiable():
            guide = mode.guide.laplace_approximation()
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]  # its stub hides a public name
        raise InputError(_NOT_A_MAXIMUM) from error
    if not bool(torch.isfinite(guide.scale_tril).all() and torch.isfinite(guide.scale).all()):
        raise InputError(_NOT_A_MAXIMUM)
    return guide


def variational(
    program: LatentProgram, mode: Mode, kind: VariationalKind, schedule: Schedule, seed: int
) -> tuple[AutoGuide, dict[str, Any]]:
    """Return the fitted guide of the best restart, and how far the restarts agree.

    Parameters
    ----------
    program
        The program. Its units are set to the mode and the width of each coordinate.
    mode
        The point to start at.
    kind
        ``"normal"`` for independent numbers, ``"low_rank"`` for correlations along some directions.
    schedule
        Settings of the runs.
    seed
        Seed of draws and starts.

    Returns
    -------
    tuple
        The guide, and a dictionary: ``elbo``, the ELBO of each restart in nats; ``steps``; and ``mean_shift``, the
        largest difference between the means of a restart and of the best one, in standard deviations of the best one.

    Raises
    ------
    InputError
        If a run diverges.
    """
    width = posterior_widths(program, mode)
    for site, value in mode.values.items():
        program.units[site] = (value, width[site])
    runs = []
    for number in range(schedule.restarts):
        torch.manual_seed(hash((seed, number)) % 2**31)
        guide = _start_guide(program, mode, kind, schedule, jitter=0.0 if number == 0 else 1.0)
        elbo = _fit(program, guide, schedule)
        logger.info("variational inference: restart %d reached an ELBO of %.2f nats", number + 1, elbo)
        runs.append((elbo, guide))
    best = max(runs, key=lambda run: run[0])[1]
    mean, sd = _moments(best)
    shift = max(float(((_moments(other)[0] - mean) / sd).abs().max()) for _, other in runs)
    return best, {"elbo": [elbo for elbo, _ in runs], "steps": schedule.steps, "mean_shift": shift}


def _start_guide(
    program: LatentProgram, mode: Mode, kind: VariationalKind, schedule: Schedule, jitter: float
) -> AutoNormal | AutoLowRankMultivariateNormal:
    """Return a guide around the mode, one unit wide, with its parameters; `jitter` moves its mean, in units."""
    start = {name: value + jitter * torch.randn_like(value) for name, value in program.start(mode.values).items()}
    init = init_to_value(values=start)
    with pyro.validation_enabled(False), torch.no_grad():
        if kind == "normal":
            normal = AutoNormal(program, init_loc_fn=init, init_scale=1.0)
            normal()  # creates its parameters
            return normal
        low_rank = AutoLowRankMultivariateNormal(program, init_loc_fn=init, init_scale=1.0, rank=schedule.rank)
        low_rank()
        low_rank.cov_factor.mul_(0.1)  # starts near independence
        # Pyro annotates the declaration of the parameter, not its value.
        low_rank.scale = torch.ones_like(low_rank.loc)  # type: ignore[assignment]
    return low_rank


def _fit(program: LatentProgram, guide: AutoGuide, schedule: Schedule) -> float:
    """Maximise the ELBO; return it in nats."""
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
        raise InputError(f"variational inference diverged: its ELBO is {elbo}; use method='laplace'")
    return elbo


def _moments(guide: AutoNormal | AutoLowRankMultivariateNormal) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of every number, ``(n,)`` each."""
    with torch.no_grad():
        if isinstance(guide, AutoNormal):
            if guide.prototype_trace is None:
                raise ValueError("the guide has no parameters yet; call it once")
            pairs = [guide._get_loc_and_scale(name) for name in guide.prototype_trace.stochastic_nodes]
            return torch.cat([mean.flatten() for mean, _ in pairs]), torch.cat([sd.flatten() for _, sd in pairs])
        mean, sd = guide._loc_scale()
        return mean.detach(), sd
