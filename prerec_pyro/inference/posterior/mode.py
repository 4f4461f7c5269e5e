"""The mode of a domain's posterior given its whole log, and how sharp it is there."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyro
import torch
from pyro.infer.autoguide import AutoLaplaceApproximation
from pyro.infer.autoguide.initialization import init_to_value
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from prerec_pyro.errors import InputError
from prerec_pyro.inference.posterior.program import DomainProgram, Values
from prerec_pyro.inference.posterior.subsample import LogSample

logger = logging.getLogger(__name__)

MAX_ROUNDS = 12
# Nats that a round gains when the mode is found: a small part of what the spread itself is worth, dimension / 2.
ENOUGH, ENOUGH_A_NUMBER = 0.05, 0.001
_MAX_STEPS = 40
_PROBES = 16
_MEMORY = 5


@dataclass(frozen=True, eq=False)
class Mode:
    """Where the density of a program is highest.

    Attributes
    ----------
    guide
        Pyro's, a point at the mode; its `laplace_approximation` is the next step.
    values
        Site → the mode.
    rounds
        How often the gradient over the whole log was taken; 0 where the density is evaluated on the whole log.
    last_gain
        Nats that the last round gained: how far the mode still was.
    """

    guide: AutoLaplaceApproximation
    values: dict[str, Tensor]
    rounds: int
    last_gain: float


def find_mode(program: DomainProgram, sample: LogSample, start: Values) -> Mode:
    """Return the mode given the whole log, and leave the program with the density around it.

    On a part of the log the mode is found, the gradient over the whole log is taken there, and the density of the part
    gets the linear term that is missing; again, until that gains next to nothing. The rounds are mixed as Anderson
    (1965) does, and one that the whole log likes less is taken back by half.

    Raises
    ------
    InputError
        If the density is not finite, or the rounds do not come to rest.
    """
    device = program.f_e.linear.weight.device
    parts = [program.ready(batch.to(device)) for batch in sample.batches(sample.evaluated)]
    values = {site: start[site].to(program.dtype).detach() for site in program.sites}
    if sample.num_evaluated == sample.num_given:
        program.observe(parts, 1.0, {}, {})
        guide, values, _ = _climb(program, values)
        return Mode(guide, values, 0, 0.0)
    enough = ENOUGH + ENOUGH_A_NUMBER * sum(value.numel() for value in values.values())
    tried: list[tuple[Tensor, Tensor]] = []
    best, reached = values, -float("inf")
    for number in range(1, MAX_ROUNDS + 1):
        everything = (program.ready(batch.to(device)) for batch in sample.batches(sample.given))
        fit, slope, _ = program.gradient(values, everything)
        value = fit + program.log_prior(values)
        if value < reached - enough:  # too far
            values = {site: (best[site] + values[site]) / 2 for site in values}
            tried.clear()
            continue
        best, reached = values, value
        own = program.gradient(values, parts)[1]
        rest = {site: slope[site] - sample.weight * own[site] for site in slope}
        program.observe(parts, sample.weight, values, rest)
        guide, found, gain = _climb(program, values)
        logger.info("mode: round %d gained %.2f nats", number, gain)
        if gain < enough:
            return Mode(guide, found, number, gain)
        tried.append((_flat(program, values), _flat(program, found)))
        values = _values(program, _mixed(tried[-_MEMORY:]))
    raise InputError(
        f"the mode was not found in {MAX_ROUNDS} rounds: {sample.num_evaluated:,} "
        f"queries are too few to stand for {sample.num_given:,}; evaluate more queries, or read less of the log"
    )


def _climb(program: DomainProgram, values: Values) -> tuple[AutoLaplaceApproximation, dict[str, Tensor], float]:
    """Return a point guide at the maximum, the values there, and what was gained."""
    guide = AutoLaplaceApproximation(program, init_loc_fn=init_to_value(values=program.start(values)))
    with pyro.validation_enabled(False), torch.no_grad():
        guide()  # makes its parameter
    optimizer = torch.optim.LBFGS(
        [guide.loc], max_iter=_MAX_STEPS, history_size=20, line_search_fn="strong_wolfe", tolerance_change=1e-10
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = -log_density(program, guide)
        value.backward()
        return value.detach()

    with pyro.validation_enabled(False):
        before = float(loss())
        optimizer.step(loss)
        with torch.no_grad():
            after = -float(log_density(program, guide))
            found = latents_of(program, guide)
    if not all(bool(torch.isfinite(value).all()) for value in found.values()):
        raise InputError("the density of the posterior is not finite; the model has diverged, or its prior is too wide")
    return guide, found, before - after


def _mixed(rounds: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the combination of what the rounds found whose starts and ends differ least: where they are heading."""
    ends = torch.stack([end for _, end in rounds])  # (num_rounds, n)
    moves = ends - torch.stack([start for start, _ in rounds])
    if len(rounds) == 1:
        return ends[0]
    away = (moves[:-1] - moves[-1]).mT  # (n, num_rounds - 1)
    share = torch.linalg.lstsq(away, -moves[-1:].mT, driver="gelsd").solution[:, 0]
    return ends[-1] + (ends[:-1] - ends[-1]).mT @ share


def _flat(program: DomainProgram, values: Values) -> Tensor:
    return torch.cat([value.flatten() for value in program.start(values).values()]).double()


def _values(program: DomainProgram, flat: Tensor) -> dict[str, Tensor]:
    zeros = {site: zero for site, (zero, _) in program.units.items()}
    parts = flat.to(program.dtype).split([zero.numel() for zero in zeros.values()])
    units = zip(program.units.items(), parts, strict=True)
    return {site: zero + one * part.reshape(zero.shape) for (site, (zero, one)), part in units}


def log_density(program: DomainProgram, guide: AutoLaplaceApproximation) -> Tensor:
    """Return log P(choices, latents) at the guide's point, in nats."""
    at = pyro.poutine.trace(guide).get_trace()
    return pyro.poutine.trace(pyro.poutine.replay(program, trace=at)).get_trace().log_prob_sum()


def latents_of(program: DomainProgram, guide: AutoLaplaceApproximation) -> dict[str, Tensor]:
    """Return the latents by site at a draw of a guide."""
    at = pyro.poutine.trace(guide).get_trace()
    with pyro.poutine.replay(trace=at):
        return {site: value.detach() for site, value in program.latents().items()}


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Take attention's plain form: the fused one has no second derivative."""
    with sdpa_kernel(SDPBackend.MATH), pyro.validation_enabled(False):
        yield


def spreads(program: DomainProgram, mode: Mode) -> dict[str, Tensor]:
    """Return one over the root of the curvature along each coordinate at the mode, by site, in its own units.

    Exact for S; of the wide sites estimated from ``_PROBES`` random directions each (Hutchinson), as is enough to
    choose units.
    """
    start = program.start(mode.values)
    names = list(start)
    generator = torch.Generator().manual_seed(0)
    with twice_differentiable():
        leaves = [start[name].detach().requires_grad_(True) for name in names]
        data = dict(zip(names, leaves, strict=True))
        value = pyro.poutine.trace(pyro.poutine.condition(program, data=data)).get_trace().log_prob_sum()
        slope = torch.autograd.grad(-value, leaves, create_graph=True)
        found = {}
        for site, leaf, gradient in zip(program.sites, leaves, slope, strict=True):
            probes = _probes(leaf, generator)
            bends = [torch.autograd.grad(gradient, leaf, probe, retain_graph=True)[0] * probe for probe in probes]
            curvature = torch.stack(bends).mean(0) * (leaf.numel() if len(bends) == leaf.numel() else 1)
            # In units of the prior a Gaussian one adds 1: an estimate far below is an accident of the probes.
            found[site] = curvature.clamp_min(0.5).rsqrt() * program.units[site][1]
    return found


def _probes(leaf: Tensor, generator: torch.Generator) -> Tensor:
    """Return directions ``(n, *leaf.shape)``: every coordinate of a narrow site, random signs of a wide one."""
    if leaf.numel() <= _PROBES:
        return torch.eye(leaf.numel(), dtype=leaf.dtype, device=leaf.device).reshape(-1, *leaf.shape)
    signs = torch.randint(0, 2, (_PROBES, *leaf.shape), generator=generator)
    return (2 * signs - 1).to(leaf)
