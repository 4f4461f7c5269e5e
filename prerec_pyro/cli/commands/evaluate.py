"""``prerec-pyro evaluate``: metrics of models and baselines on a domain."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prerec_pyro.cli import console, options, outputs
from prerec_pyro.cli.evaluation import entries, table, transfer_summary
from prerec_pyro.cli.evaluation.queries import count_queries
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from prerec_pyro.data.domain import Domain
    from prerec_pyro.data.splits import SplitName
    from prerec_pyro.recommenders.calibrated import CalibratedPreRec
    from prerec_pyro.recommenders.registry import Model

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Options:
    """Options of the command; see `--help`."""

    domain: Path
    models: tuple[Path, ...]
    methods: list[str]
    k_percent: float
    split: SplitName
    split_seed: int
    unseen_from: tuple[Path, ...]
    encoder: str | None
    window: int
    do: dict[str, Any]
    calibrate: bool
    plain: bool
    out: Path
    device: str


def _parse_methods(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> list[str]:
    names = [] if value is None else [name.strip() for name in value.split(",")]
    for name in names:
        if name not in entries.BASELINES:
            raise InputError(
                f"--methods {value}: {name!r} is not one of {', '.join(entries.BASELINES)}; give a trained method by "
                "--model"
            )
    return list(dict.fromkeys(names))


@click.command(short_help="Measure models and baselines on a domain.")
@click.option("--domain", required=True, metavar="DIR", type=options.PATH, help="Domain folder to measure on.")
@click.option(
    "--model",
    "models",
    metavar="MODEL",
    type=options.MODEL,
    multiple=True,
    help=f"{options.MODEL_HELP} Repeat the option for several models.",
)
@click.option(
    "--methods",
    metavar="A,B",
    callback=_parse_methods,
    help="Methods without training, separated by commas: random, pop (popularity), sbert (texts closest to that of the "
    "last item).",
)
@options.k_percent
@options.split
@options.split_seed
@click.option(
    "--unseen-from",
    metavar="DIR",
    type=options.PATH,
    multiple=True,
    help="Source domain; adds a row for the unseen queries, those with a user and an item that occur in no source. "
    "Repeat the option for several sources.",
)
@click.option(
    "--encoder",
    metavar="NAME",
    help="Text encoder of the methods: a name or a folder.  [default: encoder of the first model]",
)
@click.option(
    "--window",
    metavar="N",
    type=click.IntRange(min=1),
    default=15,
    show_default=True,
    help="Days of interactions that the methods count as popularity.",
)
@options.do
@options.calibrate(
    "Add a calibrated row for each model that is new to the domain: its effect scales S (weights of texts and history, "
    "popularity and repeats) are estimated from the log of the training users before each query's day. This is the "
    "default, except with --split train."
)
@click.option("--out", required=True, metavar="FILE", type=options.PATH, help="JSON file to write: a list of rows.")
@options.device
@console.verbosity
def command(**given: Any) -> None:
    """Measure models and baselines on a domain.

    Each event of a user except the first is a query, and all items of the domain are candidates. Prints a table and
    writes a list of JSON rows. A PreRec model that is new to the domain gets two rows, plain and calibrated, unless
    --plain is given. If a PreRec model that is new to the domain is measured beside other methods, a last
    paragraph summarises whether transfer helps here, and recommends what to do. The row of that model holds the
    same text under the key "transfer".
    """
    _run(_Options(**given))


def _run(chosen: _Options) -> None:
    from prerec_pyro.data.domain import Domain

    _check_options(chosen)
    trained = _load_models(chosen.models, chosen.do, chosen.device)
    shop = Domain.load(chosen.domain)
    sources = [Domain.load(folder) for folder in chosen.unseen_from]
    total = count_queries(shop, chosen.split, chosen.split_seed, chosen.k_percent)
    _warn_of_known_users(trained, shop, chosen.split_seed)
    measured = _measure(_entries(chosen, trained, shop), shop, sources, total, chosen)
    # An intervention, or users that a model was trained on, say nothing about transfer.
    paragraphs = [] if chosen.do or chosen.split == "train" else transfer_summary.add_to_rows(measured, shop)
    rows = [row for one in measured for row in one.rows]
    with outputs.staged_file(chosen.out) as partial:
        partial.write_text(outputs.json_text(rows), encoding="utf-8")
    logger.info("wrote %s", chosen.out)
    table.print_rows(rows, with_folders=len(trained) > 1)
    for paragraph in paragraphs:
        console.say(f"\n{paragraph}")


def _check_options(chosen: _Options) -> None:
    outputs.check_out_file(chosen.out, (".json",), [chosen.domain, *chosen.models, *chosen.unseen_from])
    if not chosen.models and not chosen.methods:
        raise InputError("nothing to measure; give a --model or --methods random,pop,sbert")
    if chosen.do and not chosen.models:
        raise InputError("--do: needs a --model, because the methods of --methods have no nodes; leave one of them out")
    if chosen.calibrate and chosen.split == "train":
        raise InputError(
            "--calibrate: reads the log of the training users, so it cannot be measured on them; give --split "
            "validation or test"
        )


def _entries(chosen: _Options, trained: Mapping[Path, Model], shop: Domain) -> list[entries.Entry]:
    """Return the recommenders to measure: models, calibrated models, methods without training."""
    import numpy as np

    from prerec_pyro.data.splits import split_users

    found = [entries.Entry(entries.Intervened(model, chosen.do), model, path) for path, model in trained.items()]
    log = split_users(shop, chosen.split_seed).train
    has_log = bool((np.diff(shop.offsets)[log] > 1).any())
    sets_S = not isinstance(chosen.do.get("S", ""), str)
    if chosen.calibrate or not (chosen.plain or sets_S or chosen.split == "train" or not has_log):
        for path, model in _calibrated(trained, shop, log):
            found.append(entries.Entry(entries.Intervened(model, chosen.do), model, path))
    if chosen.methods:
        encoding = entries.baseline_model(list(trained.values()), shop, chosen.encoder, chosen.window, chosen.device)
        found += [entries.Entry(entries.baseline(name), encoding) for name in chosen.methods]
    return found


def _measure(
    found: Sequence[entries.Entry], shop: Domain, sources: Sequence[Domain], total: int, chosen: _Options
) -> list[transfer_summary.Measured]:
    """Return the metrics of each recommender on the chosen users."""
    from prerec_pyro.data.splits import split_users
    from prerec_pyro.evaluation.protocol import evaluate

    users = split_users(shop, chosen.split_seed).users(chosen.split)
    encodings = entries.Encodings(shop)
    measured = []
    for entry in found:
        encoded = encodings.of(entry.model)
        with console.progress(total, f"evaluating {entry.label}", unit="queries") as bar:
            result = evaluate(
                entry.recommender, encoded, users, k_percent=chosen.k_percent, sources=sources, progress=bar.update
            )
        rows = [row | entry.facts(chosen.do) for row in result.rows(chosen.split)]
        measured.append(transfer_summary.Measured(entry.path, entry.model, result, rows))
    return measured


def _load_models(paths: Sequence[Path], do: Mapping[str, Any], device: str) -> dict[Path, Model]:
    from prerec_pyro.inference.interventions.scorer import Intervention
    from prerec_pyro.recommenders.registry import load_model
    from prerec_pyro.recommenders.text_baseline import TextBaseline

    models = {path: load_model(path, device) for path in paths}
    for path, model in models.items():
        if isinstance(model, TextBaseline):
            model.refuse(do)
            continue
        try:
            Intervention.check(do, model.graph)
        except InputError as error:
            raise InputError(f"--do: {path}: {error}") from None
    return models


def _calibrated(
    models: Mapping[Path, Model], domain: Domain, users: np.ndarray
) -> Iterator[tuple[Path, CalibratedPreRec]]:
    """Yield those models calibrated that have an S to calibrate in this domain."""
    from prerec_pyro.recommenders.calibrated import CalibratedPreRec
    from prerec_pyro.recommenders.prerec import PreRec

    for path, model in models.items():
        if not (isinstance(model, PreRec) and "S" in model.graph.edges):
            logger.info("%s: a model of %s has no S, so there is nothing to calibrate", path, model.name)
        elif model.sources.row(domain) is not None:
            logger.info("%s: was trained on this domain and knows its S, so there is nothing to calibrate", path)
        else:
            yield path, CalibratedPreRec(model, users)


def _warn_of_known_users(models: Mapping[Path, Model], domain: Domain, split_seed: int) -> None:
    """Warn about models that may have seen some of the measured users.

    They were trained on this domain with another split, or exported after training on a domain of this name.
    """
    for path, model in models.items():
        if model.facts.get("portable") and domain.name in [one["name"] for one in model.facts.get("domains", [])]:
            logger.warning(
                "%s was trained on a domain called %s; if it is this one, it is not new to the model", path, domain.name
            )
        trained_on = {source.get("fingerprint") for source in model.facts.get("domains", [])}
        used = model.facts.get("split_seed", 0)
        if domain.fingerprint in trained_on and used != split_seed:
            logger.warning(
                "%s was trained on this domain with --split-seed %d; with --split-seed %d some of its training users "
                "are measured",
                *(path, used, split_seed),
            )
