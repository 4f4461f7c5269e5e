"""``prerec-pyro infer``: the top items for each user, as a table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prerec_pyro.cli import allocator, console, options, outputs
from prerec_pyro.cli.lists import ray_job, users_file
from prerec_pyro.cli.lists import uncertainty as list_uncertainty
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from prerec_pyro.data.domain import Domain
    from prerec_pyro.data.encoded import EncodedDomain
    from prerec_pyro.ranking.approximate import Approximation
    from prerec_pyro.recommenders.calibrated import CalibratedPreRec
    from prerec_pyro.recommenders.posterior_mean import PosteriorMeanPreRec
    from prerec_pyro.recommenders.registry import Model

logger = logging.getLogger(__name__)
_COLUMNS = ("user_id", "item_id", "score", "rank")
_SUFFIXES = (".parquet", ".csv", ".jsonl")
USERS_AT_A_TIME = 8192  # bounds the rows in memory


@click.command(short_help="Write the top items for each user of a domain.")
@click.option("--model", required=True, metavar="MODEL", type=options.PATH, help="Folder made by `train`.")
@click.option("--domain", required=True, metavar="DIR", type=options.PATH, help="Where to recommend.")
@click.option(
    "--out", required=True, metavar="FILE", type=options.PATH, help="Table to write: .parquet, .csv or .jsonl."
)
@click.option(
    "--users",
    metavar="FILE",
    type=options.PATH,
    help="For whom: users of the domain, one id a line or a column user_id; or histories of people that it has never "
    "seen, columns user_id, item_id and, if there is one, timestamp or order (CSV, TSV, Parquet, JSONL). By default "
    "all users of the domain.",
)
@click.option("--top-k", type=click.IntRange(min=1), default=20, show_default=True, help="Items for each user.")
@options.do
@click.option(
    "--calibrate",
    is_flag=True,
    help="In a domain that is new to the model, read off its log how far to trust texts, popularity and repeats.",
)
@click.option(
    "--at",
    metavar="TIME",
    help="The moment to recommend at, an ISO time (2011-06-01T12:00, UTC) or seconds since 1970: only events before it "
    "count. By default the day after the log ends.",
)
@click.option(
    "--seen",
    type=click.Choice(["drop", "keep"]),
    default="drop",
    show_default=True,
    help="What becomes of items that a user had already.",
)
@click.option(
    "--approximate",
    metavar="CELLS",
    type=click.IntRange(min=1),
    help="Of 65,536 items or more, find the best by an index (pip install 'prerec-pyro[ann]') of about 2 √items cells, "
    "of which each user looks at so many: 64 is a good start. How much of the exact lists is found is said. "
    "By default lists are exact.",
)
@click.option(
    "--uncertainty",
    is_flag=True,
    help="Add columns p_top_k, the probability that the item is among the user's K best, and confidence, its mean over "
    "the user's list, over draws of D and S: of --posterior, or, in a domain that is new to the model, of their prior.",
)
@click.option(
    "--posterior",
    metavar="FILE",
    type=options.PATH,
    help="The domain's, written by `diagnose`: lists are made with D and S at its mean, D alone where S comes of "
    "--calibrate.",
)
@click.option(
    "--draws", type=click.IntRange(min=1), default=64, show_default=True, help="For --uncertainty: how many draws."
)
@ray_job.options
@options.device
@console.verbosity
def command(
    model: Path,
    domain: Path,
    out: Path,
    users: Path | None,
    top_k: int,
    do: dict[str, Any],
    calibrate: bool,
    at: str | None,
    seen: str,
    approximate: int | None,
    uncertainty: bool,
    posterior: Path | None,
    draws: int,
    engine: str,
    workers: int,
    shard_users: int,
    device: str,
) -> None:
    """Write the top items for each user of a domain: user_id, item_id, score and rank, from 1.

    A domain that the model was trained on is recognised by its name and items; any other is served zero-shot.
    """
    with console.timed("imports"), allocator.kept():
        from prerec_pyro.data.domain import Domain
        from prerec_pyro.recommenders.registry import load_model

    sources = [model, domain, *(path for path in (users, posterior) if path)]
    if engine == "ray":
        ray_job.check(out, sources, uncertainty)
    else:
        outputs.check_out_file(out, _SUFFIXES, sources)
    _check_together(uncertainty, posterior, approximate, engine)
    with console.timed("loading the model"):
        trained = load_model(model, device)
    _check_do(trained, do)
    with console.timed("loading the domain"):
        shop = Domain.load(domain)
    named = _whom(users, shop)
    with console.timed("texts and popularity"):
        encoded = trained.encode(shop)
    if calibrate:
        trained = _calibrated(trained, model)
    if posterior is not None:
        trained = _informed(trained, model, encoded, posterior)
    if engine == "ray":
        asked = {"top_k": top_k, "do": do, "at": at, "seen": seen, "calibrate": calibrate, "device": device}
        ray_job.run(out, model, domain, encoded, named, asked, shard_users, workers)
        return
    ask = trained.recommend
    if uncertainty:
        ask = list_uncertainty.asker(trained, model, encoded, posterior, draws)
    asked = {"k": top_k, "do": do, "at": at, "seen": seen}
    if approximate is not None:
        asked["approximation"] = _approximation(approximate, shop)
    with console.timed("recommending"):
        _write(
            _recommend(ask, encoded, named, asked),
            out,
            [*_COLUMNS, *(list_uncertainty.COLUMNS if uncertainty else ())],
        )


def _check_together(uncertainty: bool, posterior: Path | None, approximate: int | None, engine: str) -> None:
    if posterior is not None and engine == "ray":
        raise InputError("--posterior: not with --engine ray; leave one of the two out")
    if approximate is not None and (uncertainty or engine == "ray"):
        other = "--uncertainty" if uncertainty else "--engine ray"
        raise InputError(f"--approximate: not with {other}; leave one of the two out")


def _check_do(model: Model, do: dict[str, Any]) -> None:
    from prerec_pyro.inference.interventions.scorer import Intervention
    from prerec_pyro.recommenders.text_baseline import TextBaseline

    if isinstance(model, TextBaseline):
        model.refuse(do)
    else:
        Intervention.check(do, latent_dim=model.config.latent_dim)


def _write(pieces: Iterable[pd.DataFrame], out: Path, columns: list[str]) -> None:
    rows = 0
    with outputs.staged_file(out) as beside, _writer(beside, out.suffix.lower(), columns) as write:
        for lists in pieces:
            write(lists)
            rows += len(lists)
    if not rows:
        logger.warning("nobody gets a list: %s has no row", out)
    logger.info("wrote %s: %s rows", out, f"{rows:,}")


def _calibrated(trained: Model, path: Path) -> CalibratedPreRec:
    from prerec_pyro.recommenders.calibrated import CalibratedPreRec
    from prerec_pyro.recommenders.prerec import PreRec

    if isinstance(trained, PreRec) and "S" in trained.graph.edges:
        return CalibratedPreRec(trained)
    raise InputError(f"--calibrate: {path} is a model of {trained.name}, which has no S to calibrate; leave it out")


def _informed(
    trained: Model | CalibratedPreRec, path: Path, encoded: EncodedDomain, posterior: Path
) -> PosteriorMeanPreRec:
    from prerec_pyro.inference.posterior.result import Posterior
    from prerec_pyro.recommenders.posterior_mean import PosteriorMeanPreRec
    from prerec_pyro.recommenders.text_baseline import TextBaseline

    if isinstance(trained, TextBaseline) or "D" not in trained.graph.edges:
        raise InputError(f"--posterior: {path} is a model of {trained.name}, which has no D and no S; leave it out")
    found = Posterior.load(posterior)
    try:
        informed = PosteriorMeanPreRec(trained, found)
        informed.scorer(encoded)  # says what does not fit
    except InputError as error:
        raise InputError(f"--posterior {posterior}: {error}") from None
    return informed


def _approximation(cells: int, domain: Domain) -> Approximation | None:
    from prerec_pyro.ranking.approximate import Approximation
    from prerec_pyro.ranking.lists import MANY_ITEMS

    if domain.num_items < MANY_ITEMS:
        logger.info("exact lists: domain %s has but %s items", domain.name, f"{domain.num_items:,}")
        return None
    return Approximation(cells)


def _whom(path: Path | None, domain: Domain) -> users_file.UsersFile:
    """Return the people of a file, or all users, checked against the domain; say on stderr which it was."""
    if path is None:
        logger.info("all %s users of domain %s", f"{domain.num_users:,}", domain.name)
        return users_file.UsersFile(users=domain.user_ids)
    named = users_file.read_users_file(path)
    try:
        if named.histories is None:
            domain.user_position(named.users)
            logger.info("%s: %s users of domain %s", path, f"{len(named.users):,}", domain.name)
        else:
            domain.item_position(named.histories["item_id"])
            count = named.histories["user_id"].nunique()
            logger.info("%s: %s people with histories of their own (it has a column item_id)", path, f"{count:,}")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return named


def _recommend(
    ask: Callable[..., pd.DataFrame], encoded: EncodedDomain, named: users_file.UsersFile, asked: Mapping[str, Any]
) -> Iterator[pd.DataFrame]:
    """Yield the lists, those of some users at a time."""
    if named.users is None:
        yield ask(encoded, histories=named.histories, **asked)
        return
    users: np.ndarray = named.users
    with console.progress(len(users), "recommending", unit="users") as bar:
        for begin in range(0, len(users), USERS_AT_A_TIME):
            some = users[begin : begin + USERS_AT_A_TIME]
            yield ask(encoded, some, **asked)
            bar.update(len(some))


@contextmanager
def _writer(path: Path, suffix: str, columns: Sequence[str]) -> Iterator[Callable[[pd.DataFrame], None]]:
    """Give a function that appends lists to a new file."""
    if suffix == ".parquet":
        with _parquet_writer(path, columns) as write:
            yield write
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        if suffix == ".csv":
            file.write(",".join(columns) + "\n")
            yield lambda lists: lists.to_csv(file, index=False, header=False, lineterminator="\n")
        else:
            yield lambda lists: lists.to_json(file, orient="records", lines=True, force_ascii=False)


@contextmanager
def _parquet_writer(path: Path, columns: Sequence[str]) -> Iterator[Callable[[pd.DataFrame], None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"user_id": pa.string(), "item_id": pa.string(), "score": pa.float32(), "rank": pa.int32()}
    schema = pa.schema([(name, types.get(name, pa.float32())) for name in columns])
    with pq.ParquetWriter(path, schema) as writer:
        yield lambda lists: writer.write_table(pa.Table.from_pandas(lists, schema, preserve_index=False))
