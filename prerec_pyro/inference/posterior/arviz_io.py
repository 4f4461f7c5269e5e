"""Arrays to ArviZ and back: one converter for its 0.x and 1.x lines, which differ."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from prerec_pyro.errors import InputError

Groups = Mapping[str, Mapping[str, np.ndarray]]


def arviz() -> ModuleType:
    """Return the library, imported on first use: that takes seconds."""
    with warnings.catch_warnings():
        # 0.23 announces 1.0 once a day; this module reads both.
        warnings.filterwarnings("ignore", category=FutureWarning, message="\nArviZ is undergoing")
        import arviz as library
    return library


def is_new(library: ModuleType) -> bool:
    """Return whether ArviZ is of the 1.x line."""
    return int(library.__version__.split(".")[0]) >= 1


def to_arviz(
    groups: Groups,
    *,
    dims: Mapping[str, Sequence[str]],
    coords: Mapping[str, Sequence[Any]],
    attrs: Mapping[str, Any],
) -> Any:
    """Return ``InferenceData`` (ArviZ 0.x) or ``DataTree`` (1.x).

    Parameters
    ----------
    groups
        Group → variable → array; ``(chain, draw, …)`` but in observed_data and constant_data.
    dims
        Variable → names of its dimensions after chain and draw.
    coords
        Dimension → its coordinates.
    attrs
        Of the posterior group: numbers and strings, as netCDF holds no others.
    """
    library = arviz()
    used = {name for group in groups.values() for name in group}
    dims = {name: list(names) for name, names in dims.items() if name in used}
    settings = {"coords": {name: np.asarray(values) for name, values in coords.items()}, "dims": dims}
    plain = {group: dict(arrays) for group, arrays in groups.items() if arrays}
    with warnings.catch_warnings():
        # More draws than there are queries, say, is no mistake here.
        warnings.filterwarnings("ignore", message="More chains")
        data = library.from_dict(plain, **settings) if is_new(library) else library.from_dict(**plain, **settings)
    data["posterior"].attrs.update(attrs)
    return data


def read(path: Path) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, np.ndarray], dict[str, Any]]:
    """Return groups, coordinates and attributes of a file that `write` wrote.

    Raises
    ------
    InputError
        If it is missing or no netCDF file of a posterior.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; expected a posterior that was saved")
    try:
        data = arviz().from_netcdf(str(path))
        names = [name for name in GROUPS if name in _groups(data)]
        sets = {name: _dataset(data, name) for name in names}
        groups = {name: {str(k): v.values for k, v in one.data_vars.items()} for name, one in sets.items()}
        coords = {str(k): v.values for one in sets.values() for k, v in one.coords.items()}
        attrs = dict(sets["posterior"].attrs)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: is no posterior in netCDF ({error}); write it again") from error
    return groups, coords, attrs


def write(data: Any, path: Path) -> None:
    """Write what `to_arviz` gave as netCDF, beside and then in place.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    beside = path.parent / f".{path.name}.partial"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        data.to_netcdf(str(beside), engine="h5netcdf")
        beside.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); name another file") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def forest(data: Any, sites: Sequence[str], interval: float) -> Any:
    """Return what ArviZ's ``plot_forest`` returns for some variables of `to_arviz`, with one interval."""
    library = arviz()
    if is_new(library):
        return library.plot_forest(data, var_names=list(sites), combined=True, ci_probs=(0.5, interval))
    return library.plot_forest(data, var_names=list(sites), combined=True, hdi_prob=interval)


GROUPS = (
    *("posterior", "sample_stats", "log_likelihood", "posterior_predictive"),
    *("prior", "observed_data", "constant_data"),
)


def _groups(data: Any) -> list[str]:
    return [str(name).strip("/") for name in (data.groups() if callable(data.groups) else data.groups)]


def _dataset(data: Any, group: str) -> Any:
    found = data[group]
    return found.dataset if hasattr(found, "dataset") else found
