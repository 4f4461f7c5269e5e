"""``prerec-pyro data import``: logs and items from files of several formats to domains."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from prerec_pyro.cli import console, options, outputs
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from prerec_pyro.data.domain import Domain

F = TypeVar("F", bound=Callable[..., Any])

logger = logging.getLogger(__name__)
_MOST_NAMED_FILES = 3


@click.group("import")
def import_() -> None:
    """Import a log and its items as a domain."""


def _out_and_name(default: str) -> Callable[[F], F]:
    """Return a decorator that adds ``--out`` and ``--name``, which has the given default in its help."""
    return lambda function: options.apply(
        function,
        click.option("--out", required=True, metavar="DIR", type=options.PATH, help="Domain folder to write."),
        click.option("--name", metavar="N", help=f"Name of the domain in tables and models.  [default: {default}]"),
    )


def _parse_columns(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for value in values:
        ours, equals, theirs = value.partition("=")
        if not (ours and equals and theirs):
            raise InputError(f"--column {value}: expected OURS=THEIRS, such as --column user_id=reviewerID")
        if ours in columns:
            raise InputError(f"--column {value}: {ours} is mapped to {columns[ours]!r} already; give it once")
        columns[ours] = theirs
    return columns


def _no_columns(ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> None:
    if values:
        raise InputError(
            f"--column {values[0]}: `data import {ctx.info_name}` reads files with fixed column names; rename the "
            "column in the file, or use `data import csv`, which maps columns"
        )


_COLUMNS = click.option(
    "--column",
    "columns",
    metavar="OURS=THEIRS",
    multiple=True,
    callback=_parse_columns,
    help="Map a column of your files: --column user_id=reviewerID. OURS is user_id, item_id, timestamp, order, text "
    "or, for the day on which the store listed an item, first_seen; text=title+brand joins two columns. Repeat the "
    "option for several columns; usual column names need no mapping.",
)
# Error messages of the readers mention --column, so commands without it explain why they do not take it.
_NO_COLUMNS = click.option("--column", multiple=True, hidden=True, expose_value=False, callback=_no_columns)


@import_.command("csv", short_help="CSV, TSV or Parquet files of interactions and items, or of items alone.")
@click.argument("src", nargs=-1, required=True, type=options.PATH)
@_out_and_name("name of the folder")
@_COLUMNS
@console.verbosity
def import_csv(src: tuple[Path, ...], columns: dict[str, str], name: str | None, out: Path) -> None:
    """Import CSV, TSV or Parquet files of interactions and items, or of items alone.

    SRC is a folder that holds interactions.* and items.*, or these two files. One file of items, or a folder that holds
    items.* and no other table, makes a domain without a log: what a store has on its first day. CSV and TSV files may
    be gzipped (.gz).
    """

    def read() -> Domain:
        from prerec_pyro.data.readers import read_tables

        return read_tables(src, columns=columns, name=name)

    _import(read, src, name, out)


@import_.command("parquet", short_help="Folders of many Parquet files, read in batches.")
@click.argument("src", type=options.PATH)
@_out_and_name("name of the folder")
@_COLUMNS
@console.verbosity
def import_parquet(src: Path, columns: dict[str, str], name: str | None, out: Path) -> None:
    """Import folders of many Parquet files, read in batches.

    SRC is a folder with the subfolders interactions and items, each with .parquet files at any depth. A folder named
    key=value gives its files a column key.
    """

    def read() -> Domain:
        from prerec_pyro.data.readers import read_parquet

        return read_parquet(src, columns=columns, name=name)

    _import(read, (src,), name, out)


@import_.command("recbole", short_help="Atomic files of RecBole (.inter and .item).")
@click.argument("src", nargs=-1, required=True, type=options.PATH)
@_out_and_name("name of the .inter file")
@_NO_COLUMNS
@console.verbosity
def import_recbole(src: tuple[Path, ...], name: str | None, out: Path) -> None:
    """Import atomic files of RecBole.

    SRC is a folder that holds one .inter and one .item file, or these two files.
    """

    def read() -> Domain:
        from prerec_pyro.data.readers import read_recbole

        return read_recbole(src, name=name)

    _import(read, src, name, out)


@import_.command("online-retail", short_help="Online Retail (UCI), prepared as in the paper.")
@click.argument("src", type=options.PATH)
@_out_and_name("online-retail")
@_NO_COLUMNS
@console.verbosity
def import_online_retail(src: Path, name: str | None, out: Path) -> None:
    """Import Online Retail of the UCI repository, prepared as in the paper.

    An item is a Description and a user is an InvoiceNo. SRC is the original .xlsx file, the same table as .csv or
    .csv.gz, or a folder with one of these files.
    """

    def read() -> Domain:
        from prerec_pyro.data.readers import read_online_retail

        return read_online_retail(src, name=name or "online-retail")

    _import(read, (src,), name, out)


@import_.command("xmarket", short_help="Files of one XMarket market, with all its categories.")
@click.argument("src", nargs=-1, required=True, type=options.PATH)
@_out_and_name("xmarket-MARKET")
@click.option("--market", metavar="XX", help="Market to import, such as ca. Required if SRC holds several.")
@click.option(
    "--category",
    "categories",
    metavar="C",
    multiple=True,
    help="Category to import, such as Electronics. Repeat the option for several.  [default: all]",
)
@click.option(
    "--interactions",
    type=click.Choice(["ratings", "reviews"]),
    help="Files to read the interactions from; both kinds hold the same ones.  [default: ratings, or reviews for a "
    "category without ratings]",
)
@_NO_COLUMNS
@console.verbosity
def import_xmarket(
    src: tuple[Path, ...],
    market: str | None,
    categories: tuple[str, ...],
    interactions: Literal["ratings", "reviews"] | None,
    name: str | None,
    out: Path,
) -> None:
    """Import the files of one XMarket market, with all its categories.

    SRC is the folder FULL, the folder of a market or a category, or single files, gzipped (.gz) or not:

    \b
      ratings_<market>_<category>.txt      userId itemId rate date, no header
      reviews_<market>_<category>.json     a list of reviews per line
      metadata_<market>_<category>.json    one item per line

    A user or an item that occurs in several categories is imported once, and so is an interaction. The items are those
    of the metadata; interactions with other items are dropped. A category without metadata has the items of its
    interactions, without texts. The text of an item is its title, features and categories. Lines may be JSON or Python
    literals. The number of dropped rows is logged for each reason.
    """  # noqa: D301 (\b tells click to keep the line breaks)

    def read() -> Domain:
        from prerec_pyro.data.readers import read_xmarket

        return read_xmarket(src, market=market, categories=categories, interactions=interactions, name=name)

    _import(read, src, name, out)


def _import(read: Callable[[], Domain], src: tuple[Path, ...], name: str | None, out: Path) -> None:
    """Read a domain, save it and print its size; `out` is written only if all steps succeed."""
    from prerec_pyro.data import storage
    from prerec_pyro.data.statistics import describe

    outputs.check_out_folder(out, storage.replaceable, src)
    if name is not None:
        _check_name(name)
    logger.info("reading %s", ", ".join(map(str, src)))
    domain = read()
    _check_name(domain.name)
    _log_import(domain)
    domain.save(out)
    logger.info("wrote %s", out)
    print_table3([describe(domain)])


def _check_name(name: str) -> None:
    if not name.strip() or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        raise InputError(
            f"--name {name!a}: expected a name without control characters; give one, such as --name office"
        )


def _log_import(domain: Domain) -> None:
    """Log the size of an imported domain, the dropped rows and the notes of the reader."""
    names = list(dict.fromkeys(domain.provenance["files"]))
    files = " and ".join(names) if len(names) <= _MOST_NAMED_FILES else f"{len(names)} files"
    logger.info(
        "read %s: %s interactions of %s users with %s items",
        *(files, f"{domain.num_interactions:,}", f"{domain.num_users:,}", f"{domain.num_items:,}"),
    )
    for reason, count in domain.provenance["dropped"].items():
        if count:
            logger.info("dropped: %s rows (%s)", f"{count:,}", reason)
    for note in domain.provenance["notes"]:
        logger.info("note: %s", note)
    if not any(text.strip() for text in domain.item_texts):
        logger.warning(
            "no item of %s has a text: popularity works on this domain, but models of texts cannot tell its items "
            "apart",
            domain.name,
        )


def print_table3(described: Sequence[dict[str, Any]]) -> None:
    """Print the columns of the paper's Table 3, one row per domain.

    Parameters
    ----------
    described
        Statistics of `describe`.
    """
    import pandas as pd

    rows = pd.DataFrame([one["table3"] for one in described], index=[one["name"] for one in described])
    console.print_table(rows.rename_axis("Domain"))
