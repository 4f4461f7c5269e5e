"""``prerec-pyro data``: importing, simulating and describing domains."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prerec_pyro.cli import console, options, outputs
from prerec_pyro.cli.commands.data_import import import_, print_table3

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)
# Key of `describe` → column head, in the table of several domains.
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


@click.group(short_help="Import, simulate and describe domains.")
def command() -> None:
    """Import, simulate and describe domains.

    A domain is one store, market or platform. It is a folder with interactions.parquet, items.parquet and domain.json.
    """


command.add_command(import_)


@command.command("simulate")
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=options.PATH,
    help="Folder to write; each domain becomes a folder in it.",
)
@click.option(
    "--domains",
    metavar="N",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Number of domains to simulate.",
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of the draws; the same seed gives the same domains.",
)
@console.verbosity
def simulate(out: Path, domains: int, seed: int) -> None:
    """Simulate domains by drawing from the causal graph.

    The item texts are made of real words. Writes the domains DIR/sim-0, DIR/sim-1, …, and the variables that generated
    each of them: DIR/sim-0.truth.safetensors, …
    """
    from prerec_pyro.data.simulation import simulate as simulation
    from prerec_pyro.data.statistics import describe

    outputs.check_out_folder(out, _holds_simulations_only)
    logger.info("drawing %d domains with seed %d", domains, seed)
    drawn = simulation.simulate(num_domains=domains, seed=seed)
    with outputs.staged_folder(out) as folder:
        simulation.save_simulated(drawn, folder)
    logger.info("wrote %s", ", ".join(str(out / one.domain.name) for one in drawn))
    print_table3([describe(one.domain) for one in drawn])


def _holds_simulations_only(folder: Path) -> bool:
    """Return whether `simulate` wrote everything in `folder`: domains, and the variables that generated them."""
    from prerec_pyro.data import storage

    for path in folder.iterdir():
        domain = folder / path.name.removesuffix(".truth.safetensors")
        if not domain.name.startswith("sim-") or not storage.replaceable(domain):
            return False
    return True


@command.command("describe")
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=options.PATH)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list with one object per domain instead.")
@console.verbosity
def describe_command(folders: tuple[Path, ...], as_json: bool) -> None:
    """Print statistics of domains.

    Prints the columns of the paper's Table 3, lengths of the users' logs, time range, density and the share of items
    without text, then the rows that the import dropped and its notes.
    """
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.data.statistics import describe

    described = [describe(Domain.load(folder)) for folder in folders]
    if as_json:
        console.say(json.dumps(described, indent=2, allow_nan=False))
        return
    console.print_table(_one_domain(described[0]) if len(described) == 1 else _several_domains(described))
    for one in described:
        prefix = "" if len(described) == 1 else f"{one['name']}: "
        for reason, count in one["dropped"].items():
            console.say(f"{prefix}dropped {count:,} rows ({reason})")
        for note in one["notes"]:
            console.say(f"{prefix}{note}")


def _one_domain(described: dict[str, Any]) -> pd.DataFrame:
    """Return a table with one row per statistic."""
    import pandas as pd

    plain = {key: value for key, value in described.items() if not isinstance(value, dict | list)}
    return pd.DataFrame({plain.pop("name"): pd.Series(plain, dtype=object)})


def _several_domains(described: list[dict[str, Any]]) -> pd.DataFrame:
    """Return a table with one row per domain, and dates without times."""
    import pandas as pd

    frame = pd.DataFrame(described).set_index("name")[list(_COLUMNS)]
    for key in ("first_time", "last_time"):
        frame[key] = frame[key].str[:10]
    return frame.rename(columns=_COLUMNS).rename_axis("Domain")
