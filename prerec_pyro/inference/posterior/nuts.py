"""Markov chains through a domain's posterior: Pyro's NUTS, with what is needed to judge them."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from pyro.infer import MCMC, NUTS
from torch import Tensor

from prerec_pyro.inference.posterior.mode import Mode, spreads
from prerec_pyro.inference.posterior.program import DomainProgram

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Chains:
    """What NUTS gave.

    Attributes
    ----------
    points
        Site of the program, as the guides see it → ``(num_chains, num_draws, …)``.
    energy
        ``(num_chains, num_draws)`` energy at the start of each trajectory.
    diverging
        ``(num_chains, num_draws)`` bool.
    """

    points: dict[str, Tensor]
    energy: Tensor
    diverging: Tensor


class RecordedNUTS(NUTS):
    """NUTS that keeps the energy at the start of each trajectory, which BFMI is made of."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.energies: list[float] = []

    def _sample_r(self, name: str) -> tuple[dict, dict]:
        drawn, unscaled = super()._sample_r(name)
        # Step sizes are searched before there is a state.
        if name.startswith("r_t=") and self._potential_energy_last is not None:
            self.energies.append(float(self._kinetic_energy(unscaled) + self._potential_energy_last))
        return drawn, unscaled


def run_chains(
    program: DomainProgram, mode: Mode, *, num_chains: int, num_draws: int, num_warmup: int, seed: int
) -> Chains:
    """Return chains from starts around the mode, about two spreads wide, one after the other.

    Parameters
    ----------
    program
        Its units become the mode and the spread of each coordinate.
    mode
        From `find_mode`.
    num_chains, num_draws, num_warmup
        Chains, and the draws of each that are kept and that adapt step size and masses.
    seed
        Of everything.
    """
    spread = spreads(program, mode)
    for site, value in mode.values.items():
        program.units[site] = (value, spread[site])
    at_mode = program.start(mode.values)
    points, energy, diverging = [], [], []
    for chain in range(num_chains):
        pyro.set_rng_seed(hash((seed, chain)) % 2**31)
        start = {name: value + 2.0 * torch.randn_like(value) for name, value in at_mode.items()}
        kernel = RecordedNUTS(program, jit_compile=True, ignore_jit_warnings=True)
        with pyro.validation_enabled(False), warnings.catch_warnings():
            # Pyro compiles by torch.jit, which PyTorch means to replace.
            warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*torch.jit")
            run = MCMC(kernel, num_draws, num_warmup, initial_params=start, disable_progbar=True)
            run.run()
        points.append(run.get_samples())
        energy.append(torch.tensor(kernel.energies[-num_draws:]))
        hits = torch.zeros(num_draws, dtype=torch.bool)
        hits[[at for at in run.diagnostics()["divergences"]["chain 0"] if at < num_draws]] = True
        diverging.append(hits)
        logger.info("chain %d of %d: %d draws, %d divergent", chain + 1, num_chains, num_draws, int(hits.sum()))
    return Chains(
        {name: torch.stack([one[name] for one in points]) for name in points[0]},
        torch.stack(energy),
        torch.stack(diverging),
    )
