"""``prerec-pyro tune``: a search of the paper's hyperparameters (Table 4) on validation users."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import click

from prerec_pyro.cli import console, options, outputs, set_option
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
    help="Domain to train on; once for each domain.",
)
@click.option(
    "--target",
    metavar="DIR",
    type=options.PATH,
    help="Rate a trial zero-shot on the validation users of this domain.  [default: those of the sources]",
)
@click.option("--method", type=click.Choice(METHODS), default="prerec", show_default=True, help="Method to tune.")
@click.option(
    "--trials",
    metavar="N",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    help="Number of trials, together with those of earlier runs.",
)
@click.option(
    "--out", required=True, metavar="FILE", type=options.PATH, help="JSON file to write: the best trial and all others."
)
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    callback=set_option.parse,
    help="Setting to hold fixed, such as latent_dim=128. An unknown name lists them all.",
)
@click.option("--epochs", metavar="N", type=click.IntRange(min=0), help="Most epochs of a trial.")
@click.option(
    "--split-seed", metavar="N", type=int, default=0, show_default=True, help="Seed of the 4:3:3 split of users."
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(0, set_option.MAX_SEED),
    default=0,
    show_default=True,
    help="Seed of training and of the search.",
)
@click.option("--encoder", metavar="NAME", help="Text encoder, a folder or a name.  [default: the packaged one]")
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
    """Search learning rate, batch size, negatives, layers, heads, width and prior scales. Test users are never read.

    The first trial is the method with its defaults. Trials are kept in FILE.journal, next to FILE. The same command
    continues an interrupted search, or adds trials when --trials is larger.
    """
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.recommenders.prerec import PreRec
    from prerec_pyro.recommenders.registry import offered_settings
    from prerec_pyro.reproduction.domains import check_distinct
    from prerec_pyro.reproduction.plan import MethodSettings
    from prerec_pyro.reproduction.tuning import Search, require_optuna, tune

    places = [*sources, *([target] if target else [])]
    outputs.check_out_file(out, (".json",), places)
    require_optuna()
    default = MethodSettings.default(method)
    if "seed" in settings:
        raise InputError(f"--set seed={settings['seed']}: is set by --seed; leave it out")
    joined = set_option.join(settings, {"epochs": ("--epochs", epochs)})
    shape, training = set_option.configs(joined, [default.shape, default.sources], offered_settings(method))
    domains = [Domain.load(folder) for folder in places]
    check_distinct(domains[: len(sources)], domains[len(sources) :])
    template = PreRec(encoder=encoder, device=device)
    encoded = [template.encode(domain) for domain in domains]
    search = Search(
        method,
        MethodSettings(shape, training, default.target),
        encoded[: len(sources)],
        encoded[-1] if target else None,
        template,
        fixed=frozenset(joined),
        split_seed=split_seed,
        seed=seed,
    )
    found = tune(search, trials, out.parent / f"{out.name}.journal")
    with outputs.staged_file(out) as beside:
        text = json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False)
        beside.write_text(text + "\n", encoding="utf-8")
    best, before = found["best"], found["default"]["validation_r_ndcg"]
    compared = "" if before is None else f"; with its defaults {before:.4f}"
    console.say(f"best of {len(found['trials'])} trials: validation r-NDCG {best['validation_r_ndcg']:.4f}{compared}")
    console.say(f"prerec-pyro train {found['options']}")
    logger.info("wrote %s", out)
