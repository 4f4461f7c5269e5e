"""Arrays as safetensors files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as one safetensors file, with the permissions that a new file has in its folder.

    Raises
    ------
    OSError, safetensors.SafetensorError
        If `path` cannot be written.
    """
    path.touch()
    mode = path.stat().st_mode
    save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, path)
    path.chmod(mode)  # safetensors replaces the file by one that only its owner can read
