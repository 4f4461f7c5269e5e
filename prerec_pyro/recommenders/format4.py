"""Saved models of format 4, in which a graph was chosen by switches: mapped to the graph that they make."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from prerec_pyro.errors import InputError
from prerec_pyro.models.graphs.registry import GRAPHS

# Switch → its value in each graph; None where the graph does not read it.
_SWITCHES: dict[str, dict[str, bool | None]] = {
    "extended": {
        "confounders": True,
        "domain_to_item": False,
        "popularity_to_item": False,
        "item_to_user": True,
        "repeats": True,
        "wandering": True,
        "strengths": True,
    },
    "paper": {
        "confounders": True,
        "domain_to_item": True,
        "popularity_to_item": True,
        "item_to_user": None,  # under Z → V a history was read as texts
        "repeats": False,
        "wandering": False,
        "strengths": False,
    },
    "unconfounded": {
        "confounders": False,
        "domain_to_item": None,
        "popularity_to_item": None,
        "item_to_user": False,
        "repeats": False,
        "wandering": False,
        "strengths": None,
    },
}
_MOVED = {f"graph.{name}": f"graph.likelihood.{name}" for name in ("w_h", "w_r", "w_o", "spread")}


def is_format_4(config: Mapping[str, Any]) -> bool:
    """Return whether a saved configuration chooses the graph by switches."""
    return "name" not in config["graph"]


def upgraded(
    weights: Mapping[str, Tensor], config: Mapping[str, Any], folder: Path
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return weights and configuration in the current format.

    Raises
    ------
    InputError
        If the switches make none of the three graphs.
    """
    shapes = dict(config["graph"])
    switches = {name: shapes.pop(name) for name in _SWITCHES["extended"]}
    name = _graph_of(switches, folder)
    own = {_MOVED.get(key, key): value for key, value in weights.items()}
    nodes = set(GRAPHS[name].edges)
    nodes |= {"W_d", "W_z"} if "D" in nodes else set()
    upgraded_config = {
        **config,
        "graph": {"name": name, **shapes},
        # Format 4 also kept the settings of nodes that were switched off.
        "priors": {node: prior for node, prior in config["priors"].items() if node in nodes},
        "free": [node for node in config["free"] if node in nodes],
    }
    return own, upgraded_config


def _graph_of(switches: Mapping[str, bool], folder: Path) -> str:
    differing = {
        name: [switch for switch, value in wanted.items() if value is not None and switches[switch] != value]
        for name, wanted in _SWITCHES.items()
    }
    nearest = min(differing, key=lambda name: len(differing[name]))
    if differing[nearest]:
        odd = ", ".join(f"{switch}={str(switches[switch]).lower()}" for switch in differing[nearest])
        raise InputError(
            f"{folder}: was trained with {odd}, which is none of the graphs of this version ({', '.join(_SWITCHES)}; "
            f"the nearest is {nearest}); train the model again, or use the version that wrote it"
        )
    return nearest
