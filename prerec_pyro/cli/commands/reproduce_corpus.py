"""``prerec-pyro reproduce transfer`` and ``scaling``: zero-shot over a corpus of domains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prerec_pyro.cli import console, options, outputs, studies
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from prerec_pyro.reproduction.corpus.corpus import Corpus
    from prerec_pyro.reproduction.rows import Row

F = TypeVar("F", bound=Callable[..., Any])


def _corpus_options(function: F) -> F:
    """Return a command's function with the options of a corpus; a decorator."""
    return options.apply(
        function,
        click.option("--corpus", "folders", required=True, metavar="DIR", type=options.PATH, multiple=True,
                     help="Domain of the corpus, or a folder of domains; may be repeated."),
        click.option("--overlaps", metavar="FILE.json", type=options.PATH,
                     help="Domains that share items or people, a JSON list of groups of names such as "
                     '[["films-a", "films-b"]]: no domain is a source of a target of its group.'),
        click.option("--target", "targets", metavar="NAME", multiple=True,
                     help="Domain of the corpus to measure on; may be repeated.  [default: all]"),
        click.option("--source", "sources", metavar="NAME", multiple=True,
                     help="Domain of the corpus that may be a source; may be repeated.  [default: all]"),
        studies.out,
        studies.seeds,
        click.option("--k-percent", metavar="K", type=float, default=0.5, show_default=True,
                     help="K%, the length of a list in percent of the items; at least one item."),
        click.option("--max-queries", metavar="N", type=click.IntRange(min=1),
                     help="Measure a sample of about N queries of each target, of users drawn at random with a fixed "
                     "seed: for development.  [default: all queries]"),
        studies.split,
        options.split_seed,
        studies.methods,
        studies.epochs,
        studies.settings,
        studies.window,
        studies.encoder,
        options.device,
        console.verbosity,
    )  # fmt: skip


@click.command("transfer", short_help="Leave-one-domain-out over a corpus, with ratios to the best other row.")
@_corpus_options
def transfer(**given: Any) -> None:
    """Measure zero-shot on each domain of a corpus in turn; all that do not overlap it are the sources.

    Each target has a table of POP, SBERT, PreRec_n and PreRec, plain and calibrated, with intervals. A figure shows the
    ratio of PreRec to the best of the others.
    """
    from prerec_pyro import plots
    from prerec_pyro.reproduction.corpus.transfer import TRANSFER, check_rows, leave_one_out, ratio_frame
    from prerec_pyro.reproduction.rows import chosen

    rows = chosen(TRANSFER, given["methods"])
    check_rows(rows)
    corpus, targets = _corpus(rows, **given)
    report = leave_one_out(corpus, rows, targets)
    studies.write_figure(plots.plot_transfer(ratio_frame(report)), given["out"] / report.name)
    studies.write_report(report, given["out"])


def _parse_sizes(_ctx: click.Context, _parameter: click.Parameter, value: str) -> list[int]:
    names = [name.strip() for name in value.split(",")]
    for name in names:
        if not (name.isascii() and name.isdigit() and int(name) > 0):
            raise InputError(f"--domains {value}: {name!r} is no number of 1 or more; such as --domains 1,3,6,12")
    return [int(name) for name in names]


@click.command("scaling", short_help="Zero-shot against the number of source domains and interactions.")
@click.option(
    "--domains",
    "sizes",
    metavar="N,M",
    default="1,3,6,12",
    show_default=True,
    callback=_parse_sizes,
    help="Numbers of source domains; one above the number that there are stands for all.",
)
@click.option(
    "--orders",
    metavar="N",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Number of random orders of the sources; within an order, fewer sources are among more.",
)
@click.option(
    "--common-sources",
    is_flag=True,
    help="Give all targets the same sources, none of which overlaps any target: fewer models to train.",
)
@_corpus_options
def scaling(sizes: list[int], orders: int, common_sources: bool, **given: Any) -> None:
    """Measure zero-shot, plain and calibrated, after pre-training on more and more domains of a corpus.

    The figure shows the mean over the targets of the ratio to the better of POP and SBERT, against the number of source
    domains and of their interactions. No source overlaps its target.
    """
    from prerec_pyro import plots
    from prerec_pyro.reproduction.corpus import scaling as measuring
    from prerec_pyro.reproduction.corpus.transfer import check_rows
    from prerec_pyro.reproduction.rows import chosen

    rows = chosen(measuring.SCALING, given["methods"])
    check_rows(rows)
    corpus, targets = _corpus(rows, **given)
    report = measuring.scaling(corpus, rows, targets, sizes, orders, common_sources)
    studies.write_figure(plots.plot_scaling(measuring.curve_frame(report)), given["out"] / report.name)
    studies.write_report(report, given["out"])


def _corpus(rows: Sequence[Row], **given: Any) -> tuple[Corpus, list[str]]:
    """Return the corpus of the options, checked, and the names of its targets."""
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.reproduction.corpus.corpus import Corpus
    from prerec_pyro.reproduction.corpus.overlaps import read_overlaps
    from prerec_pyro.reproduction.plan import Plan

    files = [given["overlaps"]] if given["overlaps"] else []
    outputs.check_out_folder(given["out"], studies.replaceable, [*given["folders"], *files])
    trained = list(dict.fromkeys(row.method for row in rows if row.from_sources))
    plan = Plan(
        seeds=given["seeds"],
        split=given["split"],
        split_seed=given["split_seed"],
        window=given["window"],
        encoder=given["encoder"],
        device=given["device"],
        methods=studies.method_settings(trained, given["settings"], {}, given["epochs"]),
        max_queries=given["max_queries"],
    )
    domains = [Domain.load(folder) for folder in _domain_folders(given["folders"])]
    corpus = Corpus(
        given["out"],
        domains,
        plan,
        overlaps=read_overlaps(given["overlaps"], [d.name for d in domains]) if given["overlaps"] else [],
        sources=given["sources"] or None,
        k_percent=given["k_percent"],
        watch=studies.watch,
    )
    return corpus, corpus.names("--target", given["targets"] or None)


def _domain_folders(folders: Sequence[Path]) -> list[Path]:
    """Return the folders of domains: those given, or those in them."""
    found = []
    for folder in folders:
        inner = [] if (folder / "domain.json").exists() else sorted(folder.glob("*/domain.json"))
        found += [path.parent for path in inner] or [folder]
    return found
