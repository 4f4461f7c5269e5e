"""Options of ``prerec-pyro train`` as a training run: the file of ``--config``, and what the options change in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from prerec_pyro.cli import set_option
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from prerec_pyro.data.domain import Domain
    from prerec_pyro.data.popularity import Normalizer
    from prerec_pyro.models.graphs.registry import GraphClass
    from prerec_pyro.models.priors import Priors
    from prerec_pyro.recommenders.runs.config import BaselineRun, FineTuningRun, PreRecRun
    from prerec_pyro.training.baseline_configs import BaselineTraining
    from prerec_pyro.training.recipes import TrainConfig

    Run = PreRecRun | BaselineRun | FineTuningRun

GRAPHS = {"extended": "prerec", "paper": "prerec_paper", "unconfounded": "prerec_n"}
"""Graph → method; the names of `prerec_pyro.recommenders.registry`, which is too heavy to import for ``--help``."""


@dataclass(frozen=True)
class RunOptions:
    """The options of ``train`` that decide about the model; None or empty is not given."""

    config: Path | None
    sources: tuple[Path, ...]
    method: str | None
    graph: str | None
    parent: Path | None
    samples: int | None
    priors: tuple[str, ...]
    free: tuple[str, ...]
    settings: dict[str, str]
    epochs: int | None
    seed: int | None
    encoder: str | None
    normalizer: str | None

    @property
    def joined(self) -> dict[str, str]:
        """The settings of ``--set``, ``--epochs`` and ``--seed``, name → text."""
        return set_option.join(self.settings, {"epochs": ("--epochs", self.epochs), "seed": ("--seed", self.seed)})

    @property
    def of_nodes(self) -> dict[str, str]:
        """Option → text of the given options that are for the nodes of PreRec."""
        values = {"--prior": self.priors, "--free": self.free, "--normalizer": (self.normalizer or "",)}
        return {option: " ".join(value) for option, value in values.items() if any(value)}


def run_of(options: RunOptions, load: Callable[[Sequence[Path]], list[Domain]]) -> Run:
    """Return the run that the options and the file of ``--config`` describe, with every setting resolved.

    Parameters
    ----------
    options
        The options; they replace what the file says.
    load
        Returns the domains of folders; called where the settings depend on the number of training queries.

    Raises
    ------
    InputError
        If an option or a key of the file is unknown, has no effect, or conflicts with another.
    """
    from prerec_pyro.models.baselines.registry import LEARNED
    from prerec_pyro.recommenders.runs import files

    source = str(options.config)
    document = {} if options.config is None else files.read_document(options.config)
    method = _method_of(options.method, options.graph)
    if options.sources:
        document["sources"] = [str(folder) for folder in options.sources]
    if options.samples is not None:
        document["samples"] = options.samples
    if parent := options.parent or files.parent_in(document, source):
        return _fine_tuning(options, document, source, parent, method, load)
    in_file = files.method_in(document, source)
    if options.graph is not None and options.method is None and in_file in LEARNED:
        raise InputError(f"--graph {options.graph}: {source} has method {in_file}, which has no graph; leave one out")
    method = method or in_file or "prerec"
    if method in LEARNED:
        return _baseline(options, document, source, method)
    if options.samples is not None:
        raise InputError(f"--samples {options.samples}: is for baselines and for fine-tuning; name a model by --from")
    return _pre_training(options, document, source, method)


def _method_of(method: str | None, graph: str | None) -> str | None:
    """Return the method that --method and --graph choose together."""
    if graph is None:
        return method
    if method not in (None, "prerec", GRAPHS[graph]):
        own = next((name for name, one in GRAPHS.items() if one == method), None)
        why = f"{method} has no graph" if own is None else f"{method} has the graph {own}"
        raise InputError(f"--graph {graph}: --method {why}; give one of the two")
    return GRAPHS[graph]


def _pre_training(options: RunOptions, document: dict[str, Any], source: str, method: str) -> PreRecRun:
    from prerec_pyro.models.graphs.registry import GRAPHS
    from prerec_pyro.recommenders.registry import offered_settings
    from prerec_pyro.recommenders.runs.files import prerec_run

    run = prerec_run(document, source, method)
    _refuse_constants(options, offered_settings(method), {"graph": run.graph, "training.recipe": run.training.recipe})
    graph, training = set_option.configs(options.joined, [run.graph, run.training], offered_settings(method))
    changes: dict[str, Any] = {"graph": graph, "training": training}
    kind = GRAPHS[run.graph.name]
    if options.priors:
        changes["priors"] = _with_priors(run.priors, options.priors, kind, graph.name)
    if options.free:
        changes["free"] = _free(options.free)
    if options.encoder is not None:
        changes["encoder"] = options.encoder
    if options.normalizer is not None:
        if "Z" not in kind.edges:
            raise InputError(
                f"--normalizer {options.normalizer}: the graph {graph.name} has no popularity Z; leave it out"
            )
        changes["normalizer"] = cast("Normalizer", options.normalizer)
    run = run.model_copy(update=changes).resolved()
    if "V" not in (run.free or ()):
        _refuse_item_rate(options, "V is not free, and no item has an offset of its own")
    return run


def _baseline(options: RunOptions, document: dict[str, Any], source: str, method: str) -> BaselineRun:
    from prerec_pyro.recommenders.registry import offered_settings
    from prerec_pyro.recommenders.runs.files import baseline_run

    for option, text in options.of_nodes.items():
        raise InputError(f"{option} {text}: is for the nodes of PreRec, and {method} has none; leave it out")
    run = baseline_run(document, source, method)
    _refuse_constants(options, (), {"training.recipe": run.training.recipe})
    config, training = set_option.configs(options.joined, [run.baseline, run.training], offered_settings(method))
    if method == "unisrec":
        _refuse_item_rate(options, "unisrec has vectors of items in fine-tuning with tuning=transductive only")
    encoder = run.encoder if options.encoder is None else options.encoder
    run = run.model_copy(update={"baseline": config, "training": training, "encoder": encoder})
    run.model("cpu")  # refuses settings that do not go together
    return run


def _fine_tuning(
    options: RunOptions,
    document: dict[str, Any],
    source: str,
    parent: Path,
    method: str | None,
    load: Callable[[Sequence[Path]], list[Domain]],
) -> FineTuningRun:
    from prerec_pyro.models.baselines.registry import LEARNED
    from prerec_pyro.recommenders.registry import load_model, offered_settings
    from prerec_pyro.recommenders.runs.files import fine_tuning_run, sources_in
    from prerec_pyro.recommenders.text_baseline import TextBaseline

    fixed = options.of_nodes | ({"--encoder": options.encoder} if options.encoder else {})
    for option, text in fixed.items():
        raise InputError(f"{option} {text}: is a setting of the model {parent}; leave it out, or train without --from")
    model = load_model(parent, "cpu")
    if method not in (None, model.name):
        raise InputError(f"--method {method}: {parent} is a {model.name}; leave --method and --graph out")
    offered = offered_settings(model.name, tuned=True)
    base = _tuning_base(model.name, sources_in(document, source), document.get("samples"), load)
    run = fine_tuning_run(document, source, parent, model, base.model_copy(update={"seed": model.training.seed}))
    _refuse_constants(options, (), {"training.recipe": run.training.recipe})
    if not isinstance(model, TextBaseline):
        (training,) = set_option.configs(options.joined, [run.training], offered)
        if "V" not in model.free:
            _refuse_item_rate(options, f"V is not free in {parent}")
        return run.model_copy(update={"training": training})
    config = model.config.model_copy(update=run.baseline)
    config, training = set_option.configs(options.joined, [config, run.training], offered)
    changes = {name: getattr(config, name) for name in LEARNED[model.name].tunable}
    if changes.get("tuning") == "inductive":
        _refuse_item_rate(options, "unisrec has vectors of items with tuning=transductive only")
    return run.model_copy(update={"training": training, "baseline": changes})


def _tuning_base(
    method: str, folders: Sequence[Path], samples: object, load: Callable[[Sequence[Path]], list[Domain]]
) -> TrainConfig | BaselineTraining:
    """Return the settings of fine-tuning a method, on the number of training queries that there are."""
    from prerec_pyro.data.splits import split_users
    from prerec_pyro.evaluation.protocol import num_queries
    from prerec_pyro.models.baselines.registry import LEARNED
    from prerec_pyro.training.baseline_configs import defaults
    from prerec_pyro.training.recipes import FINE_TUNING, fine_tuning_recipe

    if method in LEARNED:
        return defaults(method, tuned=True)
    if len(folders) != 1:
        return FINE_TUNING
    (domain,) = load(folders)
    number = num_queries(domain, split_users(domain).train)
    return fine_tuning_recipe(min(samples, number) if isinstance(samples, int) else number)


def _refuse_constants(options: RunOptions, offered: Sequence[str], sections: Mapping[str, BaseModel]) -> None:
    """Refuse settings that only a file sets, and say where."""
    for name, text in options.settings.items():
        for section, config in sections.items():
            if name in type(config).model_fields and name not in offered:
                raise InputError(f"--set {name}={text}: is a constant; give it in --config, as {section}.{name}")


def _refuse_item_rate(options: RunOptions, why: str) -> None:
    if "item_rate" in options.settings:
        raise InputError(f"--set item_rate={options.settings['item_rate']}: has no effect, since {why}; leave it out")


def _with_priors(priors: Priors, texts: Sequence[str], graph: GraphClass, name: str) -> Priors:
    """Return the priors with those of ``--prior``."""
    from prerec_pyro.models.priors import WEIGHTS, parse

    parsed: dict[str, Any] = {}
    for text in texts:
        node, prior = parse(text)
        if node in parsed:
            raise InputError(f"--prior {text}: {node} has a prior already; give it once")
        needed = {"D", "Z"} if node in WEIGHTS else {node}
        if not needed <= set(graph.edges):
            raise InputError(f"--prior {text}: the graph {name} has no {node}; leave it out")
        parsed[node] = prior
    return dataclasses.replace(priors, **parsed)


def _free(nodes: Sequence[str]) -> tuple[str, ...]:
    if "none" in nodes and len(nodes) > 1:
        raise InputError(f"--free none: excludes --free {next(n for n in nodes if n != 'none')}; give one or the other")
    return tuple(node for node in nodes if node != "none")
