"""Ground truth of a simulated domain, stored with it so that tests can check what a model recovers."""

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
    """Latent values that generated one domain; events and items are numbered as in the `Domain`.

    Parameters
    ----------
    D
        ``(latent_dim,)`` latent of the domain.
    domain_to_item
        ``(latent_dim, latent_dim)`` A, the same in all domains: V_j = item_mean_j + A D + noise.
    item_mean
        ``(num_items, latent_dim)`` meaning of the texts of the items.
    V
        ``(num_items, latent_dim)`` latents of the items.
    U
        ``(num_interactions, latent_dim)`` latent U of each event.
    slot
        ``(num_interactions,)`` time slot of each event: its day, counted from the first day of the log.
    popularity_score
        ``(num_slots, num_items)`` Z_j·W_z.
    trend
        ``(num_slots, num_items)`` part of Z_j·W_z that does not depend on F_j.
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
        """Return the true logits β U·V + Z·W_z of R at some events, ``(len(events), num_items)`` float32.

        Parameters
        ----------
        events
            Positions in the events of the domain.
        popularity
            Adds Z·W_z; without it, the logits are those of an oracle that knows only the match of U and V.
        """
        logits = match_logits(self.U[events], self.V, self.sharpness)
        return logits + self.popularity_score[self.slot[events]] if popularity else logits


def match_logits(U: np.ndarray, V: np.ndarray, sharpness: float) -> np.ndarray:
    """Return β U·V, ``(num_events, num_items)`` float32, of ``(num_events, dim)`` and ``(num_items, dim)``."""
    return np.float32(sharpness) * (U @ V.T)


def truth_path(folder: str | Path, name: str) -> Path:
    """Return the path of the ground truth of domain `name`, next to the folder of the domain."""
    return Path(folder) / f"{name}.truth.safetensors"


def save_truth(truth: GroundTruth, path: str | Path) -> None:
    """Write `truth` as safetensors, completely or not at all.

    Raises
    ------
    InputError
        If `path` cannot be written.
    """
    path = Path(path)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.partial"
    try:
        try:
            write_tensors(temporary, {f.name: getattr(truth, f.name) for f in fields(GroundTruth)})
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path}: cannot be written ({error}); name another folder") from error


def load_truth(path: str | Path) -> GroundTruth:
    """Return a saved ground truth.

    Raises
    ------
    InputError
        If the file is missing, damaged or no ground truth of a simulated domain.
    """
    try:
        arrays = load_file(path)
        popularity_weight, sharpness = (float(arrays.pop(name).item()) for name in ("popularity_weight", "sharpness"))
        return GroundTruth(**arrays, popularity_weight=popularity_weight, sharpness=sharpness)
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as the ground truth of a simulated domain ({error}); expected a file written by "
            "`prerec-pyro data simulate`"
        ) from error
