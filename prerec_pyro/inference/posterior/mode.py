"""Mode of a domain's posterior given its whole log, and the width of the posterior at the mode."""

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
from prerec_pyro.inference.posterior.program import DomainProgram, LatentProgram, Values
from prerec_pyro.inference.posterior.subsample import LogSample
from prerec_pyro.inference.posterior.traces import log_prob_sum

logger = logging.getLogger(__name__)

MAX_ROUNDS = 12
# The mode is found when a round gains fewer nats than this constant plus this many per dimension. Both are small
# beside dimension / 2, the nats that the width of the posterior is worth.
TOLERANCE, TOLERANCE_PER_DIMENSION = 0.05, 0.001
MAX_HELD_SCORES = 100_000_000
"""Most scores, of the queries of a log times its items, of a log whose density is maximised whole."""
_MAX_STEPS = 40
_NUM_PROBES = 16
_MEMORY = 5  # rounds that Anderson mixing combines


@dataclass(frozen=True, eq=False)
class Mode:
    """The point at which the density of a program is highest.

    Attributes
    ----------
    guide
        Pyro's guide with a point at the mode; `laplace_approximation` is its next step.
    values
        Site → value at the mode.
    rounds
        Number of passes over the whole log that computed its gradient; 0 if the density is evaluated on all of it.
    last_gain
        Nats that the last round gained: how far from the mode that round began.
    """

    guide: AutoLaplaceApproximation
    values: dict[str, Tensor]
    rounds: int
    last_gain: float


def find_mode(program: DomainProgram, sample: LogSample, start: Values) -> Mode:
    """Return the mode given the whole log, and leave the program with the density around it.

    Each round maximises the density of the evaluated part of the log. The gradient over the whole log then gives the
    linear term that this density lacks. Rounds repeat until one gains next to nothing. They are combined by Anderson
    mixing (1965). A step that lowers the density of the whole log is halved. Where the rounds do not converge, as the
    part is unlike the whole, the density of the whole log is maximised, if it is small enough to be held in memory.

    Parameters
    ----------
    program
        The program of the domain; its batches and its linear term are set.
    sample
        Queries of the log that are given, and those that the density is evaluated on.
    start
        Site → where to start.

    Raises
    ------
    InputError
        If the density is not finite, or the rounds do not converge.
    """
    device = program.device
    evaluated = [program.ready(batch.to(device)) for batch in sample.batches(sample.evaluated)]
    values = {site: start[site].to(program.dtype).detach() for site in program.sites}
    if sample.num_evaluated == sample.num_given:
        program.observe(evaluated, 1.0, {}, {})
        guide, values, _ = maximize(program, values)
        return Mode(guide, values, 0, 0.0)
    tolerance = TOLERANCE + TOLERANCE_PER_DIMENSION * sum(value.numel() for value in values.values())
    rounds: list[tuple[Tensor, Tensor]] = []
    best, best_density = values, -float("inf")
    for number in range(1, MAX_ROUNDS + 1):
        all_given = (program.ready(batch.to(device)) for batch in sample.batches(sample.given))
        fit, slope, _ = program.gradient(values, all_given)
        density = fit + program.log_prior(values)
        if density < best_density - tolerance:  # the step was too long
            values = {site: (best[site] + values[site]) / 2 for site in values}
            rounds.clear()
            continue
        best, best_density = values, density
        part = program.gradient(values, evaluated)[1]
        missing = {site: slope[site] - sample.weight * part[site] for site in slope}
        program.observe(evaluated, sample.weight, values, missing)
        guide, end, gain = maximize(program, values)
        logger.info("mode: round %d gained %.2f nats", number, gain)
        if gain < tolerance:
            return Mode(guide, end, number, gain)
        rounds.append((_to_vector(program, values), _to_vector(program, end)))
        values = _from_vector(program, _anderson_mixed(rounds[-_MEMORY:]))
    if sample.num_given * sample.encoded.num_items > MAX_HELD_SCORES:
        raise InputError(
            f"the mode was not found in {MAX_ROUNDS} rounds: {sample.num_evaluated:,} evaluated queries are too few to "
            f"represent {sample.num_given:,}; evaluate more queries, or give a smaller part of the log"
        )
    program.observe([program.ready(batch.to(device)) for batch in sample.batches(sample.given)], 1.0, {}, {})
    values, gain = best, tolerance
    while gain >= tolerance:
        guide, values, gain = maximize(program, values)
    return Mode(guide, values, MAX_ROUNDS, gain)


def maximize(program: LatentProgram, values: Values) -> tuple[AutoLaplaceApproximation, dict[str, Tensor], float]:
    """Return a point guide at the maximum of the density, the latents there, and the nats gained since `values`.

    Raises
    ------
    InputError
        If the density is not finite.
    """
    guide = AutoLaplaceApproximation(program, init_loc_fn=init_to_value(values=program.start(values)))
    with pyro.validation_enabled(False), torch.no_grad():
        guide()  # creates its parameter
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
            mode = latents_of(program, guide)
    if not all(bool(torch.isfinite(value).all()) for value in mode.values()):
        raise InputError("the density of the posterior is not finite; the model has diverged, or its prior is too wide")
    return guide, mode, before - after


def _anderson_mixed(rounds: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the combination of the rounds' ends that extrapolates to where starts and ends agree."""
    ends = torch.stack([end for _, end in rounds])  # (num_rounds, n)
    moves = ends - torch.stack([start for start, _ in rounds])
    if len(rounds) == 1:
        return ends[0]
    differences = (moves[:-1] - moves[-1]).mT  # (n, num_rounds - 1)
    share = torch.linalg.lstsq(differences, -moves[-1:].mT, driver="gelsd").solution[:, 0]
    return ends[-1] + (ends[:-1] - ends[-1]).mT @ share


def _to_vector(program: LatentProgram, values: Values) -> Tensor:
    """Return latents in the program's units as one vector, ``(n,)`` float64."""
    return torch.cat([value.flatten() for value in program.start(values).values()]).double()


def _from_vector(program: DomainProgram, vector: Tensor) -> dict[str, Tensor]:
    """Return the latents by site; the inverse of `_to_vector`."""
    parts = vector.to(program.dtype).split([zero.numel() for zero, _ in program.units.values()])
    units = zip(program.units.items(), parts, strict=True)
    return {site: zero + one * part.reshape(zero.shape) for (site, (zero, one)), part in units}


def log_density(program: LatentProgram, guide: AutoLaplaceApproximation) -> Tensor:
    """Return log P(choices, latents) at the guide's point in nats, a scalar."""
    point = pyro.poutine.trace(guide).get_trace()
    return log_prob_sum(pyro.poutine.trace(pyro.poutine.replay(program, trace=point)).get_trace())


def latents_of(program: LatentProgram, guide: AutoLaplaceApproximation) -> dict[str, Tensor]:
    """Return the latents by site at a draw of a guide."""
    draw = pyro.poutine.trace(guide).get_trace()
    with pyro.poutine.replay(trace=draw):
        return {site: value.detach() for site, value in program.latents().items()}


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Use the plain implementation of attention: the fused one has no second derivative."""
    with sdpa_kernel(SDPBackend.MATH), pyro.validation_enabled(False):
        yield


def posterior_widths(program: LatentProgram, mode: Mode) -> dict[str, Tensor]:
    """Return the width of the posterior along each coordinate at the mode, by site, in the site's own units.

    A width is one over the square root of the curvature. It is exact for narrow sites such as S. For wide sites it is
    estimated from ``_NUM_PROBES`` random directions (Hutchinson), which is enough to choose units.
    """
    start = program.start(mode.values)
    names = list(start)
    generator = torch.Generator().manual_seed(0)
    with twice_differentiable():
        leaves = [start[name].detach().requires_grad_(True) for name in names]
        data = dict(zip(names, leaves, strict=True))
        value = log_prob_sum(pyro.poutine.trace(pyro.poutine.condition(program, data=data)).get_trace())
        slope = torch.autograd.grad(-value, leaves, create_graph=True)
        widths = {}
        for site, leaf, gradient in zip(program.sites, leaves, slope, strict=True):
            probes = _probes(leaf, generator)
            bends = [torch.autograd.grad(gradient, leaf, probe, retain_graph=True)[0] * probe for probe in probes]
            curvature = torch.stack(bends).mean(0) * (leaf.numel() if len(bends) == leaf.numel() else 1)
            # In units of the prior a Gaussian prior adds 1: an estimate far below that is an accident of the probes.
            widths[site] = curvature.clamp_min(0.5).rsqrt() * program.units[site][1]
    return widths


def _probes(leaf: Tensor, generator: torch.Generator) -> Tensor:
    """Return directions ``(n, *leaf.shape)``: each coordinate of a narrow site, random signs for a wide one."""
    if leaf.numel() <= _NUM_PROBES:
        return torch.eye(leaf.numel(), dtype=leaf.dtype, device=leaf.device).reshape(-1, *leaf.shape)
    signs = torch.randint(0, 2, (_NUM_PROBES, *leaf.shape), generator=generator)
    return (2 * signs - 1).to(leaf)
