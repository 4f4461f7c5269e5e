"""Causal reports of a trained model: dials, effects, uncertainty and drift; every name is loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prerec_pyro.causal.arms import Arm, default_arms
    from prerec_pyro.causal.dial import Dial, popularity_dial
    from prerec_pyro.causal.drift.drift import Drift, drift_report
    from prerec_pyro.causal.effect import Effect, effect_report
    from prerec_pyro.causal.measurement.measurement import Measurement
    from prerec_pyro.causal.reliability_curves import reliability
    from prerec_pyro.causal.uncertainty import domain_draws, uncertain_lists

_MODULES = {
    "Arm": "arms",
    "Dial": "dial",
    "Drift": "drift.drift",
    "Effect": "effect",
    "Measurement": "measurement.measurement",
    "default_arms": "arms",
    "domain_draws": "uncertainty",
    "drift_report": "drift.drift",
    "effect_report": "effect",
    "popularity_dial": "dial",
    "reliability": "reliability_curves",
    "uncertain_lists": "uncertainty",
}

__all__ = [
    "Arm",
    "Dial",
    "Drift",
    "Effect",
    "Measurement",
    "default_arms",
    "domain_draws",
    "drift_report",
    "effect_report",
    "popularity_dial",
    "reliability",
    "uncertain_lists",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
