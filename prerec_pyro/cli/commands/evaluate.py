"""``prerec-pyro evaluate``: models and baselines, measured on a domain."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prerec_pyro.cli import console, options, outputs
from prerec_pyro.cli.evaluation import transfer_summary
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from prerec_pyro.data.domain import Domain
    from prerec_pyro.data.encoded import EncodedDomain
    from prerec_pyro.ranking.lists import Recommender, Scorer
    from prerec_pyro.recommenders.calibrated import CalibratedPreRec
    from prerec_pyro.recommenders.prerec import PreRec
    from prerec_pyro.recommenders.registry import Model

logger = logging.getLogger(__name__)
_BASELINES = ("random", "pop", "sbert")
# Where the largest is the best; what follows them in the table has no best.
_METRICS = ("recall", "r_ndcg", "recall@10", "ndcg@10", "mrr", "coverage")


def _parse_methods(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> list[str]:
    names = [] if value is None else [name.strip() for name in value.split(",")]
    for name in names:
        if name not in _BASELINES:
            raise InputError(
                f"--methods {value}: {name!r} is none of {', '.join(_BASELINES)}; a trained method is given by --model"
            )
    return list(dict.fromkeys(names))


@click.command(short_help="Measure models and baselines on a domain.")
@click.option("--domain", required=True, metavar="DIR", type=options.PATH, help="Where to measure.")
@click.option(
    "--model",
    "models",
    metavar="MODEL",
    type=options.PATH,
    multiple=True,
    help="Folder made by `train`; give the option once for each.",
)
@click.option("--methods", metavar="A,B", callback=_parse_methods, help="Methods without training: random, pop, sbert.")
@click.option(
    "--k-percent",
    type=float,
    default=0.5,
    show_default=True,
    help="K%, the length of a list in percent of the items, for recall and r_ndcg.",
)
@click.option(
    "--split",
    type=click.Choice(["test", "validation", "train"]),
    default="test",
    show_default=True,
    help="Whose queries.",
)
@click.option("--split-seed", type=int, default=0, show_default=True, help="Of the 4:3:3 split of users.")
@click.option(
    "--unseen-from",
    metavar="DIR",
    type=options.PATH,
    multiple=True,
    help="Source domain: measure also the queries whose user and item are in none of them. Give it once for each.",
)
@click.option("--encoder", metavar="NAME", help="Text encoder of the methods; by default that of the first model.")
@click.option(
    "--window", type=click.IntRange(min=1), default=15, show_default=True, help="Days of popularity of the methods."
)
@options.do
@click.option(
    "--calibrate",
    is_flag=True,
    help="For each --model also a row of calibrated zero-shot: how far to trust texts, popularity and repeats is read "
    "off the log of the domain's training users before each query's day.",
)
@click.option("--out", required=True, metavar="FILE", type=options.PATH, help="JSON list to write, a row a result.")
@options.device
@console.verbosity
def command(
    domain: Path,
    models: tuple[Path, ...],
    methods: list[str],
    k_percent: float,
    split: str,
    split_seed: int,
    unseen_from: tuple[Path, ...],
    encoder: str | None,
    window: int,
    do: dict[str, Any],
    calibrate: bool,
    out: Path,
    device: str,
) -> None:
    """Measure models and baselines on a domain: each event of a user but the first is a query, all items compete.

    Prints a table and writes a JSON list. Where a PreRec that has not seen the domain is measured beside others, the
    last paragraph says whether transfer helps here and what to do; the same is in its row, as "transfer".
    """
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.data.splits import split_users
    from prerec_pyro.evaluation.protocol import evaluate, num_queries

    outputs.check_out_file(out, (".json",), [domain, *models, *unseen_from])
    if not models and not methods:
        raise InputError("nothing to measure; give a --model or --methods random,pop,sbert")
    if do and not models:
        raise InputError("--do: is for models, the methods have no nodes; give a --model or leave --do out")
    if calibrate and split == "train":
        raise InputError("--calibrate: reads the log of the training users; give --split validation or test")
    trained = _load_models(models, do, device)
    shop = Domain.load(domain)
    sources = [Domain.load(folder) for folder in unseen_from]
    users = split_users(shop, split_seed).users(split)
    total = num_queries(shop, users)
    _check_asked(shop, k_percent, split, total)
    _check_leaks(trained, shop, split_seed)
    encodings = _Encodings(shop)
    entries = [_Entry(_Intervened(model, do), model, path) for path, model in trained.items()]
    if calibrate:
        log = split_users(shop, split_seed).train
        entries += [_Entry(_Intervened(each, do), each, path) for path, each in _calibrated(trained, shop, log)]
    if methods:
        wish = _plain_wish(list(trained.values()), shop, encoder, window, device)
        entries += [_Entry(_baseline(name), wish) for name in methods]
    rows: list[dict[str, Any]] = []
    measured: list[transfer_summary.Measured] = []
    for entry in entries:
        encoded = encodings.of(entry.wish)
        with console.progress(total, f"evaluating {entry.label}", unit="queries") as bar:
            result = evaluate(
                entry.recommender, encoded, users, k_percent=k_percent, sources=sources, progress=bar.update
            )
        found = [row | entry.facts(do) for row in result.rows(split)]
        measured.append(transfer_summary.Measured(entry.path, entry.recommender, entry.wish, result, found[0]))
        rows += found
    # What an intervention ranks, or users that a rival was trained on, says nothing of whether transfer will help.
    paragraphs = [] if do or split == "train" else transfer_summary.add_to_rows(measured, shop)
    with outputs.staged_file(out) as beside:
        beside.write_text(json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    logger.info("wrote %s", out)
    _print(rows, several=len(trained) > 1)
    for paragraph in paragraphs:
        console.say(f"\n{paragraph}")


@dataclass(frozen=True)
class _Intervened:
    """A model under ``do``, as a `Recommender`."""

    model: Model | CalibratedPreRec
    do: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.model.name

    def scorer(self, encoded: EncodedDomain) -> Scorer:
        return self.model.scorer(encoded, self.do)


@dataclass(frozen=True)
class _Entry:
    """What is measured, the model that says how its domain is to be encoded, and where it was read from."""

    recommender: Recommender
    wish: Model
    path: Path | None = None

    @property
    def label(self) -> str:
        return self.recommender.name if self.path is None else f"{self.recommender.name} ({self.path})"

    def facts(self, do: Mapping[str, Any]) -> dict[str, Any]:
        if self.path is None:
            return {}
        return {"model": str(self.path)} | ({"do": dict(do)} if do else {})


class _Encodings:
    """A domain as each model wants it, encoded once for those that want the same."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._done: dict[tuple, EncodedDomain] = {}

    def of(self, model: Model) -> EncodedDomain:
        own = self._domain.embeddings is not None
        texts = None if own else (model.encoder_name, model.encoder_revision)
        key = (texts, model.window, model.normalizer)
        if key not in self._done:
            encoded = model.encode(self._domain)
            # A model that has not met its encoder yet knows its revision only now.
            texts = None if own else (model.encoder_name, model.encoder_revision)
            self._done[texts, model.window, model.normalizer] = encoded
            return encoded
        return self._done[key]


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
            raise InputError(f"--model {path}: {error}") from None
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


def _check_asked(domain: Domain, k_percent: float, split: str, total: int) -> None:
    from prerec_pyro.evaluation.metrics import top_k_size

    try:
        top_k_size(domain.num_items, k_percent)
    except InputError as error:
        raise InputError(f"--k-percent {k_percent}: {error}") from None
    if not total:
        raise InputError(
            f"--split {split}: no such user of domain {domain.name!r} has two events, so there is no query; choose "
            "another split or domain"
        )


def _check_leaks(models: Mapping[Path, Model], domain: Domain, split_seed: int) -> None:
    """Warn where a model was trained on users that are now measured, since it split them by another seed."""
    for path, model in models.items():
        seen = {source["fingerprint"] for source in model.facts.get("domains", [])}
        used = model.facts.get("split_seed", 0)
        if domain.fingerprint in seen and used != split_seed:
            logger.warning(
                "%s was trained on users of this domain split by seed %d; --split-seed %d mixes them with the others",
                *(path, used, split_seed),
            )


def _plain_wish(models: list[Model], domain: Domain, encoder: str | None, window: int, device: str) -> PreRec:
    """Return a model that is never trained, but wants the domain encoded as the baselines do."""
    from prerec_pyro.data.text.encoder import load_encoder
    from prerec_pyro.recommenders.prerec import PreRec

    wish = PreRec(window=window, device=device)
    if models:
        wish.encoder_name, wish.encoder_revision = models[0].encoder_name, models[0].encoder_revision
        wish.normalizer = models[0].normalizer
    if encoder is not None and domain.embeddings is None:
        loaded = load_encoder(encoder, str(wish.device))
        wish.encoder_name, wish.encoder_revision = loaded.name, loaded.revision
    return wish


def _baseline(name: str) -> Recommender:
    from prerec_pyro.models.baselines import SBERT, MostPopular, Random

    return {"random": Random, "pop": MostPopular, "sbert": SBERT}[name]()


def _print(rows: list[dict[str, Any]], several: bool) -> None:
    """Print the rows with the best of each metric, among those of one subset, marked."""
    import pandas as pd

    cells: list[dict[str, Any]] = []
    for row in rows:
        rivals = [other for other in rows if other["subset"] == row["subset"]]
        marked = {name: _marked(row.get(name), [other.get(name) for other in rivals]) for name in _METRICS}
        cell = {"method": row["method"], **({"model": row.get("model", "")} if several else {})}
        cell |= {"subset": row["subset"], **marked}
        cells.append(cell | {"mean_popularity": row.get("mean_popularity"), "queries": row["num_queries"]})
    console.print_table(pd.DataFrame(cells).astype(object), index=False)
    if any(cell[name].endswith("*") for cell in cells for name in _METRICS):
        console.say("* the best of its column")


def _marked(value: float | None, all_values: Sequence[float | None]) -> str:
    if value is None:
        return "-"
    values = [other for other in all_values if other is not None]
    best = value == max(values) and value > min(values)
    return f"{value:.4f}" + ("*" if best else "")
