"""Arrays on disk: the same arrays come back, and a group may read what it may read beside them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load_file

from prerec_pyro.data.safetensors_io import write_tensors


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_file_has_the_mode_of_others(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        (tmp_path / "other").write_text("")
        write_tensors(tmp_path / "a.safetensors", {"a": np.arange(3)})
    finally:
        os.umask(before)
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_arrays_come_back(tmp_path: Path) -> None:
    arrays = {
        "b": np.arange(6, dtype=np.int64).reshape(2, 3).T,
        "a": np.float32([1.5]),
        "empty": np.zeros((0, 4)),
        "scalar": np.array(2),
    }
    write_tensors(tmp_path / "a.safetensors", arrays)
    found = load_file(tmp_path / "a.safetensors")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises((OSError, SafetensorError)):
        write_tensors(tmp_path / "none" / "a.safetensors", {})
