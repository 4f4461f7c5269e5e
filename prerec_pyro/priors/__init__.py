"""The public namespace of priors: `Priors`, the families, the hyperpriors of their scales, and their text form.

Re-exports only, loaded on first use, so that ``import prerec_pyro.priors`` is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prerec_pyro.models.priors import (
        GaussianMixture,
        HalfCauchy,
        HalfNormal,
        Horseshoe,
        Laplace,
        LogNormal,
        Normal,
        Priors,
        StudentT,
        parse,
        to_text,
    )

_HOME = {
    "GaussianMixture": "mixture",
    "HalfCauchy": "hyperpriors",
    "HalfNormal": "hyperpriors",
    "Horseshoe": "families",
    "Laplace": "families",
    "LogNormal": "hyperpriors",
    "Normal": "families",
    "Priors": "node_priors",
    "StudentT": "families",
    "parse": "parsing",
    "to_text": "parsing",
}

__all__ = [
    "GaussianMixture",
    "HalfCauchy",
    "HalfNormal",
    "Horseshoe",
    "Laplace",
    "LogNormal",
    "Normal",
    "Priors",
    "StudentT",
    "parse",
    "to_text",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"prerec_pyro.models.priors.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
