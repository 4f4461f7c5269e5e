"""Saved models of formats 4 and 5, whose extended graph had one interest and one popularity window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prerec_pyro.models.graphs.config import GraphConfig

LAST_VERSION = 5
_THEN = {"num_interests": 1, "popularity_windows": False}


def upgraded_shapes(shapes: Mapping[str, Any], kind: type[GraphConfig]) -> dict[str, Any]:
    """Return the settings of a saved graph with those that it was not saved with, as the graph was then.

    Parameters
    ----------
    shapes
        Settings from a folder of format 4 or 5; the switches of format 4 are mapped already.
    kind
        Configuration of the graph.

    Examples
    --------
    >>> from prerec_pyro.models.graphs.config import ExtendedConfig, PaperConfig
    >>> upgraded_shapes({"latent_dim": 64}, ExtendedConfig)
    {'num_interests': 1, 'popularity_windows': False, 'latent_dim': 64}
    >>> upgraded_shapes({"latent_dim": 64}, PaperConfig)
    {'latent_dim': 64}
    """
    return {name: value for name, value in _THEN.items() if name in kind.model_fields} | dict(shapes)
