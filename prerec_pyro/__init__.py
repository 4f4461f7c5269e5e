"""Pre-trained causal recommendation: zero-shot on the first day, better as data arrives.

Re-exports only, loaded on first use, so that ``import prerec_pyro`` and ``prerec-pyro --help`` are instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prerec_pyro.causal.dial import Dial, popularity_dial
    from prerec_pyro.causal.drift.drift import Drift, drift
    from prerec_pyro.causal.effect import Arm, Effect, effect_report
    from prerec_pyro.causal.measurement.measurement import Measurement
    from prerec_pyro.causal.reliability import reliability
    from prerec_pyro.causal.uncertainty import uncertain_lists
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.errors import InputError
    from prerec_pyro.models.graphs.config import ExtendedConfig, PaperConfig, UnconfoundedConfig
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
    )
    from prerec_pyro.recommenders.backdoor_adjusted import BackdoorAdjustedPreRec
    from prerec_pyro.recommenders.calibrated import CalibratedPreRec
    from prerec_pyro.recommenders.posterior_mean import PosteriorMeanPreRec
    from prerec_pyro.recommenders.prerec import PreRec
    from prerec_pyro.recommenders.prior_sensitivity import prior_sensitivity
    from prerec_pyro.recommenders.registry import load_model, new_model
    from prerec_pyro.recommenders.text_baseline import TextBaseline
    from prerec_pyro.training.trainer import TrainConfig

_HOME = {
    "BackdoorAdjustedPreRec": "recommenders.backdoor_adjusted",
    "Arm": "causal.effect",
    "CalibratedPreRec": "recommenders.calibrated",
    "Dial": "causal.dial",
    "Domain": "data.domain",
    "GaussianMixture": "models.priors",
    "Drift": "causal.drift.drift",
    "Effect": "causal.effect",
    "ExtendedConfig": "models.graphs.config",
    "PaperConfig": "models.graphs.config",
    "UnconfoundedConfig": "models.graphs.config",
    "HalfCauchy": "models.priors",
    "HalfNormal": "models.priors",
    "Horseshoe": "models.priors",
    "PosteriorMeanPreRec": "recommenders.posterior_mean",
    "InputError": "errors",
    "Laplace": "models.priors",
    "LogNormal": "models.priors",
    "Measurement": "causal.measurement.measurement",
    "Normal": "models.priors",
    "PreRec": "recommenders.prerec",
    "Priors": "models.priors",
    "StudentT": "models.priors",
    "TextBaseline": "recommenders.text_baseline",
    "TrainConfig": "training.trainer",
    "drift": "causal.drift.drift",
    "effect_report": "causal.effect",
    "load_model": "recommenders.registry",
    "new_model": "recommenders.registry",
    "prior_sensitivity": "recommenders.prior_sensitivity",
    "popularity_dial": "causal.dial",
    "reliability": "causal.reliability",
    "uncertain_lists": "causal.uncertainty",
}

__all__ = [
    "Arm",
    "BackdoorAdjustedPreRec",
    "CalibratedPreRec",
    "Dial",
    "Domain",
    "Drift",
    "Effect",
    "ExtendedConfig",
    "GaussianMixture",
    "HalfCauchy",
    "HalfNormal",
    "Horseshoe",
    "InputError",
    "Laplace",
    "LogNormal",
    "Measurement",
    "Normal",
    "PaperConfig",
    "PosteriorMeanPreRec",
    "PreRec",
    "Priors",
    "StudentT",
    "TextBaseline",
    "TrainConfig",
    "UnconfoundedConfig",
    "drift",
    "effect_report",
    "load_model",
    "new_model",
    "popularity_dial",
    "prior_sensitivity",
    "reliability",
    "uncertain_lists",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
