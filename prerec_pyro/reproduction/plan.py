"""How the methods of a study are built and trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from prerec_pyro.data.splits import SplitName
from prerec_pyro.models.baselines.registry import LEARNED
from prerec_pyro.models.graphs.registry import GRAPHS
from prerec_pyro.recommenders.registry import GRAPH_OF, new_model
from prerec_pyro.training.baseline_configs import defaults
from prerec_pyro.training.loop_config import LoopConfig
from prerec_pyro.training.trainer import FINE_TUNING, TrainConfig


@dataclass(frozen=True)
class MethodSettings:
    """One method.

    Attributes
    ----------
    shape
        What is built.
    sources
        How it is trained on the sources.
    target
        How it is trained on the target, fine-tuned and from scratch alike: a model that starts from nothing is not to
        lose because it was given the rates of pre-training.
    """

    shape: BaseModel
    sources: LoopConfig
    target: LoopConfig

    @classmethod
    def default(cls, method: str) -> MethodSettings:
        """Return what was tuned for a method."""
        if method in LEARNED:
            return cls(LEARNED[method].config(), defaults(method), defaults(method, tuned=True))
        return cls(GRAPHS[GRAPH_OF[method]].Config(), TrainConfig(), FINE_TUNING)

    def check(self, method: str) -> None:
        """Raise `InputError` where a model of this shape cannot be built, before hours of work."""
        new_model(method, **self.options(method), device="cpu")

    def options(self, method: str) -> dict[str, Any]:
        """Return the shape as `new_model` takes it."""
        return {"config" if method in LEARNED else "graph": self.shape}

    def as_json(self, parts: Iterable[str]) -> dict[str, Any]:
        """Return those parts by name, plain JSON without the seed, which is not theirs to choose."""
        return {part: getattr(self, part).model_dump(exclude={"seed"}) for part in parts}


@dataclass(frozen=True)
class Plan:
    """What is asked of a study.

    Attributes
    ----------
    seeds
        Number of training seeds, from 0. They share one split of the users, so that queries can be paired.
    split, split_seed
        Whose queries are measured, and the seed of the 4:3:3 split.
    window
        Days of popularity.
    encoder
        Text encoder, by name or folder; None is the packaged one.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    methods
        Method → settings; those left out are at their default.
    """

    seeds: int = 3
    split: SplitName = "test"
    split_seed: int = 0
    window: int = 15
    encoder: str | None = None
    device: str = "auto"
    methods: Mapping[str, MethodSettings] = field(default_factory=dict)

    def settings(self, method: str) -> MethodSettings:
        """Return those of a method."""
        return self.methods.get(method) or MethodSettings.default(method)
