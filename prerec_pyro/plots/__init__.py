"""Pictures: tables in, matplotlib axes out; every name is loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prerec_pyro.plots.causal import plot_dial, plot_drift, plot_effect, plot_reliability
    from prerec_pyro.plots.corpus import plot_scaling, plot_transfer
    from prerec_pyro.plots.evaluation import plot_comparison, plot_curves, plot_popularity
    from prerec_pyro.plots.figures import save
    from prerec_pyro.plots.posterior import plot_calibration, plot_intervals, plot_popularity_check, plot_traces
    from prerec_pyro.plots.priors import plot_prior_predictive, plot_prior_sensitivity

_MODULES = {
    "plot_calibration": "posterior",
    "plot_comparison": "evaluation",
    "plot_curves": "evaluation",
    "plot_dial": "causal",
    "plot_drift": "causal",
    "plot_effect": "causal",
    "plot_intervals": "posterior",
    "plot_popularity": "evaluation",
    "plot_popularity_check": "posterior",
    "plot_prior_predictive": "priors",
    "plot_prior_sensitivity": "priors",
    "plot_reliability": "causal",
    "plot_scaling": "corpus",
    "plot_traces": "posterior",
    "plot_transfer": "corpus",
    "save": "figures",
}

__all__ = [
    "plot_calibration",
    "plot_comparison",
    "plot_curves",
    "plot_dial",
    "plot_drift",
    "plot_effect",
    "plot_intervals",
    "plot_popularity",
    "plot_popularity_check",
    "plot_prior_predictive",
    "plot_prior_sensitivity",
    "plot_reliability",
    "plot_scaling",
    "plot_traces",
    "plot_transfer",
    "save",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
