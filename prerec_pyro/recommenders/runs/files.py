"""Files of training runs, in YAML or JSON: `RunConfig` from a document, with messages that name file and key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from prerec_pyro.errors import InputError
from prerec_pyro.inference.guides.free_nodes import check_free, check_offsets, check_priors
from prerec_pyro.models.baselines.registry import LEARNED
from prerec_pyro.models.graphs.registry import GRAPHS
from prerec_pyro.recommenders import format5
from prerec_pyro.recommenders.format4 import upgraded_config, upgraded_training
from prerec_pyro.recommenders.pretrained.shipped import find_model, model_label
from prerec_pyro.recommenders.registry import GRAPH_OF, METHODS, Model
from prerec_pyro.recommenders.runs.config import BaselineRun, FineTuningRun, GraphSection, PreRecRun, RunConfig
from prerec_pyro.recommenders.text_baseline import TextBaseline
from prerec_pyro.training.baseline_configs import BaselineTraining, defaults
from prerec_pyro.training.checkpoint import READABLE_VERSIONS
from prerec_pyro.training.loop_config import LoopConfig
from prerec_pyro.training.recipes import PRE_TRAINING, TrainConfig

METHOD_OF = {graph: method for method, graph in GRAPH_OF.items()}
_Section = TypeVar("_Section", bound=BaseModel)

_SHOWN = 2  # errors of a file that are printed


def read_document(path: Path) -> dict[str, Any]:
    """Return the contents of a file of a run, or of the ``config.json`` of a saved model, as keys of a run.

    Raises
    ------
    InputError
        If the file cannot be read, or is not a mapping; the message names the file and the place.
    """
    if path.suffix not in (".yaml", ".yml", ".json"):
        raise InputError(f"{path}: the name must end in .yaml, .yml or .json; its ending decides the format")
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise InputError(f"{path}: {place}is not valid YAML ({error.problem})") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path}: is not valid {path.suffix[1:].upper()} ({' '.join(str(error).split())})") from None
    document = {} if document is None else document
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise InputError(f"{path}: expected keys and values, such as method: prerec")
    return _of_saved_model(document, str(path)) if "format_version" in document else document


def method_in(document: Mapping[str, Any], source: str) -> str | None:
    """Return the method that a document names, by ``method`` or ``graph``; None if it names none.

    Raises
    ------
    InputError
        If the method is unknown, or the two do not agree.
    """
    method, graph = document.get("method"), document.get("graph")
    if method is not None and method not in METHODS:
        raise InputError(f"{source}: method: should be one of {', '.join(METHODS)}, and is {method!r}")
    name = graph.get("name") if isinstance(graph, Mapping) else graph
    by_graph = METHOD_OF.get(name) if isinstance(name, str) else None
    if method is not None and by_graph not in (None, method):
        raise InputError(f"{source}: graph: {name} is the graph of {by_graph}, but method is {method}; leave one out")
    return method or by_graph


def parent_in(document: Mapping[str, Any], source: str) -> Path | None:
    """Return the model folder that a document starts from, by its key ``from``; None if there is none."""
    parent = document.get("from")
    if parent is not None and not isinstance(parent, str):
        raise InputError(f"{source}: from: should be a model folder, and is {parent!r}")
    return None if parent is None else find_model(parent)


def sources_in(document: Mapping[str, Any], source: str) -> list[Path]:
    """Return the folders of domains that a document names, by its key ``sources``."""
    folders = document.get("sources", [])
    if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
        raise InputError(f"{source}: sources: should be a list of folders, and is {folders!r}")
    return [Path(folder) for folder in folders]


def prerec_run(document: Mapping[str, Any], source: str, method: str = "prerec") -> PreRecRun:
    """Return the pre-training run of a document.

    Parameters
    ----------
    document
        Keys of a run; those left out have their default.
    source
        File that it comes from, for messages.
    method
        The method; it replaces that of the document.

    Raises
    ------
    InputError
        If a key is unknown or a value is not allowed; the message names the file and the path of the key.
    """
    content = _with_seed(document, source) | {"method": method}
    if content.get("samples") is not None:
        raise InputError(f"{source}: samples: is for baselines and for fine-tuning; leave it out, or give a key from")
    shapes = content.get("graph", {})
    named = METHOD_OF.get(shapes if isinstance(shapes, str) else _mapping(shapes, source, "graph").get("name", ""))
    given = {} if isinstance(shapes, str) else dict(shapes)
    if named is not None:
        given["name"] = GRAPH_OF[method]
        if named != method:  # the options choose another graph than the file, which may lack settings of the other
            lacking = GraphSection.model_fields.keys() - GRAPHS[GRAPH_OF[method]].Config.model_fields.keys() - {"name"}
            given = {name: value for name, value in given.items() if name not in lacking}
    elif isinstance(shapes, str):
        given["name"] = shapes
    content["graph"] = _section(GraphSection(name=GRAPH_OF[method]), given, source, "graph")
    content["training"] = _section(PRE_TRAINING, content.get("training", {}), source, "training")
    run = _validated(PreRecRun, content, source)
    graph = GRAPHS[run.graph.name]
    try:
        check_priors(run.priors, graph)
    except InputError as error:
        raise InputError(f"{source}: priors: {error}") from None
    try:
        check_offsets(check_free(run.free, graph, run.priors.lifted), run.priors)
    except InputError as error:
        raise InputError(f"{source}: free: {error}") from None
    return run


def baseline_run(document: Mapping[str, Any], source: str, method: str) -> BaselineRun:
    """Return the run of a document that trains a baseline; parameters and errors as in `prerec_run`."""
    content = _with_seed(document, source) | {"method": method}
    content["baseline"] = _section(LEARNED[method].config(), content.get("baseline", {}), source, "baseline")
    content["training"] = _section(defaults(method), content.get("training", {}), source, "training")
    run = _validated(BaselineRun, content, source)
    try:
        run.model("cpu")
    except InputError as error:
        raise InputError(f"{source}: baseline: {error}") from None
    return run


def fine_tuning_run(
    document: Mapping[str, Any], source: str, parent: Path, model: Model, base: TrainConfig | BaselineTraining
) -> FineTuningRun:
    """Return the fine-tuning run of a document.

    Parameters
    ----------
    document, source
        As in `prerec_run`.
    parent, model
        The model folder and its model.
    base
        Settings of training where the document has none.

    Raises
    ------
    InputError
        As in `prerec_run`, and if the document names another method or a setting that fine-tuning cannot change.
    """
    if method_in(document, source) not in (None, model.name):
        raise InputError(f"{source}: method: should be {model.name}, the method of {parent}; leave it out")
    content = _with_seed(document, source) | {"from": model_label(parent), "method": model.name}
    content["training"] = _section(base, content.get("training", {}), source, "training")
    changes = _mapping(content.pop("baseline", {}), source, "baseline")
    if isinstance(model, TextBaseline):
        config = _section(model.config, changes, source, "baseline")
        try:
            model.changed_config(changes)
        except InputError as error:
            raise InputError(f"{source}: baseline: {error}") from None
        content["baseline"] = {name: getattr(config, name) for name in LEARNED[model.name].tunable}
    elif changes:
        raise InputError(f"{source}: baseline: {parent} is a {model.name}, and no baseline; leave it out")
    return _validated(FineTuningRun, content, source)


def _of_saved_model(document: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the keys of a run, given the ``config.json`` of a saved model."""
    content = dict(document)
    version = content.pop("format_version")
    if version not in READABLE_VERSIONS:
        raise InputError(f"{source}: format_version: should be one of {READABLE_VERSIONS}, and is {version!r}")
    try:
        if version == 4:
            old = "graph" in content
            training = upgraded_training(content["training"], BaselineTraining)
            content = upgraded_config(content, source) if old else content | {"training": training}
        graph = content.get("graph", {})
        if version <= format5.LAST_VERSION and graph.get("name") in GRAPHS:
            content["graph"] = format5.upgraded_shapes(graph, GRAPHS[graph["name"]].Config)
        content["encoder"] = content["encoder"]["name"]
        content |= content.pop("popularity")
    except (KeyError, TypeError) as error:
        raise InputError(f"{source}: is not the configuration of a saved model ({error} is missing)") from None
    return {name: value for name, value in content.items() if name not in ("text_dim", "domains", "tuned")}


def _with_seed(document: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the document with ``seed`` moved to the settings of training."""
    content = dict(document)
    if "seed" not in content:
        return content
    seed = content.pop("seed")
    training = _mapping(content.get("training", {}), source, "training")
    if training.get("seed", seed) != seed:
        raise InputError(f"{source}: seed: is {seed}, but training.seed is {training['seed']}; leave one out")
    try:
        LoopConfig(seed=seed)
    except ValidationError as error:
        raise InputError(_sentence(error, LoopConfig, source, ())) from None
    return content | {"training": {**training, "seed": seed}}


def _section(base: _Section, given: object, source: str, key: str) -> _Section:
    """Return the settings `base` with those that a section of a file gives."""
    merged = _merged(base.model_dump(), _mapping(given, source, key))
    try:
        return type(base).model_validate(merged)
    except ValidationError as error:
        raise InputError(_sentence(error, type(base), source, (key,))) from None


def _validated(kind: type[_Section], content: Mapping[str, Any], source: str) -> _Section:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise InputError(_sentence(error, kind, source, ())) from None


def _mapping(value: object, source: str, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{source}: {key}: should hold keys and values, and is {value!r}")
    return value


def _merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `given`, section by section."""
    deeper = {
        name: _merged(base[name], value)
        for name, value in given.items()
        if isinstance(value, Mapping) and isinstance(base.get(name), Mapping)
    }
    return {**base, **given, **deeper}


def _sentence(error: ValidationError, kind: type[BaseModel], source: str, above: tuple[str, ...]) -> str:
    """Return what is wrong in a file as one sentence, with the path of each key."""
    parts = []
    for one in error.errors():
        path = ".".join(map(str, (*above, *one["loc"])))
        if one["type"] == "extra_forbidden":
            keys = ", ".join(_keys(kind, one["loc"][:-1]))
            parts.append(f"{path}: there is no such key here; expected one of {keys}")
        else:
            message = one["msg"].removeprefix("Value error, ").removeprefix("Input ")
            parts.append(f"{path}: {message}" if path else message)
    more = f"; and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    return f"{source}: " + "; ".join(parts[:_SHOWN]) + more


def _keys(kind: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Return the keys of a section of a model."""
    for name in path:
        inner = kind.model_fields[str(name)].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            kind = inner
    names = [field.alias or name for name, field in kind.model_fields.items()]
    return [*names, "seed"] if issubclass(kind, RunConfig) else names
