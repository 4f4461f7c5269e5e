"""``prerec-pyro train``: pre-training on source domains, and fine-tuning on a target."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from prerec_pyro.cli import console, options, outputs, set_option
from prerec_pyro.cli.run_options import GRAPHS, RunOptions, run_of
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from prerec_pyro.cli.run_options import Run
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.recommenders.registry import Model
    from prerec_pyro.training.baseline_configs import BaselineTraining
    from prerec_pyro.training.recipes import TrainConfig

logger = logging.getLogger(__name__)


# The names of `prerec_pyro.recommenders.registry.METHODS`, which is too heavy to import for `--help`.
METHODS = ("prerec", "prerec_paper", "prerec_n", "zesrec", "unisrec", "sasrec", "gru4rec")


@click.command(short_help="Pre-train on source domains, or fine-tune on a target.")
@click.option(
    "--source",
    "sources",
    metavar="DIR",
    type=options.PATH,
    multiple=True,
    help="Domain to train on, made by `data import`; once for each domain.",
)
@click.option("--out", metavar="MODEL", type=options.PATH, help="Model folder to write.")
@click.option(
    "--graph",
    type=click.Choice(list(GRAPHS)),
    help="extended: the graph that ranks best on validation data; paper: Fig. 1 of the paper to the letter; "
    "unconfounded: the paper's graph without the confounders D and Z.  [default: extended]",
)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    help="prerec_paper is --graph paper, prerec_n is --graph unconfounded; zesrec, unisrec, sasrec and gru4rec are "
    "baselines.  [default: prerec, or the method of --from]",
)
@click.option(
    "--from",
    "parent",
    metavar="MODEL",
    type=options.MODEL,
    help="Fine-tune this model on one --source, the target: a model folder, or a model that ships with the package "
    "(base or open). MODEL itself does not change.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="Train on the first N training queries of the domain only, with --from or a baseline.  [default: all]",
)
@click.option(
    "--config",
    metavar="FILE",
    type=options.PATH,
    help="Run to start from, in .yaml or .json: the output of --print-config, or config.json of a saved model. "
    "Other options replace its values.",
)
@click.option("--print-config", is_flag=True, help="Print the whole run as YAML for --config, and do not train.")
@click.option(
    "--prior",
    "priors",
    metavar="NODE=FAMILY:NAME=NUMBER,...",
    multiple=True,
    help="Prior of D, Z, V, U or S, such as D=student_t:df=4,scale=0.5, or of the weights W_d or W_z, which are then "
    "random variables. Families: normal, student_t, laplace; for D, W_d and W_z also horseshoe, mixture, and a random "
    "scale: 'D=normal:scale=log_normal(median=0.02,sigma=1)', half_normal or half_cauchy.",
)
@click.option(
    "--free",
    metavar="NODE",
    multiple=True,
    help="Node with a MAP of its own: D, V or S, once for each; none for no node.  [default: D and V, if the graph has "
    "them]",
)
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    callback=set_option.parse,
    help="Setting of the graph or of training, such as latent_dim=128 or learning_rate=1e-3. An unknown name lists "
    "them all. Constants of a recipe are set in --config.",
)
@click.option("--epochs", metavar="N", type=click.IntRange(min=0), help="Most epochs, each as long as the data.")
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(0, set_option.MAX_SEED),
    help="The same seed gives the same model.  [default: 0]",
)
@click.option("--encoder", metavar="NAME", help="Text encoder, a folder or a name.  [default: the packaged one]")
@click.option(
    "--normalizer",
    type=click.Choice(["catalogue", "active"]),
    help="Popularity is relative to the mean over all items of the catalogue, or over those chosen in the window.  "
    "[default: catalogue]",
)
@options.device
@click.option("--resume", is_flag=True, help="Continue an interrupted run; give the same command again.")
@console.verbosity
def command(out: Path | None, print_config: bool, device: str, resume: bool, **given: Any) -> None:
    """Train on source domains and keep the epoch that ranks validation users best.

    The state after each epoch is in .MODEL.training, next to MODEL, until the run has ended well. The same command with
    --resume continues from it.

    Several processes can train together: torchrun --nproc-per-node 2 --no-python prerec-pyro train …, or the same with
    accelerate launch. Each process reads its own batches, and a step takes the mean of their gradients.
    """
    chosen = RunOptions(**{field.name: given[field.name] for field in fields(RunOptions)})
    state = None if out is None else out.parent / f".{out.name}.training"
    if not print_config:
        _check_places(chosen, out, state, resume)
    domains: dict[Path, Domain] = {}

    def load(folders: Sequence[Path]) -> list[Domain]:
        """Return the domains of folders, each read once."""
        from prerec_pyro.data.domain import Domain

        for folder in folders:
            if folder not in domains:
                domains[folder] = Domain.load(folder)
        return [domains[folder] for folder in folders]

    run = run_of(chosen, load)
    _check_sources(chosen, run)
    if print_config:
        console.say(run.to_yaml().rstrip("\n"))
        return
    if out is None or state is None or not run.sources:
        raise InputError("--source: there is no domain to train on; give --source DIR, or sources in --config")
    folders = [Path(folder) for folder in run.sources]
    outputs.check_out_folder(out, _replaceable, [*folders, *filter(None, (chosen.config, chosen.parent))])
    _train(run, _trainer(run, device), lambda: load(folders), out, state, device, resume)


def _check_places(chosen: RunOptions, out: Path | None, state: Path | None, resume: bool) -> None:
    """Refuse folders that cannot be used, before anything is read."""
    from prerec_pyro.training import checkpoint

    if out is None or state is None:
        raise InputError("--out: name the model folder to write; only --print-config needs none")
    outputs.check_out_folder(out, _replaceable, [*chosen.sources, *([chosen.parent] if chosen.parent else [])])
    if resume:
        checkpoint.load_progress(state, {})  # refuses before any work if there is nothing to resume
    elif state.exists():
        logger.warning("%s holds an unfinished run; without --resume it is replaced after the first epoch", state)


def _check_sources(chosen: RunOptions, run: Run) -> None:
    """Refuse several domains where a run is on one."""
    from prerec_pyro.recommenders.runs.config import FineTuningRun

    if len(run.sources) > 1 and isinstance(run, FineTuningRun):
        raise InputError(f"--from {run.parent}: fine-tunes on one domain, but there are {len(run.sources)} sources")
    if len(run.sources) > 1 and run.samples is not None:
        raise InputError(f"--samples {run.samples}: are those of one domain, but there are {len(run.sources)} sources")


def _trainer(run: Run, device: str) -> Callable[..., Model]:
    """Return a function that trains the model of a run, ``(domains, progress_folder, resume) → model``."""
    from prerec_pyro.recommenders.registry import load_model
    from prerec_pyro.recommenders.runs.config import FineTuningRun, PreRecRun
    from prerec_pyro.recommenders.text_baseline import TextBaseline

    if isinstance(run, PreRecRun):
        return run.model(device).fit
    if not isinstance(run, FineTuningRun):
        untrained = run.model(device)
        return lambda domains, **options: untrained.fit(domains, num_samples=run.samples, **options)
    parent = load_model(run.parent, device)
    if isinstance(parent, TextBaseline):
        training, changes = cast("BaselineTraining", run.training), run.baseline
        return lambda domains, **options: parent.fine_tune(
            domains[0], training=training, config=changes, num_samples=run.samples, **options
        )
    tuning = cast("TrainConfig", run.training)
    return lambda domains, **options: parent.fine_tune(domains[0], training=tuning, num_samples=run.samples, **options)


def _train(
    run: Run,
    train: Callable[..., Model],
    load: Callable[[], list[Domain]],
    out: Path,
    state: Path,
    device: str,
    resume: bool,
) -> None:
    """Train, save the model, and say how good it is."""
    from prerec_pyro.training import distributed

    domains = load()
    for domain in domains:
        facts = (f"{domain.num_interactions:,}", f"{domain.num_users:,}", f"{domain.num_items:,}")
        logger.info("source %s: %s interactions of %s users with %s items", domain.name, *facts)
    with distributed.joined(device) as processes:
        if processes.size > 1:
            logger.info("%d processes train together", processes.size)
        model = train(domains, progress_folder=state, resume=resume)
        processes.first_does(lambda: model.save(out))
    if console.is_first():
        shutil.rmtree(state, ignore_errors=True)
    best = model.facts
    logger.info("best epoch %d: validation r-NDCG %.4f", best["best_epoch"], best["validation_r_ndcg"])
    logger.info("wrote %s", out)


def _replaceable(folder: Path) -> bool:
    """Return True if a folder is a saved model; otherwise raise `InputError`, which says why."""
    from prerec_pyro.training import checkpoint

    checkpoint.check_writable(folder)
    return True
