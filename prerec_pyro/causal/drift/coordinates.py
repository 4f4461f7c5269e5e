"""Coordinates in which two parts of a log are compared: S, and D along a few directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from prerec_pyro.causal.drift import log_slice
from prerec_pyro.causal.protocol import CausalModel
from prerec_pyro.data.batching.windows import Windows
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.inference.calibration.stores import prior_of_store
from prerec_pyro.inference.posterior.fit import point_estimates
from prerec_pyro.inference.posterior.program import DomainProgram
from prerec_pyro.inference.prior.draws import prior_draws
from prerec_pyro.models.likelihoods.repeat_mixture import EFFECTS

_STEP = 0.25  # of the Hessian's central differences, in prior standard deviations
_PRIOR_DRAWS = 1024
_MAX_STEPS = 30
_FLAT = 0.1  # gradient at a mode, in nats per unit of S
_DOUBLE_UP_TO = 5000  # items: smaller catalogues use double precision


@dataclass(frozen=True, eq=False)
class Coordinates:
    """A point of (D, S) and the coordinates around it.

    Attributes
    ----------
    program
        P(choices | D, S), with networks and items at their MAP.
    encoded
        The domain.
    values
        The point where the coordinates are 0: ``D`` (1, B) and ``S`` (1, num_effects).
    basis
        ``(directions, B)`` orthonormal directions of D.
    unit
        ``(size,)`` float64 prior standard deviations of the coordinates.
    """

    program: DomainProgram
    encoded: EncodedDomain
    values: Mapping[str, Tensor]
    basis: Tensor
    unit: Tensor

    @classmethod
    def around_model(cls, model: CausalModel, encoded: EncodedDomain, directions: int) -> Coordinates:
        """Return the coordinates around the D and S that the model uses for a domain.

        D moves U. Its directions are the principal directions of the item vectors, because a move of U along them
        changes the choices most.

        Parameters
        ----------
        model
            A trained model.
        encoded
            The domain.
        directions
            Number of directions of D.

        Raises
        ------
        InputError
            If there are fewer directions than this.
        """
        graph, sources = model.graph.eval(), model.sources
        if not 0 <= directions <= graph.config.latent_dim:
            raise InputError(f"directions is {directions}, expected 0 to {graph.config.latent_dim}")
        row = sources.row(encoded.domain)
        nodes = {} if row is None else sources.nodes_of(encoded.domain, row)
        known = {name: value for name, value in nodes.items() if name == "V_decentered"}
        prior_S = prior_of_store(graph, sources, encoded)
        points = point_estimates(graph, sources, encoded, prior_S)
        values = {site: value.detach() for site, value in points.items()}
        known |= {site: value for site, value in values.items() if site not in ("D", "S")}
        vectors = model.scorer(encoded).item_vectors_at_end()
        drawn = prior_draws(graph, _PRIOR_DRAWS, nodes=("D", "S"), sampling="monte-carlo")
        width = drawn["S"].std(0) if prior_S is None else drawn["S"].std(0) * prior_S.std.to(drawn["S"])
        unit = torch.cat([width, drawn["D"].std().expand(directions)]).double()
        dtype = torch.float64 if encoded.num_items < _DOUBLE_UP_TO else torch.float32
        program = DomainProgram(graph, known, dtype, prior_S)
        values = {site: values[site].to(program.dtype) for site in "DS"}
        return cls(program, encoded, values, principal_directions(vectors, directions), unit)

    @property
    def names(self) -> list[str]:
        """Names of the coordinates."""
        effects = EFFECTS[: self._num_effects]
        return [f"S {name}" for name in effects] + [f"D {number + 1}" for number in range(len(self.basis))]

    @property
    def _num_effects(self) -> int:
        """Number of coordinates of S, which come first."""
        return self.values["S"].shape[-1]

    @property
    def center(self) -> Tensor:
        """S, and D along the directions, where the coordinates are 0: ``(size,)`` float64."""
        return self.project(self.values["S"], self.values["D"])[0]

    def project(self, S: Tensor, D: Tensor) -> Tensor:
        """Return S and D along the directions, ``(n, size)`` float64, from ``(n, num_effects)`` and ``(n, B)``."""
        return torch.cat([S.double().cpu(), D.double().cpu() @ self.basis.double().mT], dim=1)

    def shifted(self, shift: Tensor) -> Coordinates:
        """Return the coordinates around the point at `shift`, ``(size,)``."""
        return replace(self, values=self._values_at(shift))

    def gradient(self, shift: Tensor, windows: Windows) -> tuple[float, Tensor]:
        """Return the log-likelihood of some windows at `shift`, ``(size,)``, and its gradient, ``(size,)`` float64."""
        ready = (self.program.ready(batch) for batch in log_slice.batches(self.encoded, windows))
        value, slope, _ = self.program.gradient(self._values_at(shift), ready)
        return value, self.project(slope["S"], slope["D"])[0]

    def group_gradients(self, windows: Windows, groups: Sequence[np.ndarray]) -> Tensor:
        """Return the gradient at 0 of each group of windows, ``(num_groups, size)``.

        Parameters
        ----------
        windows
            Queries of a part of the log.
        groups
            Rows of `windows` in each group.
        """
        zero = torch.zeros(len(self.unit))
        return torch.stack([self.gradient(zero, windows[group])[1] for group in groups])

    def hessian(self, windows: Windows) -> Tensor:
        """Return the negative Hessian at 0 by central differences, ``(size, size)``, with no eigenvalue below 0."""
        columns = []
        for place, unit in enumerate(self.unit.tolist()):
            step = torch.zeros(len(self.unit), dtype=torch.float64)
            step[place] = _STEP * unit
            ends = [self.gradient(sign * step, windows)[1] for sign in (-1, 1)]
            columns.append((ends[0] - ends[1]) / (2 * step[place]))
        values, vectors = torch.linalg.eigh(_symmetric(torch.stack(columns)))
        return (vectors * values.clamp_min(0)) @ vectors.mT

    def at_mode(self, windows: Windows) -> Coordinates:
        """Return the coordinates around the posterior mode given some windows.

        BFGS starts at 0 with the curvature there. The prior is taken as a Normal with its standard deviations.
        """

        def loss(shift: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = self._log_posterior(torch.from_numpy(shift), windows)
            return -value, -slope.numpy()

        curvature = self.hessian(windows) + torch.diag(self.unit**-2)
        options = {"maxiter": _MAX_STEPS, "gtol": _FLAT, "hess_inv0": _symmetric(torch.linalg.inv(curvature)).numpy()}
        found = optimize.minimize(loss, np.zeros(len(self.unit)), jac=True, method="BFGS", options=options)
        return self.shifted(torch.from_numpy(found.x))

    def _log_posterior(self, shift: Tensor, windows: Windows) -> tuple[float, Tensor]:
        value, slope = self.gradient(shift, windows)
        place = (self.center + shift) / self.unit
        return value - 0.5 * float(place @ place), slope - place / self.unit

    def _values_at(self, shift: Tensor) -> dict[str, Tensor]:
        values = dict(self.values)
        values["S"] = values["S"] + shift[: self._num_effects].to(values["S"])
        values["D"] = values["D"] + shift[self._num_effects :].to(values["D"]) @ self.basis.to(values["D"])
        return values


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.mT) / 2


def principal_directions(vectors: Tensor, number: int) -> Tensor:
    """Return the orthonormal directions of largest variance of some vectors, ``(number, B)``.

    Parameters
    ----------
    vectors
        ``(num_items, B)``.
    number
        Number of directions.
    """
    centered = (vectors - vectors.mean(0)).double()
    return torch.linalg.eigh(centered.mT @ centered).eigenvectors.flip(1).mT[:number].float().cpu()
