"""Settings and saved files of `PreRec`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from prerec_pyro.data.popularity import Normalizer
from prerec_pyro.errors import InputError
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.config import GraphConfig
from prerec_pyro.models.graphs.registry import GRAPHS, Graph, GraphClass, check_graph, graph_name
from prerec_pyro.models.priors import Priors
from prerec_pyro.recommenders import format5
from prerec_pyro.recommenders.format4 import is_format_4, upgraded_config, upgraded_weights
from prerec_pyro.recommenders.pretrained.model_card import model_card
from prerec_pyro.training import checkpoint
from prerec_pyro.training.recipes import TrainConfig


class HasSettings(Protocol):
    """The settings of a `PreRec`, as its attributes; see `Settings`."""

    graph_class: GraphClass
    config: GraphConfig
    training: TrainConfig
    priors: Priors
    free: frozenset[str]
    encoder_name: str | None
    window: int
    normalizer: Normalizer
    whitening: float


@dataclass(frozen=True)
class Settings:
    """Settings that a `PreRec` is made from; each field as in its constructor."""

    graph_class: GraphClass
    config: GraphConfig
    training: TrainConfig
    priors: Priors
    free: frozenset[str]
    encoder: str | None
    window: int
    normalizer: Normalizer
    whitening: float

    @classmethod
    def of(cls, model: HasSettings) -> Settings:
        """Return the settings of a model."""
        return cls(
            graph_class=model.graph_class,
            config=model.config,
            training=model.training,
            priors=model.priors,
            free=model.free,
            encoder=model.encoder_name,
            window=model.window,
            normalizer=model.normalizer,
            whitening=model.whitening,
        )


@dataclass(frozen=True, eq=False)
class SavedModel:
    """The contents of a trained `PreRec`: settings, numbers and their origin.

    Attributes
    ----------
    settings
        Settings that it is made from.
    encoder_revision
        Revision of the text encoder that it was trained with.
    graph, sources
        Parameters, and the MAP of the free nodes.
    history, facts
        Metrics of each epoch and facts about the training run, for the manifest.
    dtype
        Type of the matrices on disk. Vectors and single numbers are float32, as everything is in memory.
    """

    settings: Settings
    encoder_revision: str | None
    graph: Graph
    sources: TrainedDomains
    history: list[dict[str, float]]
    facts: dict[str, Any]
    dtype: torch.dtype = torch.float32

    def config(self) -> dict[str, Any]:
        """Return everything that the model is built from, as plain JSON.

        Raises
        ------
        InputError
            If a prior is a function of the user's own, which a file cannot hold.
        """
        settings = self.settings
        return {
            "graph": {"name": graph_name(settings.graph_class)} | settings.config.model_dump(),
            "training": settings.training.model_dump(),
            "priors": settings.priors.to_config(),
            "free": sorted(settings.free),
            "text_dim": self.graph.f_e.linear.in_features,
            "encoder": {"name": settings.encoder, "revision": self.encoder_revision},
            "whitening": settings.whitening,
            "popularity": {"window": settings.window, "normalizer": settings.normalizer},
            "domains": list(self.sources.item_ids),
        }

    def write(self, folder: Path) -> None:
        """Write the model with its model card; see `checkpoint.save_model`."""
        state = self.graph.state_dict()
        weights = {f"graph.{name}": v.to(self.dtype) if v.ndim > 1 else v for name, v in state.items()}
        weights |= self.sources.to_tensors()
        config = self.config()
        manifest = {"method": method(self.settings.graph_class), "history": self.history, **self.facts}
        checkpoint.save_model(folder, weights, config, manifest, model_card(folder.name, config, manifest))

    @classmethod
    def read(cls, folder: Path, device: torch.device, graph: GraphClass | None = None) -> SavedModel:
        """Return the model of a folder, in evaluation mode.

        Parameters
        ----------
        folder
            The model folder.
        device
            Device of the model.
        graph
            Class of the graph, if it is a graph of one's own.

        Raises
        ------
        InputError
            If a file of the folder is missing, damaged or in another format.
        """
        weights, config, manifest = checkpoint.load_model(folder)
        weights = {name: v.float() if v.is_floating_point() else v for name, v in weights.items()}
        with _format_of(folder):
            if is_format_4(config):
                weights, config = upgraded_weights(weights), upgraded_config(config, str(folder))
            shapes = dict(config["graph"])
            graph_class = _chosen(shapes.pop("name"), graph, folder)
            if manifest["format_version"] <= format5.LAST_VERSION:
                shapes = format5.upgraded_shapes(shapes, graph_class.Config)
            settings = Settings(
                graph_class=graph_class,
                config=graph_class.Config(**shapes),
                training=TrainConfig(**config["training"]),
                priors=Priors.from_config(config["priors"]),
                free=frozenset(config["free"]),
                encoder=config["encoder"]["name"],
                whitening=float(config["whitening"]),
                **config["popularity"],
            )
            revision = config["encoder"]["revision"]
            sources = TrainedDomains.from_tensors(config["domains"], weights, device)
            fitted = graph_class(
                settings.config,
                num_domains=max(len(config["domains"]), 1),  # an exported model knows none; a new one is row 0
                text_dim=config["text_dim"],
                priors=settings.priors,
            )
            own = {k.removeprefix("graph."): v for k, v in weights.items() if k.startswith("graph.")}
            fitted.load_state_dict(own)
        history = manifest.pop("history", [])
        facts = {k: v for k, v in manifest.items() if k not in ("format_version", "files", "method")}
        return cls(settings, revision, fitted.to(device).eval(), sources, history, facts)


def method(graph: GraphClass) -> str:
    """Return the name of the method that uses a graph.

    >>> from prerec_pyro.models.graphs.registry import GRAPHS
    >>> [method(graph) for graph in GRAPHS.values()]
    ['prerec_paper', 'prerec', 'prerec_n']
    """
    known = {"extended": "prerec", "paper": "prerec_paper", "unconfounded": "prerec_n"}
    name = graph_name(graph)
    return known.get(name, f"prerec_{name}")


def _chosen(name: str, given: GraphClass | None, folder: Path) -> GraphClass:
    """Return the class of a saved graph, given its name and the class that the caller gave."""
    if given is not None:
        if graph_name(check_graph(given)) != name:
            raise InputError(f"{folder}: holds a model of the graph {name}, not of {graph_name(given)}")
        return given
    if name not in GRAPHS:
        raise InputError(
            f"{folder}: holds a model of a graph of one's own, {name}; give its class, as in "
            f"PreRec.load(folder, graph={name})"
        )
    return GRAPHS[name]


@contextmanager
def _format_of(folder: Path) -> Iterator[None]:
    """Turn errors about the contents of a folder into `InputError`."""
    try:
        yield
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{folder}: is not a PreRec model that this version reads ({error})") from error
