"""``prerec-pyro data``: logs to domains, synthetic domains, and what a domain looks like."""

from __future__ import annotations

import json
import logging
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from prerec_pyro.cli import console, outputs
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from prerec_pyro.data.domain import Domain

F = TypeVar("F", bound=Callable[..., Any])

logger = logging.getLogger(__name__)
_PATH = click.Path(path_type=Path)
_NAMED_FILES = 3
# Key of `describe` → head of the column, in a table of several domains.
_COLUMNS = {
    "num_items": "#Items",
    "num_users": "#Users",
    "num_interactions": "#Inters",
    "num_queries": "Queries",
    "first_time": "From",
    "last_time": "To",
    "user_length_mean": "Events a user",
    "share_items_without_text": "No text",
    "gini_items": "Gini",
}


@click.group(short_help="Bring logs in as domains, draw synthetic domains, describe them.")
def command() -> None:
    """Bring logs in as domains, draw synthetic domains, describe them.

    A domain is one store, market or platform: a folder of two Parquet files and domain.json.
    """


@command.group("import")
def import_() -> None:
    """Read a log and its items as a domain."""


def _out_and_name(function: F) -> F:
    name = click.option("--name", metavar="N", help="What to call the domain in tables.")
    out = click.option("--out", required=True, metavar="DIR", type=_PATH, help="Folder to make.")
    return out(name(function))


def _parse_columns(_ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for value in values:
        ours, equals, theirs = value.partition("=")
        if not (ours and equals and theirs):
            raise InputError(f"--column {value}: expected OURS=THEIRS, such as --column user_id=reviewerID")
        if ours in columns:
            raise InputError(f"--column {value}: {ours} is mapped to {columns[ours]!r} already; give it once")
        columns[ours] = theirs
    return columns


def _no_columns(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> None:
    if values:
        raise InputError(
            f"--column {values[0]}: `data import {ctx.info_name}` reads files whose column names are fixed; rename "
            "the column in the file, or use `data import csv`, which maps columns"
        )


# Messages of the checks speak of --column, so it is answered here too.
_NO_COLUMNS = click.option("--column", multiple=True, hidden=True, expose_value=False, callback=_no_columns)


@import_.command("csv")
@click.argument("src", nargs=-1, required=True, type=_PATH)
@_out_and_name
@click.option(
    "--column",
    "columns",
    metavar="OURS=THEIRS",
    multiple=True,
    callback=_parse_columns,
    help="Name of a column in your files, where it is not guessed: user_id=reviewerID. Ours are user_id, item_id, "
    "timestamp, order and text; text=title+brand joins two.",
)
@console.verbosity
def import_csv(src: tuple[Path, ...], columns: dict[str, str], name: str | None, out: Path) -> None:
    """CSV, TSV or Parquet: interactions and items.

    SRC is a folder that holds interactions.* and items.*, or the two files; CSV and TSV may be gzipped (.gz).
    """

    def read() -> Domain:
        from prerec_pyro.data.readers import read_tables

        return read_tables(src, columns=columns, name=name)

    _import(read, src, name, out)


@import_.command("parquet")
@click.argument("src", type=_PATH)
@_out_and_name
@click.option(
    "--column", "columns", metavar="OURS=THEIRS", multiple=True, callback=_parse_columns, help="As in `import csv`."
)
@console.verbosity
def import_parquet(src: Path, columns: dict[str, str], name: str | None, out: Path) -> None:
    """Folders of Parquet parts, read batch by batch.

    SRC is a folder that holds interactions and items, each a folder of .parquet files at any depth. What folders named
    key=value say is a column.
    """

    def read() -> Domain:
        from prerec_pyro.data.readers import read_parquet

        return read_parquet(src, columns=columns, name=name)

    _import(read, (src,), name, out)


@import_.command("recbole")
@click.argument("src", nargs=-1, required=True, type=_PATH)
@_out_and_name
@_NO_COLUMNS
@console.verbosity
def import_recbole(src: tuple[Path, ...], name: str | None, out: Path) -> None:
    """RecBole's atomic files: .inter and .item.

    SRC is a folder that holds one .inter and one .item file, or the two files.
    """

    def read() -> Domain:
        from prerec_pyro.data.readers import read_recbole

        return read_recbole(src, name=name)

    _import(read, src, name, out)


@import_.command("online-retail")
@click.argument("src", type=_PATH)
@_out_and_name
@_NO_COLUMNS
@console.verbosity
def import_online_retail(src: Path, name: str | None, out: Path) -> None:
    """UCI Online Retail, as in the paper.

    An item is a Description, a user is an InvoiceNo. SRC is the original .xlsx, a .csv or .csv.gz of it, or the folder
    of one of these.
    """

    def read() -> Domain:
        from prerec_pyro.data.readers import read_online_retail

        return read_online_retail(src, name=name or "online-retail")

    _import(read, (src,), name, out)


@import_.command("xmarket")
@click.argument("src", nargs=-1, required=True, type=_PATH)
@_out_and_name
@click.option("--market", metavar="XX", help="Market to import, such as ca; needed where SRC holds several.")
@click.option(
    "--category",
    "categories",
    metavar="C",
    multiple=True,
    help="Import this category only, such as Electronics; give the option once for each. All by default.",
)
@click.option(
    "--interactions",
    type=click.Choice(["ratings", "reviews"]),
    help="Files to take the interactions from. By default the ratings, and the reviews where a category has no "
    "ratings: the two hold the same interactions.",
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
    """XMarket's files of one market, all categories joined.

    SRC is the FULL folder, or that of a market or a category, or single files, gzipped (.gz) or not:

    \b
      ratings_<market>_<category>.txt      userId itemId rate date, no header
      reviews_<market>_<category>.json     a list of reviews on each line
      metadata_<market>_<category>.json    an item on each line

    A user or an item of several categories is one. The catalogue is what the metadata list, and interactions with
    other items are dropped; a category without metadata has the items of its interactions, without texts. The text
    of an item is its title, features and categories. An interaction that the files of two categories hold is read
    once. Lines may be JSON or Python literals. All that is dropped is counted and printed.
    """  # noqa: D301 (click looks for the character \\b)

    def read() -> Domain:
        from prerec_pyro.data.readers import read_xmarket

        return read_xmarket(src, market=market, categories=categories, interactions=interactions, name=name)

    _import(read, src, name, out)


def _import(read: Callable[[], Domain], src: tuple[Path, ...], name: str | None, out: Path) -> None:
    """Check, read, save and report; `out` comes to be only if all went well."""
    from prerec_pyro.data import storage
    from prerec_pyro.data.statistics import describe

    outputs.check_out_folder(out, storage.replaceable, src)
    if name is not None:
        _check_name(name)
    logger.info("reading %s", ", ".join(map(str, src)))
    domain = read()
    _check_name(domain.name)
    _report(domain)
    domain.save(out)
    logger.info("wrote %s", out)
    _print_table3([describe(domain)])


def _check_name(name: str) -> None:
    if not name.strip() or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        raise InputError(f"--name {name!a}: cannot be the domain's name; give one of letters, such as --name office")


def _report(domain: Domain) -> None:
    names = list(dict.fromkeys(domain.provenance["files"]))
    files = " and ".join(names) if len(names) <= _NAMED_FILES else f"{len(names)} files"
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
            "no item of %s has a text: POP and the popularity factors work on it, but whatever reads texts sees all "
            "its items alike",
            domain.name,
        )


def _print_table3(described: list[dict[str, Any]]) -> None:
    import pandas as pd

    rows = pd.DataFrame([one["table3"] for one in described], index=[one["name"] for one in described])
    console.print_table(rows.rename_axis("Domain"))


@command.command("simulate")
@click.option("--out", required=True, metavar="DIR", type=_PATH, help="Folder to make; each domain is a folder in it.")
@click.option("--domains", type=click.IntRange(min=1), default=4, show_default=True, help="How many to draw.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same domains.")
@console.verbosity
def simulate(out: Path, domains: int, seed: int) -> None:
    """Draw domains from the causal graph itself.

    Their item texts are made of real words. Writes DIR/sim-0, DIR/sim-1, … and, beside each, what generated it:
    DIR/sim-0.truth.safetensors.
    """
    from prerec_pyro.data.simulation import simulate as simulation
    from prerec_pyro.data.statistics import describe

    outputs.check_out_folder(out, _holds_simulations_only)
    logger.info("drawing domains (%d) with seed %d", domains, seed)
    drawn = simulation.simulate(num_domains=domains, seed=seed)
    with outputs.staged_folder(out) as folder:
        simulation.save_simulated(drawn, folder)
    logger.info("wrote %s", ", ".join(str(out / one.domain.name) for one in drawn))
    _print_table3([describe(one.domain) for one in drawn])


def _holds_simulations_only(folder: Path) -> bool:
    """Whether all in `folder` was written by `simulate`: a domain, or the truth that lies beside one."""
    from prerec_pyro.data import storage

    for path in folder.iterdir():
        domain = folder / path.name.removesuffix(".truth.safetensors")
        if not domain.name.startswith("sim-") or not storage.replaceable(domain):
            return False
    return True


@command.command("describe")
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, one object a domain, and nothing else.")
@console.verbosity
def describe_command(folders: tuple[Path, ...], as_json: bool) -> None:
    """Print what domains look like in numbers.

    The paper's Table 3 and a little more: lengths, time range, density, missing texts, what was dropped or noticed.
    """
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.data.statistics import describe

    described = [describe(Domain.load(folder)) for folder in folders]
    if as_json:
        console.say(json.dumps(described, indent=2, allow_nan=False))
        return
    if len(described) == 1:
        _print_one(described[0])
    else:
        _print_several(described)
    for one in described:
        prefix = "" if len(described) == 1 else f"{one['name']}: "
        for reason, count in one["dropped"].items():
            console.say(f"{prefix}dropped {count:,} rows ({reason})")
        for note in one["notes"]:
            console.say(f"{prefix}{note}")


def _print_one(described: dict[str, Any]) -> None:
    import pandas as pd

    plain = {key: value for key, value in described.items() if not isinstance(value, dict | list)}
    console.print_table(pd.DataFrame({plain.pop("name"): pd.Series(plain, dtype=object)}))


def _print_several(described: list[dict[str, Any]]) -> None:
    import pandas as pd

    frame = pd.DataFrame(described).set_index("name")[list(_COLUMNS)]
    for key in ("first_time", "last_time"):
        frame[key] = frame[key].str[:10]
    console.print_table(frame.rename(columns=_COLUMNS).rename_axis("Domain"))
