"""Arrays to ArviZ and back, for the signatures of both version lines."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from prerec_pyro.errors import InputError
from prerec_pyro.inference.posterior import arviz_io

GROUPS = {
    "posterior": {"S": np.arange(24.0).reshape(2, 3, 1, 4)},
    "sample_stats": {"energy": np.ones((2, 3))},
    "log_likelihood": {},
}
DIMS = {"S": ("domain", "effect"), "D": ("domain", "latent")}
COORDS = {"domain": ["shop"], "effect": ["a", "b", "c", "d"]}


def test_a_written_file_has_the_same_groups_coordinates_and_attributes(tmp_path: Path) -> None:
    data = arviz_io.to_arviz(GROUPS, dims=DIMS, coords=COORDS, attrs={"method": "nuts"})
    arviz_io.write(data, tmp_path / "new" / "posterior.nc")
    found = arviz_io.read(tmp_path / "new" / "posterior.nc")
    assert set(found.groups) == {"posterior", "sample_stats"}
    np.testing.assert_array_equal(found.groups["posterior"]["S"], GROUPS["posterior"]["S"])
    assert list(found.coords["effect"]) == COORDS["effect"]
    assert found.attrs["method"] == "nuts"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["posterior.nc"], "nothing partial is left"


def test_files_that_cannot_be_read_or_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        arviz_io.read(tmp_path / "none.nc")
    (tmp_path / "text.nc").write_text("no netCDF")
    with pytest.raises(InputError, match="no posterior in netCDF"):
        arviz_io.read(tmp_path / "text.nc")
    data = arviz_io.to_arviz(GROUPS, dims=DIMS, coords=COORDS, attrs={})
    with pytest.raises(InputError, match="cannot be written"):
        arviz_io.write(data, tmp_path / "text.nc" / "posterior.nc")


def test_arviz_1_gets_its_own_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 1.3 takes one positional dictionary of groups and returns a tree of data sets."""
    received: dict = {}

    def from_dict(data: dict, *, coords: dict, dims: dict) -> dict:
        received.update(data=data, coords=coords, dims=dims)
        return {name: SimpleNamespace(attrs={}) for name in data}

    monkeypatch.setattr(arviz_io, "arviz", lambda: SimpleNamespace(__version__="1.3.0", from_dict=from_dict))
    tree = arviz_io.to_arviz(GROUPS, dims=DIMS, coords=COORDS, attrs={"method": "nuts"})
    assert set(received["data"]) == {"posterior", "sample_stats"}, "empty groups are left out"
    assert received["dims"] == {"S": ["domain", "effect"]}, "only those of variables that occur"
    assert list(received["coords"]["effect"]) == COORDS["effect"]
    assert tree["posterior"].attrs["method"] == "nuts"
