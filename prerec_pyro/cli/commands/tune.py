"""``prerec-pyro tune``: the paper's Table 4, searched on validation users."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import click

from prerec_pyro.cli import console, options, outputs
from prerec_pyro.cli import set_option as parse_settings
from prerec_pyro.cli.commands.train import METHODS
from prerec_pyro.errors import InputError

logger = logging.getLogger(__name__)


@click.command(short_help="Search the paper's hyperparameters on validation users.")
@click.option(
    "--source",
    "sources",
    required=True,
    metavar="DIR",
    type=options.PATH,
    multiple=True,
    help="Domain to train on; give the option once for each.",
)
@click.option(
    "--target",
    metavar="DIR",
    type=options.PATH,
    help="Choose by zero-shot on this domain's validation users; by default by those of the sources.",
)
@click.option("--method", type=click.Choice(METHODS), default="prerec", show_default=True, help="What to tune.")
@click.option(
    "--trials", type=click.IntRange(min=1), default=30, show_default=True, help="How many, earlier runs' included."
)
@click.option("--out", required=True, metavar="FILE", type=options.PATH, help="JSON to write: the best and all trials.")
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    callback=parse_settings.parse,
    help="A setting to hold fixed. A name that does not exist lists all.",
)
@click.option("--epochs", type=click.IntRange(min=0), help="Most epochs of a trial.")
@click.option("--split-seed", type=int, default=0, show_default=True, help="Of the 4:3:3 split of users.")
@click.option(
    "--seed", type=click.IntRange(0, parse_settings.MAX_SEED), default=0, show_default=True, help="Of all training."
)
@click.option("--encoder", metavar="NAME", help="Text encoder; by default the packaged one.")
@options.device
@console.verbosity
def command(
    sources: tuple[Path, ...],
    target: Path | None,
    method: str,
    trials: int,
    out: Path,
    settings: dict[str, str],
    epochs: int | None,
    split_seed: int,
    seed: int,
    encoder: str | None,
    device: str,
) -> None:
    """Search learning rate, batch, negatives, layers, heads, width and prior scales; test users are never looked at.

    The first trial is the method as it is. Trials are kept beside FILE, in FILE.journal: the same command goes on where
    it was cut off, or adds to --trials.
    """
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.recommenders.prerec import PreRec
    from prerec_pyro.reproduction.domains import check_distinct
    from prerec_pyro.reproduction.plan import MethodSettings
    from prerec_pyro.reproduction.tuning import Search, require_optuna, tune

    places = [*sources, *([target] if target else [])]
    outputs.check_out_file(out, (".json",), places)
    require_optuna()
    default = MethodSettings.default(method)
    if "seed" in settings:
        raise InputError(f"--set seed={settings['seed']}: is set by --seed")
    joined = parse_settings.join(settings, {"epochs": ("--epochs", epochs)})
    shape, training = parse_settings.configs(joined, [default.shape, default.sources])
    domains = [Domain.load(folder) for folder in places]
    check_distinct(domains[: len(sources)], domains[len(sources) :])
    wish = PreRec(encoder=encoder, device=device)
    encoded = [wish.encode(domain) for domain in domains]
    search = Search(
        method,
        MethodSettings(shape, training, default.target),
        encoded[: len(sources)],
        encoded[-1] if target else None,
        wish,
        fixed=frozenset(joined),
        split_seed=split_seed,
        seed=seed,
    )
    found = tune(search, trials, out.parent / f"{out.name}.journal")
    with outputs.staged_file(out) as beside:
        text = json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False)
        beside.write_text(text + "\n", encoding="utf-8")
    best, before = found["best"], found["default"]["validation_r_ndcg"]
    compared = "" if before is None else f"; as it is {before:.4f}"
    console.say(f"best of {len(found['trials'])} trials: validation r-NDCG {best['validation_r_ndcg']:.4f}{compared}")
    console.say(f"prerec-pyro train {found['options']}")
    logger.info("wrote %s", out)
