"""``prerec-pyro train``: pre-train on source domains, or fine-tune on a target."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prerec_pyro.cli import console, options, outputs
from prerec_pyro.cli import set_option as parse_settings
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from prerec_pyro.models.priors import Priors
    from prerec_pyro.recommenders.registry import Model

    Train = Callable[..., Model]

logger = logging.getLogger(__name__)


# The names of `prerec_pyro.recommenders.registry.METHODS`, which is too heavy to import for `--help`.
METHODS = ("prerec", "prerec_paper", "prerec_n", "zesrec", "unisrec", "sasrec", "gru4rec")
GRAPHS = {"extended": "prerec", "paper": "prerec_paper", "unconfounded": "prerec_n"}


@click.command(short_help="Pre-train on source domains, or fine-tune on a target.")
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
    type=click.Choice(METHODS),
    help="prerec_n is --graph unconfounded, prerec_paper is --graph paper; the others are baselines.  "
    "[default: prerec, or that of --from]",
)
@click.option(
    "--graph",
    type=click.Choice(list(GRAPHS)),
    help="paper: Fig. 1 to the letter; extended: what ranks better; unconfounded: without D and Z.  "
    "[default: extended]",
)
@click.option(
    "--from",
    "parent",
    metavar="MODEL",
    type=options.PATH,
    help="Fine-tune this model on one --source, the target; it stays as it is.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="Train on the first N training queries of the target only; by default on all.",
)
@click.option(
    "--prior",
    "priors",
    metavar="NODE=FAMILY:NAME=NUMBER,...",
    multiple=True,
    help="Prior of D, Z, V, U or S, or of the weights W_d or W_z, which are then random variables: "
    "D=student_t:df=4,scale=0.5. Families: normal, student_t, laplace; of D, W_d and W_z also horseshoe, mixture, "
    "and a scale that is learnt: 'D=normal:scale=log_normal(median=0.02,sigma=1)', half_normal, half_cauchy.",
)
@click.option(
    "--free",
    metavar="NODE",
    multiple=True,
    default=("D", "V"),
    show_default=True,
    help="Node with a MAP of its own, D, V or S, once for each; none for none of them.",
)
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    callback=parse_settings.parse,
    help="Any other setting of the method or of training: latent_dim=256, learning_rate=1e-3. A name that does not "
    "exist lists all.",
)
@click.option("--epochs", type=click.IntRange(min=0), help="Most passes over the largest source domain.")
@click.option("--seed", type=click.IntRange(0, parse_settings.MAX_SEED), help="Same seed, same model.  [default: 0]")
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
    graph: str | None,
    parent: Path | None,
    samples: int | None,
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
    """Train on source domains, and keep the epoch that is best on their validation users.

    The state after each epoch lies beside MODEL, in .MODEL.training, until the run has ended well; with --resume the
    same command goes on from there.

    Several processes train together: torchrun --nproc-per-node 2 --no-python prerec-pyro train …, or the same with
    accelerate launch. Each reads batches of its own, and a step takes the mean of their gradients.
    """
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.training import checkpoint, distributed

    outputs.check_out_folder(out, _replaceable, [*sources, *([parent] if parent else [])])
    method = _method_of(method, graph)
    _check_asked(method, parent, sources, samples)
    shorthands = {"epochs": ("--epochs", epochs), "seed": ("--seed", seed)}
    given = {
        "--prior": priors,
        "--free": free if _is_given("free") else (),
        "--normalizer": normalizer if _is_given("normalizer") else None,
    }
    state = out.parent / f".{out.name}.training"
    if resume:
        checkpoint.load_progress(state, {})  # refuses before any work if there is nothing to resume
    if parent is not None:
        train = _fine_tuning(parent, method, settings, shorthands, given | {"--encoder": encoder}, device)
    elif (method or "prerec") in GRAPHS.values():
        train = _pre_training(method, settings, shorthands, priors, free, encoder, normalizer, device)
    else:
        train = _baseline(method, settings, shorthands, given, encoder, device)
    if not resume and state.exists():
        logger.warning("%s holds an unfinished run; without --resume it is replaced after the first epoch", state)
    domains = [Domain.load(folder) for folder in sources]
    for domain in domains:
        facts = (f"{domain.num_interactions:,}", f"{domain.num_users:,}", f"{domain.num_items:,}")
        logger.info("source %s: %s interactions of %s users with %s items", domain.name, *facts)
    asked = {} if samples is None else {"num_samples": samples}
    with distributed.joined(device) as processes:
        if processes.size > 1:
            logger.info("%d processes train together", processes.size)
        model = train(domains, progress_folder=state, resume=resume, **asked)
        processes.first_does(lambda: model.save(out))
    if console.is_first():
        shutil.rmtree(state, ignore_errors=True)
    best = model.facts
    logger.info("best epoch %d: validation r-NDCG %.4f", best["best_epoch"], best["validation_r_ndcg"])
    logger.info("wrote %s", out)


def _method_of(method: str | None, graph: str | None) -> str | None:
    """Return the method that --method and --graph ask for together."""
    if graph is None:
        return method
    if method not in (None, "prerec", GRAPHS[graph]):
        raise InputError(f"--graph {graph}: is {GRAPHS[graph]}, but --method is {method}; give one of the two")
    return GRAPHS[graph]


def _is_given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is not click.core.ParameterSource.DEFAULT


def _check_asked(method: str | None, parent: Path | None, sources: Sequence[Path], samples: int | None) -> None:
    """Refuse what does not go together, before anything is read."""
    if parent is not None and len(sources) != 1:
        raise InputError(f"--from {parent}: fine-tunes on one domain, but --source is given {len(sources)} times")
    if samples is not None and len(sources) != 1:
        raise InputError(f"--samples {samples}: are those of one domain, but --source is given {len(sources)} times")
    if samples is not None and parent is None and (method or "prerec") in GRAPHS.values():
        raise InputError(f"--samples {samples}: is for baselines and for fine-tuning; name a model by --from")


def _pre_training(
    method: str | None,
    settings: Mapping[str, str],
    shorthands: Mapping[str, tuple[str, Any]],
    priors: tuple[str, ...],
    free: tuple[str, ...],
    encoder: str | None,
    normalizer: str,
    device: str,
) -> Train:
    from prerec_pyro.models.graphs.registry import GRAPHS
    from prerec_pyro.recommenders.prerec import PreRec
    from prerec_pyro.recommenders.registry import GRAPH_OF
    from prerec_pyro.training.trainer import TrainConfig

    joined = parse_settings.join(settings, shorthands)
    shape = GRAPHS[GRAPH_OF[method or "prerec"]].Config()
    graph, training = parse_settings.configs(joined, [shape, TrainConfig()])
    return PreRec(
        graph,
        training=training,
        priors=_parse_priors(priors),
        free=_parse_free(free) if _is_given("free") else None,
        encoder=encoder,
        normalizer=normalizer,
        device=device,
    ).fit


def _baseline(
    method: str,
    settings: Mapping[str, str],
    shorthands: Mapping[str, tuple[str, Any]],
    given: Mapping[str, Any],
    encoder: str | None,
    device: str,
) -> Train:
    from prerec_pyro.recommenders.text_baseline import TextBaseline

    for option, value in given.items():
        if value:
            raise InputError(f"{option}: is for the nodes of PreRec, and {method} has none; leave one of the two out")
    plain = TextBaseline(method, encoder=encoder, device=device)
    config, training = parse_settings.configs(parse_settings.join(settings, shorthands), [plain.config, plain.training])
    return TextBaseline(method, config, training=training, encoder=encoder, device=device).fit


def _fine_tuning(
    parent: Path,
    method: str | None,
    settings: Mapping[str, str],
    shorthands: Mapping[str, tuple[str, Any]],
    given: Mapping[str, Any],
    device: str,
) -> Train:
    """Return ``train([domain], …) → model``, which fine-tunes the model of a folder."""
    from prerec_pyro.models.baselines.registry import LEARNED
    from prerec_pyro.recommenders.registry import load_model
    from prerec_pyro.recommenders.text_baseline import TextBaseline
    from prerec_pyro.training.baseline_configs import defaults
    from prerec_pyro.training.trainer import FINE_TUNING

    for option, value in given.items():
        if value:
            raise InputError(f"{option}: is that of the model it starts from; leave it out or train without --from")
    model = load_model(parent, device)
    if method not in (None, model.name):
        raise InputError(f"--method {method}: {parent} is a {model.name}; leave --method out")
    joined = parse_settings.join(settings, shorthands)
    seed = {"seed": model.training.seed}
    if not isinstance(model, TextBaseline):
        (training,) = parse_settings.configs(joined, [FINE_TUNING.model_copy(update=seed)])
        return lambda domains, **options: model.fine_tune(domains[0], training=training, **options)
    training = defaults(model.name, tuned=True).model_copy(update=seed)
    tunable = {type(model.config): LEARNED[model.name].tunable}
    config, training = parse_settings.configs(joined, [model.config, training], tunable)
    changes = {name: getattr(config, name) for name in LEARNED[model.name].tunable}
    return lambda domains, **options: model.fine_tune(domains[0], training=training, config=changes, **options)


def _replaceable(folder: Path) -> bool:
    from prerec_pyro.training import checkpoint

    checkpoint.check_writable(folder)  # raises with a better message than ours
    return True


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
