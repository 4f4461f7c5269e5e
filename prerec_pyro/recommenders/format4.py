"""Saved models of format 4, mapped to the current format.

In format 4 switches chose the graph, and the constants of a recipe were settings of training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from prerec_pyro.errors import InputError
from prerec_pyro.models.graphs.registry import GRAPHS
from prerec_pyro.training.loop_config import LoopConfig
from prerec_pyro.training.recipes import TrainConfig

# Graph → value of each switch; None if the graph does not read the switch.
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


def upgraded_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under their current names."""
    return {_MOVED.get(name, name): value for name, value in weights.items()}


def upgraded_config(config: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the configuration in the current format.

    Parameters
    ----------
    config
        Configuration of format 4.
    source
        File or folder that it comes from, for messages.

    Raises
    ------
    InputError
        If the switches make none of the three graphs.
    """
    shapes = dict(config["graph"])
    switches = {name: shapes.pop(name) for name in _SWITCHES["extended"]}
    name = _graph_of(switches, source)
    nodes = set(GRAPHS[name].edges)
    nodes |= {"W_d", "W_z"} if "D" in nodes else set()
    return {
        **config,
        "graph": {"name": name, **shapes},
        "training": upgraded_training(config["training"], TrainConfig),
        # Format 4 also kept the settings of nodes that were switched off.
        "priors": {node: prior for node, prior in config["priors"].items() if node in nodes},
        "free": [node for node in config["free"] if node in nodes],
    }


def upgraded_training(training: Mapping[str, Any], kind: type[LoopConfig]) -> dict[str, Any]:
    """Return the settings of training that still are settings; the others are constants of a recipe now."""
    return {name: value for name, value in training.items() if name in kind.model_fields}


def _graph_of(switches: Mapping[str, bool], source: str) -> str:
    """Return the name of the graph that the switches make."""
    differing = {
        name: [switch for switch, value in wanted.items() if value is not None and switches[switch] != value]
        for name, wanted in _SWITCHES.items()
    }
    nearest = min(differing, key=lambda name: len(differing[name]))
    if differing[nearest]:
        odd = ", ".join(f"{switch}={str(switches[switch]).lower()}" for switch in differing[nearest])
        raise InputError(
            f"{source}: was trained with {odd}, which is none of the graphs of this version ({', '.join(_SWITCHES)}; "
            f"the nearest is {nearest}); train the model again, or use the version that wrote it"
        )
    return nearest
