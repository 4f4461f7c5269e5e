"""Conversion of arrays to ArviZ and back, and netCDF files, for both the 0.x and the 1.x line of ArviZ."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from prerec_pyro.errors import InputError

Groups = Mapping[str, Mapping[str, np.ndarray]]
ArvizData: TypeAlias = Any
"""``InferenceData`` of ArviZ 0.x or ``DataTree`` of 1.x; neither library has types."""
GROUPS = (
    *("posterior", "sample_stats", "log_likelihood", "posterior_predictive"),
    *("prior", "observed_data", "constant_data"),
)


class Contents(NamedTuple):
    """The contents of a netCDF file of a posterior.

    Attributes
    ----------
    groups
        Group → variable → array.
    coords
        Dimension → its coordinates.
    attrs
        Attributes of the posterior group.
    """

    groups: dict[str, dict[str, np.ndarray]]
    coords: dict[str, np.ndarray]
    attrs: dict[str, Any]


def arviz() -> ModuleType:
    """Return the library ArviZ; the first import takes seconds, so it waits until it is needed."""
    with warnings.catch_warnings():
        # 0.23 announces 1.0 once a day; this module supports both.
        warnings.filterwarnings("ignore", category=FutureWarning, message="\nArviZ is undergoing")
        import arviz as library
    return library


def is_new(library: ModuleType) -> bool:
    """Return whether ArviZ belongs to the 1.x line."""
    return int(library.__version__.split(".")[0]) >= 1


def to_arviz(
    groups: Groups,
    *,
    dims: Mapping[str, Sequence[str]],
    coords: Mapping[str, Sequence[Any] | np.ndarray],
    attrs: Mapping[str, Any],
) -> ArvizData:
    """Return ``InferenceData`` (ArviZ 0.x) or ``DataTree`` (1.x).

    Parameters
    ----------
    groups
        Group → variable → array, ``(chain, draw, …)`` except in observed_data and constant_data.
    dims
        Variable → names of its dimensions after chain and draw.
    coords
        Dimension → its coordinates.
    attrs
        Attributes of the posterior group: numbers and strings, the types that netCDF stores.

    Examples
    --------
    >>> import numpy as np
    >>> data = to_arviz({"posterior": {"x": np.zeros((2, 5, 3))}}, dims={"x": ["place"]}, coords={}, attrs={})
    >>> data["posterior"]["x"].dims
    ('chain', 'draw', 'place')
    """
    library = arviz()
    used = {name for group in groups.values() for name in group}
    settings = {
        "coords": {name: np.asarray(values) for name, values in coords.items()},
        "dims": {name: list(names) for name, names in dims.items() if name in used},
    }
    filled = {group: dict(arrays) for group, arrays in groups.items() if arrays}
    with warnings.catch_warnings():
        # ArviZ takes more chains than draws for a mistake; here it may be intended.
        warnings.filterwarnings("ignore", message="More chains")
        data = library.from_dict(filled, **settings) if is_new(library) else library.from_dict(**filled, **settings)
    data["posterior"].attrs.update(attrs)
    return data


def read(path: Path) -> Contents:
    """Return the contents of a file that `write` wrote.

    Raises
    ------
    InputError
        If the file is missing, or is no netCDF file with a posterior.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; expected a saved posterior")
    try:
        data = arviz().from_netcdf(str(path))
        present = _group_names(data)
        sets = {name: _dataset(data, name) for name in GROUPS if name in present}
        groups = {name: {str(k): v.values for k, v in one.data_vars.items()} for name, one in sets.items()}
        coords = {str(k): v.values for one in sets.values() for k, v in one.coords.items()}
        attrs = dict(sets["posterior"].attrs)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: is no posterior in netCDF ({error}); write it again") from error
    return Contents(groups, coords, attrs)


def write(data: ArvizData, path: Path) -> None:
    """Write the result of `to_arviz` as netCDF, first beside its place and then renamed into it.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    partial = path.parent / f".{path.name}.partial"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        data.to_netcdf(str(partial), engine="h5netcdf")
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); name another file") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def forest(data: ArvizData, sites: Sequence[str], interval: float) -> Any:
    """Return the result of ArviZ's ``plot_forest`` for some variables, chains combined, with one interval."""
    library = arviz()
    if is_new(library):
        return library.plot_forest(data, var_names=list(sites), combined=True, ci_probs=(0.5, interval))
    return library.plot_forest(data, var_names=list(sites), combined=True, hdi_prob=interval)


def _group_names(data: ArvizData) -> list[str]:
    return [str(name).strip("/") for name in (data.groups() if callable(data.groups) else data.groups)]


def _dataset(data: ArvizData, group: str) -> Any:
    """Return the xarray dataset of a group."""
    node = data[group]
    return node.dataset if hasattr(node, "dataset") else node
