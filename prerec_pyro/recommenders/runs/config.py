"""A training run as one value: every setting of ``prerec-pyro train``, written as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, SerializeAsAny, model_validator

from prerec_pyro.data.popularity import Normalizer
from prerec_pyro.models.baselines.base import BaselineConfig
from prerec_pyro.models.graphs.config import GraphConfig
from prerec_pyro.models.graphs.registry import GRAPHS
from prerec_pyro.models.priors import Priors
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.text_baseline import TextBaseline
from prerec_pyro.training.baseline_configs import BaselineTraining
from prerec_pyro.training.loop_config import LoopConfig
from prerec_pyro.training.recipes import PRE_TRAINING, TrainConfig

_LEFT_OUT = ("samples", "sources", "baseline")  # of a written run, if they are empty


class GraphSection(GraphConfig):
    """A graph by name, with its shapes. Settings that the graph lacks are None, the others have its defaults.

    >>> GraphSection(name="paper", latent_dim=64).num_heads
    2
    >>> [GraphSection(name=name).num_interests for name in ("paper", "extended")]
    [None, 20]
    """

    name: Literal["paper", "extended", "unconfounded"]
    num_interests: int | None = Field(None, ge=1, le=64, description="as in `ExtendedConfig`")
    popularity_windows: bool | None = Field(None, description="as in `ExtendedConfig`")

    def config(self) -> GraphConfig:
        """Return the configuration of the graph."""
        return GRAPHS[self.name].Config(**self.model_dump(exclude={"name"}, exclude_none=True))

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or given.get("name") not in GRAPHS:
            return given
        defaults = GRAPHS[given["name"]].Config().model_dump()
        return defaults | {name: value for name, value in given.items() if value is not None}

    @model_validator(mode="after")
    def _check_settings(self) -> GraphSection:
        has = GRAPHS[self.name].Config.model_fields
        for name, value in self:
            if name not in (*has, "name") and value is not None:
                raise ValueError(f"{name}: the graph {self.name} has no such setting; leave it out")
        return self


def _read_priors(value: object) -> object:
    """Return priors from plain JSON; YAML reads numbers such as 1e-2 as text."""
    if not isinstance(value, Mapping):
        return value
    return Priors.from_config({str(node): _with_numbers(plain) for node, plain in value.items()})


def _with_numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_numbers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_with_numbers(one) for one in value]
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


class RunConfig(BaseModel):
    """A training run: the settings that runs of every method have.

    Attributes
    ----------
    method
        Name of the method, one of `METHODS`.
    training
        Settings of training, with their seed.
    samples
        Number of training queries of the domain; None takes all.
    sources
        Folders of the domains to train on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)

    method: str
    training: SerializeAsAny[LoopConfig]
    samples: int | None = Field(None, ge=1)
    sources: tuple[str, ...] = ()

    def to_yaml(self) -> str:
        """Return the run as YAML that gives the same run when it is read."""
        content = self.model_dump(by_alias=True)
        training = content.pop("training")
        content["training"] = {name: value for name, value in training.items() if name not in ("recipe", "seed")}
        content["training"]["recipe"] = training["recipe"]
        content |= {"samples": content.pop("samples"), "seed": training["seed"], "sources": content.pop("sources")}
        if isinstance(self, PreRecRun):
            graph = {name: value for name, value in content["graph"].items() if value is not None}
            content["graph"] = {"name": self.graph.name} | graph
            content["priors"] = self.priors.to_config()
        given = {name: value for name, value in content.items() if value or name not in _LEFT_OUT}
        return yaml.safe_dump(_plain(given), sort_keys=False, allow_unicode=True)


class PreRecRun(RunConfig):
    """Pre-training of a `PreRec`; the fields are those of its constructor."""

    graph: GraphSection
    priors: Annotated[InstanceOf[Priors], BeforeValidator(_read_priors)] = Priors()
    free: tuple[str, ...] | None = None
    encoder: str | None = None
    normalizer: Normalizer = "catalogue"
    window: int = Field(15, ge=1)
    whitening: float | None = Field(None, ge=0, le=1)
    training: TrainConfig = PRE_TRAINING
    samples: None = None

    def model(self, device: str = "auto") -> PreRec:
        """Return the untrained model; raises what its constructor raises."""
        return PreRec(
            self.graph.config(),
            training=self.training,
            priors=self.priors,
            free=self.free,
            encoder=self.encoder,
            window=self.window,
            normalizer=self.normalizer,
            whitening=self.whitening,
            device=device,
        )

    def resolved(self) -> PreRecRun:
        """Return the run with the free nodes and the whitening that the model chooses where they are None."""
        model = self.model("cpu")
        return self.model_copy(update={"free": tuple(sorted(model.free)), "whitening": model.whitening})


class BaselineRun(RunConfig):
    """Training of a `TextBaseline`; the fields are those of its constructor."""

    baseline: SerializeAsAny[BaselineConfig]
    encoder: str | None = None
    window: int = Field(15, ge=1)
    training: BaselineTraining

    def model(self, device: str = "auto") -> TextBaseline:
        """Return the untrained model; raises what its constructor raises."""
        return TextBaseline(
            self.method,
            self.baseline,
            training=self.training,
            encoder=self.encoder,
            window=self.window,
            device=device,
        )


class FineTuningRun(RunConfig):
    """Fine-tuning of a saved model.

    Attributes
    ----------
    parent
        The model folder, ``from`` in a file.
    baseline
        Settings of a baseline that fine-tuning changes.
    """

    parent: str = Field(alias="from")
    baseline: dict[str, Any] = Field(default_factory=dict)
    training: TrainConfig | BaselineTraining


def _plain(value: Any) -> Any:
    """Return a value with tuples as lists, which YAML has."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
