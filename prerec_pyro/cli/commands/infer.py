"""``prerec-pyro infer``: a table with the top items for each user."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prerec_pyro.cli import allocator, console, options, outputs
from prerec_pyro.cli.lists import local_job, ray_job, uncertainty, users_file
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from prerec_pyro.data.batching.histories import Seen, Unknown
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.data.encoded import EncodedDomain
    from prerec_pyro.ranking.approximate import Approximation
    from prerec_pyro.recommenders.calibrated import CalibratedPreRec
    from prerec_pyro.recommenders.posterior_mean import PosteriorMeanPreRec
    from prerec_pyro.recommenders.registry import Model

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Options:
    """Options of the command; see `--help`."""

    model: Path
    domain: Path
    out: Path
    users: Path | None
    top_k: int
    do: dict[str, Any]
    calibrate: bool
    plain: bool
    unknown: Unknown | None
    at: str | None
    seen: Seen
    approximate: int | None
    uncertainty: bool
    posterior: Path | None
    draws: int
    engine: str
    workers: int
    shard_users: int
    device: str


@click.command(short_help="Write the top items for each user of a domain.")
@click.option("--model", required=True, metavar="MODEL", type=options.MODEL, help=options.MODEL_HELP)
@click.option("--domain", required=True, metavar="DIR", type=options.PATH, help="Domain folder to recommend in.")
@click.option(
    "--out", required=True, metavar="FILE", type=options.PATH, help="Table to write: .parquet, .csv or .jsonl."
)
@click.option(
    "--users",
    metavar="FILE",
    type=options.PATH,
    help="Users to recommend to (text, CSV, TSV, Parquet or JSON Lines): users of the domain, as one id per line or a "
    "column user_id; or new users with their histories, as columns user_id, item_id and optionally timestamp or "
    "order.  [default: all users of the domain; one list with an empty user_id where the domain has no log]",
)
@click.option(
    "--unknown",
    type=click.Choice(["popular", "skip", "error"]),
    help="Users of --users who are not in the log, or have no event before --at: popular gives them the list of "
    "somebody without a history, which is what is popular or, without a log, what covers the catalogue; skip gives "
    "them none; error refuses ids that are not in the log.  [default: error; popular where the domain has no log]",
)
@click.option(
    "--top-k",
    metavar="N",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Number of items for each user.",
)
@options.do
@options.calibrate(
    "In a new domain with a log, first estimate the effect scales S (weights of texts and history, popularity and "
    "repeats) from it. This is the default, except with --posterior and --uncertainty, which have an S of their own."
)
@click.option(
    "--at",
    metavar="TIME",
    help="Time to recommend at: an ISO time in UTC (2011-06-01T12:00) or seconds since 1970. Only earlier events count."
    "  [default: the day after the log ends]",
)
@click.option(
    "--seen",
    type=click.Choice(["drop", "keep"]),
    default="drop",
    show_default=True,
    help="Drop or keep items of the user's history.",
)
@click.option(
    "--approximate",
    metavar="CELLS",
    type=click.IntRange(min=1),
    help="In domains of 65,536 items or more, find the best items by an approximate index that searches this many of "
    "about 2 √items cells; start with 64. The recall of the approximate lists is logged. Needs the extra `ann`.  "
    "[default: exact lists]",
)
@click.option(
    "--uncertainty",
    is_flag=True,
    help="Add two columns: p_top_k, the probability that the item is among the user's top k, and confidence, the mean "
    "of p_top_k over the user's list. Both average over draws of D and S from --posterior or, in a new domain, from "
    "their prior.",
)
@click.option(
    "--posterior",
    metavar="FILE",
    type=options.PATH,
    help="Posterior of the domain's D and S, written by `prerec-pyro diagnose`. D and S are set to their posterior "
    "mean; with --calibrate, only D.",
)
@click.option(
    "--draws",
    metavar="N",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="With --uncertainty: number of draws of D and S.",
)
@ray_job.options
@options.device
@console.verbosity
def command(**given: Any) -> None:
    """Write the top items for each user of a domain: columns user_id, item_id, score and rank (from 1).

    The model recognises a domain that it was trained on by name and items. Any other domain is new: the model
    recommends there zero-shot, without training. Where such a domain has a log, six numbers are estimated from it
    first (--plain leaves that out). Where it has none, histories of --users are matched by text, and people without a
    history get a list that covers the catalogue.
    """
    _run(_Options(**given))


def _run(chosen: _Options) -> None:
    with console.timed("imports"), allocator.without_garbage_collection():
        from prerec_pyro.data.domain import Domain
        from prerec_pyro.recommenders.registry import load_model

    _check_options(chosen)
    with console.timed("loading the model"):
        trained = load_model(chosen.model, chosen.device)
    _check_do(trained, chosen.do)
    with console.timed("loading the domain"):
        shop = Domain.load(chosen.domain)
    # An uncertain list is of somebody with a history.
    named = users_file.read_users(chosen.users, shop, chosen.unknown or ("error" if chosen.uncertainty else None))
    with console.timed("encoding texts and popularity"):
        encoded = trained.encode(shop)
    calibrated = _calibrated(chosen, trained, shop)
    served: Model | CalibratedPreRec | PosteriorMeanPreRec = calibrated
    if chosen.posterior is not None:
        served = _at_posterior_mean(calibrated, chosen.model, encoded, chosen.posterior)
    if chosen.engine == "ray":
        _write_shards(chosen, encoded, named, calibrate=calibrated is not trained)
        return
    recommend, columns = served.recommend, local_job.COLUMNS
    if chosen.uncertainty:
        columns += uncertainty.COLUMNS
        recommend = uncertainty.recommend_with_uncertainty(
            served, chosen.model, encoded, chosen.posterior, chosen.draws
        )
    settings: dict[str, Any] = {"k": chosen.top_k, "do": chosen.do, "at": chosen.at, "seen": chosen.seen}
    if chosen.unknown is not None and not chosen.uncertainty:
        settings["unknown"] = chosen.unknown
    if chosen.approximate is not None:
        settings["approximation"] = _approximation(chosen.approximate, shop)
    with console.timed("recommending"):
        local_job.run(chosen.out, columns, recommend, encoded, named, settings)


def _check_options(chosen: _Options) -> None:
    """Check the output and the options that exclude each other."""
    sources = [chosen.model, chosen.domain, *(path for path in (chosen.users, chosen.posterior) if path)]
    if chosen.engine == "ray":
        outputs.check_out_folder(chosen.out, lambda folder: True, sources)
        for option, value in (("--uncertainty", chosen.uncertainty), ("--posterior", chosen.posterior)):
            if value:
                raise InputError(f"{option}: cannot be combined with --engine ray; leave one of them out")
    else:
        outputs.check_out_file(chosen.out, local_job.SUFFIXES, sources)
    if chosen.uncertainty and chosen.unknown == "popular":
        raise InputError(
            "--uncertainty: cannot be combined with --unknown popular, whose list does not depend on a history; leave "
            "one of them out"
        )
    if chosen.approximate is not None and (chosen.uncertainty or chosen.engine == "ray"):
        other = "--uncertainty" if chosen.uncertainty else "--engine ray"
        raise InputError(f"--approximate: cannot be combined with {other}; leave one of them out")


def _check_do(model: Model, do: dict[str, Any]) -> None:
    from prerec_pyro.inference.interventions.scorer import Intervention
    from prerec_pyro.recommenders.text_baseline import TextBaseline

    if isinstance(model, TextBaseline):
        model.refuse(do)
    else:
        Intervention.check(do, model.graph)


def _write_shards(chosen: _Options, encoded: EncodedDomain, named: users_file.UsersFile, *, calibrate: bool) -> None:
    from prerec_pyro.serving.arrow import ListRequest

    if named.users is None:
        raise InputError(
            f"--users {chosen.users}: holds histories of new users, but --engine ray recommends to users of the domain "
            "only; give a file without a column item_id"
        )
    request = ListRequest(
        model=str(chosen.model.absolute()),
        domain=str(chosen.domain.absolute()),
        top_k=chosen.top_k,
        do=chosen.do,
        at=chosen.at,
        seen=chosen.seen,
        calibrate=calibrate,
        device=chosen.device,
        unknown=chosen.unknown,
    )
    ray_job.run(chosen.out, encoded, named.users, request, chosen.shard_users, chosen.workers)


def _calibrated(chosen: _Options, trained: Model, shop: Domain) -> Model | CalibratedPreRec:
    """Return the model, calibrated if S is to be estimated from the log of the domain."""
    from prerec_pyro.recommenders.calibrated import CalibratedPreRec
    from prerec_pyro.recommenders.prerec import PreRec

    if not (isinstance(trained, PreRec) and "S" in trained.graph.edges):
        if chosen.calibrate:
            raise InputError(
                f"--calibrate: {chosen.model} is a model of {trained.name}, which has no S to calibrate; leave it out"
            )
        return trained
    has_own_S = chosen.posterior is not None or chosen.uncertainty or not isinstance(chosen.do.get("S", ""), str)
    if chosen.plain or (has_own_S and not chosen.calibrate) or trained.sources.row(shop) is not None:
        return trained
    if shop.num_interactions == shop.num_users:  # nobody has a second event, so there is nothing to learn S from
        return trained
    logger.info("S of domain %s is estimated from its log (--plain leaves that out)", shop.name)
    return CalibratedPreRec(trained, only_last=chosen.at is None)


def _at_posterior_mean(
    trained: Model | CalibratedPreRec, path: Path, encoded: EncodedDomain, posterior: Path
) -> PosteriorMeanPreRec:
    from prerec_pyro.inference.posterior.result import Posterior
    from prerec_pyro.recommenders.posterior_mean import PosteriorMeanPreRec
    from prerec_pyro.recommenders.text_baseline import TextBaseline

    if isinstance(trained, TextBaseline) or "D" not in trained.graph.edges:
        raise InputError(f"--posterior: {path} is a model of {trained.name}, which has no D and no S; leave it out")
    found = Posterior.load(posterior)
    try:
        served = PosteriorMeanPreRec(trained, found)
        served.scorer(encoded)  # checks that the posterior fits the domain and the model
    except InputError as error:
        raise InputError(f"--posterior {posterior}: {error}") from None
    return served


def _approximation(cells: int, domain: Domain) -> Approximation | None:
    from prerec_pyro.ranking.approximate import Approximation
    from prerec_pyro.ranking.lists import MANY_ITEMS

    if domain.num_items < MANY_ITEMS:
        logger.info("exact lists: domain %s has only %s items", domain.name, f"{domain.num_items:,}")
        return None
    return Approximation(cells)
