"""``prerec-pyro train``: pre-train on source domains."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prerec_pyro.cli import console, options, outputs
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    from prerec_pyro.inference.svi import TrainConfig
    from prerec_pyro.models.graph import GraphConfig
    from prerec_pyro.models.priors import Priors

logger = logging.getLogger(__name__)
_MAX_SEED = 2**32 - 1


def _parse_settings(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    settings: dict[str, str] = {}
    for value in values:
        name, _, text = value.partition("=")
        if not (name and text):
            raise InputError(f"--set {value}: expected NAME=VALUE, such as --set latent_dim=128")
        if name in settings:
            raise InputError(f"--set {value}: {name} is set to {settings[name]} already; give it once")
        settings[name] = text
    return settings


@click.command(short_help="Pre-train on source domains.")
@click.option(
    "--source",
    "sources",
    required=True,
    metavar="DIR",
    type=options.PATH,
    multiple=True,
    help="Domain to train on, made by `data import`; give the option once for each.",
)
@click.option("--out", required=True, metavar="MODEL", type=options.PATH, help="Model folder to make.")
@click.option(
    "--method",
    type=click.Choice(["prerec", "prerec_n"]),
    help="prerec_n leaves out the confounders D and Z.  [default: prerec]",
)
@click.option(
    "--prior",
    "priors",
    metavar="NODE=FAMILY:NAME=NUMBER,...",
    multiple=True,
    help="Prior of D, Z, V, U or S: D=student_t:df=4,scale=0.5. Families: normal, student_t, laplace.",
)
@click.option(
    "--free",
    metavar="NODE",
    multiple=True,
    default=("D", "V", "S"),
    show_default=True,
    help="Node with a MAP of its own, D, V or S, once for each; none for none of them.",
)
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_parse_settings,
    help="Any other setting of the graph or of training: latent_dim=256, learning_rate=1e-3. A name that does not "
    "exist lists all.",
)
@click.option("--epochs", type=click.IntRange(min=0), help="Most passes over the largest source domain.")
@click.option("--seed", type=click.IntRange(0, _MAX_SEED), help="Same seed, same model.  [default: 0]")
@click.option("--encoder", metavar="NAME", help="Text encoder: a folder or a name; by default the packaged one.")
@click.option(
    "--normalizer",
    type=click.Choice(["catalogue", "active"]),
    default="catalogue",
    show_default=True,
    help="What popularity is relative to: the mean over all items, or over those sold in the window.",
)
@options.device
@click.option("--resume", is_flag=True, help="Go on with the same command where it was cut off.")
@console.verbosity
def command(
    sources: tuple[Path, ...],
    out: Path,
    method: str | None,
    priors: tuple[str, ...],
    free: tuple[str, ...],
    settings: dict[str, str],
    epochs: int | None,
    seed: int | None,
    encoder: str | None,
    normalizer: str,
    device: str,
    resume: bool,
) -> None:
    """Pre-train on source domains, and keep the epoch that is best on their validation users.

    The state after each epoch lies beside MODEL, in .MODEL.training, until the run has ended well; with --resume the
    same command goes on from there.
    """
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.inference import checkpoint
    from prerec_pyro.recommender import PreRec

    outputs.check_out_folder(out, _replaceable, sources)
    shorthands = {"epochs": ("--epochs", epochs), "seed": ("--seed", seed)}
    shorthands["confounders"] = ("--method", None if method is None else method == "prerec")
    graph, training = _configs(_joined(settings, shorthands))
    model = PreRec(
        graph,
        training=training,
        priors=_parse_priors(priors),
        free=_parse_free(free),
        encoder=encoder,
        normalizer=normalizer,
        device=device,
    )
    state = out.parent / f".{out.name}.training"
    if resume:
        checkpoint.load_progress(state, {})  # refuses before any work if there is nothing to resume
    elif state.exists():
        logger.warning("%s holds an unfinished run; without --resume it is replaced after the first epoch", state)
    domains = [Domain.load(folder) for folder in sources]
    for domain in domains:
        facts = (f"{domain.num_interactions:,}", f"{domain.num_users:,}", f"{domain.num_items:,}")
        logger.info("source %s: %s interactions of %s users with %s items", domain.name, *facts)
    model.fit(domains, progress_folder=state, resume=resume)
    model.save(out)
    shutil.rmtree(state, ignore_errors=True)
    best = model.facts
    logger.info("best epoch %d: validation r-NDCG %.4f", best["best_epoch"], best["validation_r_ndcg"])
    logger.info("wrote %s", out)


def _replaceable(folder: Path) -> bool:
    from prerec_pyro.inference import checkpoint

    checkpoint.check_writable(folder)  # raises with a better message than ours
    return True


def _joined(settings: Mapping[str, str], shorthands: Mapping[str, tuple[str, Any]]) -> dict[str, str]:
    """Return the settings with those that have an option of their own."""
    joined = dict(settings)
    for name, (option, value) in shorthands.items():
        if value is None:
            continue
        if name in settings:
            raise InputError(f"--set {name}={settings[name]}: {option} sets {name} too; give one of the two")
        joined[name] = str(value)
    return joined


def _configs(settings: Mapping[str, str]) -> tuple[GraphConfig, TrainConfig]:
    """Return the two configurations that `settings`, name → text, are about.

    Raises
    ------
    InputError
        If a name is unknown, or a value is not what its field takes.
    """
    from prerec_pyro.inference.svi import TrainConfig
    from prerec_pyro.models.graph import GraphConfig

    kinds = (GraphConfig, TrainConfig)
    fields = {name: field.description for kind in kinds for name, field in kind.model_fields.items()}
    for name, text in settings.items():
        if name not in fields:
            allowed = ", ".join(name + (f" ({about})" if about else "") for name, about in fields.items())
            raise InputError(f"--set {name}={text}: there is no setting {name!r}; expected one of {allowed}")
    graph, training = (_built(kind, {n: t for n, t in settings.items() if n in kind.model_fields}) for kind in kinds)
    return graph, training


def _built(kind: type[BaseModel], settings: Mapping[str, str]) -> Any:
    from pydantic import ValidationError

    try:
        built = kind(**settings)
    except ValidationError as error:
        raise InputError(_sentence(error, settings)) from None
    for name in settings:
        value = getattr(built, name)
        if (name == "seed" and not 0 <= value <= _MAX_SEED) or not math.isfinite(value):
            limits = f"from 0 to {_MAX_SEED}" if name == "seed" else "that is finite"
            raise InputError(f"--set {name}={settings[name]}: should be a number {limits}")
    return built


def _sentence(error: ValidationError, settings: Mapping[str, str]) -> str:
    parts = []
    for one in error.errors():
        name = str(one["loc"][0])
        parts.append(f"--set {name}={settings[name]}: {one['msg'].removeprefix('Input ')}")
    return "; ".join(parts)


def _parse_priors(texts: tuple[str, ...]) -> Priors:
    from prerec_pyro.models.priors import Priors, parse

    parsed: dict[str, Any] = {}
    for text in texts:
        node, prior = parse(text)
        if node in parsed:
            raise InputError(f"--prior {text}: {node} has a prior already; give it once")
        parsed[node] = prior
    return Priors(**parsed)


def _parse_free(nodes: tuple[str, ...]) -> frozenset[str]:
    if "none" in nodes and len(nodes) > 1:
        raise InputError(f"--free none: excludes --free {next(n for n in nodes if n != 'none')}; give one or the other")
    return frozenset(nodes) - {"none"}
