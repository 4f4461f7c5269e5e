"""Plan of a study: seeds, split, and the settings of each method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from prerec_pyro.data.splits import SplitName
from prerec_pyro.errors import InputError
from prerec_pyro.models.baselines.registry import LEARNED
from prerec_pyro.models.graphs.registry import GRAPHS
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.registry import GRAPH_OF, new_model
from prerec_pyro.reproduction.given_model import GivenModel
from prerec_pyro.training.baseline_configs import defaults
from prerec_pyro.training.loop_config import LoopConfig
from prerec_pyro.training.recipes import FEW_SHOT, PRE_TRAINING


@dataclass(frozen=True)
class MethodSettings:
    """Settings of one method.

    Attributes
    ----------
    shape
        Configuration of the model.
    sources
        Configuration of the training on the sources.
    target
        Configuration of the training on the target, for fine-tuning and from scratch alike, so that a model trained
        from scratch does not lose because of the learning rates of pre-training. For PreRec it is `FEW_SHOT`, which is
        `FINE_TUNING` from 100,000 training queries on.
    """

    shape: BaseModel
    sources: LoopConfig
    target: LoopConfig

    @classmethod
    def default(cls, method: str) -> MethodSettings:
        """Return the tuned settings of a method."""
        if method in LEARNED:
            return cls(LEARNED[method].config(), defaults(method), defaults(method, tuned=True))
        return cls(GRAPHS[GRAPH_OF[method]].Config(), PRE_TRAINING, FEW_SHOT)

    def check(self, method: str) -> None:
        """Raise `InputError` where a model of this shape cannot be built, before any training starts."""
        try:
            type(self.shape).model_validate(self.shape.model_dump())  # a copy with changes was not checked
        except ValidationError as error:
            raise InputError(f"{method}: {error.errors()[0]['msg']}") from error
        new_model(method, **self.options(method), device="cpu")

    def options(self, method: str) -> dict[str, Any]:
        """Return the shape as a keyword argument of `new_model`."""
        return {"config" if method in LEARNED else "graph": self.shape}

    def as_json(self, parts: Iterable[str]) -> dict[str, Any]:
        """Return the named attributes as plain JSON, without the seed, which the study chooses."""
        return {part: getattr(self, part).model_dump(exclude={"seed"}) for part in parts}


@dataclass(frozen=True)
class Plan:
    """Settings of a study.

    Attributes
    ----------
    seeds
        Number of training seeds, from 0. They share one split of the users, so that queries can be paired.
    split
        Part of the users to measure on.
    split_seed
        Seed of the 4:3:3 split of users.
    window
        Days of the popularity window.
    encoder
        Text encoder, by name or folder; None is the packaged one.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    methods
        Method → settings; other methods have their default.
    given
        Trained model that the rows of its method start from; None pre-trains one on the sources. It has the encoder
        and the window of the plan.
    max_queries
        Approximate number of queries of a target, from users drawn at random with a fixed seed; None measures all.
    """

    seeds: int = 3
    split: SplitName = "test"
    split_seed: int = 0
    window: int = 15
    encoder: str | None = None
    device: str = "auto"
    methods: Mapping[str, MethodSettings] = field(default_factory=dict)
    given: GivenModel | None = None
    max_queries: int | None = None

    def template(self) -> PreRec:
        """Return an untrained model that encodes domains as the plan says."""
        return PreRec(encoder=self.encoder, window=self.window, device=self.device)

    def settings(self, method: str) -> MethodSettings:
        """Return the settings of a method."""
        return self.methods.get(method) or MethodSettings.default(method)
