"""Markov chains through a domain's posterior: Pyro's NUTS, with the statistics that convergence checks need."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from pyro.infer import MCMC, NUTS
from torch import Tensor

from prerec_pyro.inference.posterior.mode import Mode, posterior_widths
from prerec_pyro.inference.posterior.program import LatentProgram

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Chains:
    """Draws of NUTS and their statistics.

    Attributes
    ----------
    points
        Site of the program, under the name that guides use → ``(num_chains, num_draws, …)``.
    energy
        ``(num_chains, num_draws)`` energy at the start of each trajectory, in nats.
    diverging
        ``(num_chains, num_draws)`` bool, whether the trajectory diverged.
    """

    points: dict[str, Tensor]
    energy: Tensor
    diverging: Tensor


class RecordedNUTS(NUTS):
    """NUTS that records the energy at the start of each trajectory; BFMI is computed from it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.energies: list[float] = []

    def _sample_r(self, name: str) -> tuple[dict, dict]:
        drawn, unscaled = super()._sample_r(name)
        # Pyro also draws momenta while it searches a step size, when there is no state yet.
        if name.startswith("r_t=") and self._potential_energy_last is not None:
            self.energies.append(float(self._kinetic_energy(unscaled) + self._potential_energy_last))
        return drawn, unscaled


def run_chains(
    program: LatentProgram, mode: Mode, *, num_chains: int, num_draws: int, num_warmup: int, seed: int
) -> Chains:
    """Return chains that start around the mode, two posterior widths apart; they run one after the other.

    Parameters
    ----------
    program
        The program. Its units are set to the mode and the width of each coordinate.
    mode
        From `find_mode`.
    num_chains
        Number of chains.
    num_draws
        Draws of each chain that are kept.
    num_warmup
        Draws of each chain before those, which adapt step size and masses.
    seed
        Seed of starts and draws.
    """
    width = posterior_widths(program, mode)
    for site, value in mode.values.items():
        program.units[site] = (value, width[site])
    at_mode = program.start(mode.values)
    points, energy, diverging = [], [], []
    for chain in range(num_chains):
        pyro.set_rng_seed(hash((seed, chain)) % 2**31)
        start = {name: value + 2.0 * torch.randn_like(value) for name, value in at_mode.items()}
        kernel = RecordedNUTS(program, jit_compile=True, ignore_jit_warnings=True)
        with pyro.validation_enabled(False), warnings.catch_warnings():
            # Pyro compiles by torch.jit, which PyTorch plans to replace.
            warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*torch.jit")
            run = MCMC(kernel, num_draws, num_warmup, initial_params=start, disable_progbar=True)
            run.run()
        points.append(run.get_samples())
        energy.append(torch.tensor(kernel.energies[-num_draws:]))
        hits = torch.zeros(num_draws, dtype=torch.bool)
        hits[[draw for draw in run.diagnostics()["divergences"]["chain 0"] if draw < num_draws]] = True
        diverging.append(hits)
        logger.info("chain %d of %d: %d draws, %d divergent", chain + 1, num_chains, num_draws, int(hits.sum()))
    return Chains(
        {name: torch.stack([draws[name] for draws in points]) for name in points[0]},
        torch.stack(energy),
        torch.stack(diverging),
    )
