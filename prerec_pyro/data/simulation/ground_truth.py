"""What generated a simulated domain, kept beside it so that recovery can be tested."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import safetensors
from safetensors.numpy import load_file

from prerec_pyro.data.safetensors_io import write_tensors
from prerec_pyro.errors import InputError


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """What generated one domain; events and items are numbered as in the `Domain`.

    Parameters
    ----------
    D
        ``(latent_dim,)`` the domain's latent.
    domain_to_item
        ``(latent_dim, latent_dim)`` A, the same in all domains: V_j = item_mean_j + A D + noise.
    item_mean
        ``(num_items, latent_dim)`` what the item's text says.
    V
        ``(num_items, latent_dim)``.
    U
        ``(num_interactions, latent_dim)`` the U that each event was drawn with.
    slot
        ``(num_interactions,)`` day of each event from the first of the log: its time slot.
    popularity_score
        ``(num_slots, num_items)`` Z_j·W_z.
    trend
        ``(num_slots, num_items)`` the part of it that F_j does not say.
    popularity_weight, sharpness
        w_z and β of the `SimulationConfig`.
    """

    D: np.ndarray
    domain_to_item: np.ndarray
    item_mean: np.ndarray
    V: np.ndarray
    U: np.ndarray
    slot: np.ndarray
    popularity_score: np.ndarray
    trend: np.ndarray
    popularity_weight: float
    sharpness: float

    def oracle_logits(self, events: np.ndarray, *, popularity: bool = True) -> np.ndarray:
        """Return ``(len(events), num_items)`` float32 true logits β U·V + Z·W_z of R at the events.

        Parameters
        ----------
        events
            Positions in the domain's events.
        popularity
            Whether to add Z·W_z; without it, what an oracle that knows tastes alone would say.
        """
        logits = match_logits(self.U[events], self.V, self.sharpness)
        return logits + self.popularity_score[self.slot[events]] if popularity else logits


def match_logits(U: np.ndarray, V: np.ndarray, sharpness: float) -> np.ndarray:
    """Return β U·V, ``(num_events, num_items)`` float32, of ``(num_events, dim)`` and ``(num_items, dim)``."""
    return np.float32(sharpness) * (U @ V.T)


def truth_path(folder: str | Path, name: str) -> Path:
    """Return where the truth of domain `name` lies: beside its folder, not in it."""
    return Path(folder) / f"{name}.truth.safetensors"


def save_truth(truth: GroundTruth, path: str | Path) -> None:
    """Write `truth` as safetensors, whole or not at all.

    Raises
    ------
    InputError
        If `path` cannot be written.
    """
    path = Path(path)
    beside = path.parent / f".{path.name}.{uuid.uuid4().hex}.partial"
    try:
        try:
            write_tensors(beside, {f.name: getattr(truth, f.name) for f in fields(GroundTruth)})
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path}: cannot be written ({error}); name another folder") from error


def load_truth(path: str | Path) -> GroundTruth:
    """Return a saved truth.

    Raises
    ------
    InputError
        If the file is missing, damaged or no truth of a simulated domain.
    """
    try:
        arrays = load_file(path)
        scalars = {name: float(arrays.pop(name).item()) for name in ("popularity_weight", "sharpness")}
        return GroundTruth(**arrays, **scalars)
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as the truth of a simulated domain ({error}); expected a file written by "
            "`prerec-pyro data simulate`"
        ) from error
