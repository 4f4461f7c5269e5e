"""Pre-trained causal recommendation: zero-shot on the first day, better as data arrives.

The names below are loaded on first use, so that ``import prerec_pyro`` and ``prerec-pyro --help`` are instant. More
names are in ``prerec_pyro.priors``, ``.causal``, ``.data``, ``.evaluation`` and ``.plots``.

>>> import prerec_pyro
>>> stores = [store.domain for store in prerec_pyro.simulate(num_domains=2, num_items=20, num_users=20)]
>>> stores[0].name
'sim-0'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from prerec_pyro._version import __version__

if TYPE_CHECKING:
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.data.simulation.simulate import simulate
    from prerec_pyro.errors import InputError
    from prerec_pyro.inference.posterior.result import Posterior
    from prerec_pyro.models.graphs.config import ExtendedConfig, PaperConfig, UnconfoundedConfig
    from prerec_pyro.models.priors import Priors
    from prerec_pyro.recommenders.backdoor_adjusted import BackdoorAdjustedPreRec
    from prerec_pyro.recommenders.calibrated import CalibratedPreRec
    from prerec_pyro.recommenders.posterior_mean import PosteriorMeanPreRec
    from prerec_pyro.recommenders.prerec import PreRec
    from prerec_pyro.recommenders.registry import load_model
    from prerec_pyro.recommenders.text_baseline import TextBaseline
    from prerec_pyro.training.recipes import TrainConfig

_HOME = {
    "BackdoorAdjustedPreRec": "recommenders.backdoor_adjusted",
    "CalibratedPreRec": "recommenders.calibrated",
    "Domain": "data.domain",
    "ExtendedConfig": "models.graphs.config",
    "InputError": "errors",
    "PaperConfig": "models.graphs.config",
    "Posterior": "inference.posterior.result",
    "PosteriorMeanPreRec": "recommenders.posterior_mean",
    "PreRec": "recommenders.prerec",
    "Priors": "models.priors",
    "TextBaseline": "recommenders.text_baseline",
    "TrainConfig": "training.recipes",
    "UnconfoundedConfig": "models.graphs.config",
    "load_model": "recommenders.registry",
    "simulate": "data.simulation.simulate",
}
_NAMESPACES = ("causal", "data", "evaluation", "plots", "priors")

__all__ = [
    "BackdoorAdjustedPreRec",
    "CalibratedPreRec",
    "Domain",
    "ExtendedConfig",
    "InputError",
    "PaperConfig",
    "Posterior",
    "PosteriorMeanPreRec",
    "PreRec",
    "Priors",
    "TextBaseline",
    "TrainConfig",
    "UnconfoundedConfig",
    "__version__",
    "load_model",
    "simulate",
]


def __getattr__(name: str) -> Any:
    """Import a public name, or a namespace, when it is first asked for."""
    if name in _NAMESPACES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, *_NAMESPACES])
