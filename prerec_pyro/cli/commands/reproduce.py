"""``prerec-pyro reproduce``: the paper's tables and figures on given domains, and transfer over a corpus."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prerec_pyro.cli import console, options, outputs, set_option, studies
from prerec_pyro.cli.commands import reproduce_corpus
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from prerec_pyro.recommenders.prerec import PreRec
    from prerec_pyro.reproduction.given_model import GivenModel
    from prerec_pyro.reproduction.rows import Row
    from prerec_pyro.reproduction.study import Study

F = TypeVar("F", bound=Callable[..., Any])


@click.group(short_help="The paper's tables and figures, and transfer over a corpus.")
def command() -> None:
    """Compute the paper's tables and figures on given domains, and transfer over a corpus of domains.

    Each command goes from training to Markdown and JSON.

    Each finished cell is kept in the folder of --out. The same command continues an interrupted run, and another table
    in the same folder reuses its models and cells.
    """


command.add_command(reproduce_corpus.transfer)
command.add_command(reproduce_corpus.scaling)


def _study_options(function: F) -> F:
    """Return a command's function with the options of a study; a decorator."""
    return options.apply(
        function,
        click.option("--source", "sources", metavar="DIR", type=options.PATH, multiple=True,
                     help="Domain to pre-train on; once for each domain."),
        click.option("--target", "targets", required=True, metavar="DIR", type=options.PATH, multiple=True,
                     help="Domain to measure on; once for each domain."),
        studies.out,
        studies.seeds,
        click.option("--k-percent", "k_percents", metavar="K", type=float, multiple=True, default=(0.5,),
                     show_default=True,
                     help="K%, the length of a list in percent of the items; once, or once for each --target."),
        studies.split,
        options.split_seed,
        studies.methods,
        studies.epochs,
        studies.settings,
        click.option("--target-set", "target_settings", metavar="[METHOD.]NAME=VALUE", multiple=True,
                     callback=set_option.parse,
                     help="Setting of training on a target, for fine-tuning and from scratch alike."),
        studies.window,
        studies.encoder,
        options.device,
        console.verbosity,
    )  # fmt: skip


@command.command("table1", short_help="Zero-shot: all rows of Table 1.")
@_study_options
def table1(**given: Any) -> None:
    """Measure zero-shot on each target, on all queries and on unseen ones: baselines, PreRec_n and PreRec."""
    from prerec_pyro.reproduction.rows import TABLE1
    from prerec_pyro.reproduction.tables import table

    study, rows = _study(TABLE1, **given)
    studies.write_report(table(study, "table1", rows), given["out"])


@command.command("table2", short_help="Full fine-tuning: all rows of Table 2.")
@_study_options
def table2(**given: Any) -> None:
    """Train on the whole log of each target: fine-tuned models next to those from scratch."""
    from prerec_pyro.reproduction.rows import TABLE2
    from prerec_pyro.reproduction.tables import table

    study, rows = _study(TABLE2, **given)
    studies.write_report(table(study, "table2", rows), given["out"])


def _parse_samples(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> list[int | None] | None:
    if value is None:
        return None
    names = [name.strip() for name in value.split(",")]
    for name in names:
        if name != "all" and not (name.isascii() and name.isdigit() and int(name) > 0):
            raise InputError(
                f"--samples {value}: {name!r} is neither a number of 1 or more nor 'all'; such as 10,100,all"
            )
    return [None if name == "all" else int(name) for name in names]


@command.command("figure3", short_help="Incremental fine-tuning: 10, 100, … and all samples.")
@click.option(
    "--samples",
    metavar="N,M,all",
    callback=_parse_samples,
    help="Numbers of training samples.  [default: 10, 100, … and all]",
)
@click.option(
    "--from",
    "start",
    metavar="MODEL",
    type=options.MODEL,
    help="Trained model, or one that ships with the package (base or open): the rows of its method start from it, with "
    "its encoder and window. --source is then needed for other pre-trained rows and for unseen queries only.",
)
@_study_options
def figure3(samples: list[int | None] | None, **given: Any) -> None:
    """Measure each method after the first 10, 100, … and all training samples of each target.

    Methods that do not train on the target are level lines. The figure is written as PNG and SVG, with its numbers.
    """
    from prerec_pyro import plots
    from prerec_pyro.reproduction.figure3 import FIGURE3, curve_frame, curves

    study, rows = _study(FIGURE3, **given)
    report = curves(study, rows, samples)
    studies.write_figure(plots.plot_curves(curve_frame(report)), given["out"] / report.name)
    studies.write_report(report, given["out"])


@command.command("figure4", short_help="The distributions of popularity in each domain.")
@click.option("--source", "sources", metavar="DIR", type=options.PATH, multiple=True, help="Domain to draw.")
@click.option("--target", "targets", metavar="DIR", type=options.PATH, multiple=True, help="Another domain to draw.")
@click.option("--model", metavar="MODEL", type=options.MODEL, help="Trained PreRec, for its popularity score.")
@click.option("--out", required=True, metavar="FOLDER", type=options.PATH, help="Folder for the figure and its table.")
@click.option(
    "--window",
    metavar="DAYS",
    type=click.IntRange(min=1),
    help="Days that popularity counts.  [default: 15, or those of --model]",
)
@options.device
@console.verbosity
def figure4(
    sources: tuple[Path, ...],
    targets: tuple[Path, ...],
    model: Path | None,
    out: Path,
    window: int | None,
    device: str,
) -> None:
    """Draw how counts, traffic shares, the factors of appendix E and a model's score are distributed in each domain.

    A measure means the same in all domains if their lines lie on each other.
    """
    from prerec_pyro import plots
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.reproduction import markdown
    from prerec_pyro.reproduction.figure4 import popularity_frame, popularity_summary

    outputs.check_out_folder(out, studies.replaceable, [*sources, *targets, *([model] if model else [])])
    if not sources and not targets:
        raise InputError("nothing to draw; name domains by --source or --target")
    trained = None if model is None else _prerec(model, window, device)
    domains = [Domain.load(folder) for folder in (*sources, *targets)]
    names = [domain.name for domain in domains]
    if len(set(names)) < len(names):
        raise InputError(f"two domains share a name: {', '.join(names)}; give each its own (data import --name)")
    frame = popularity_frame(domains, trained, window=window or 15)
    summary = popularity_summary(frame)
    studies.write_figure(plots.plot_popularity(frame), out / "figure4")
    studies.write_text(f"# Figure 4: popularity\n\n{markdown.popularity(summary)}\n", out / "figure4.md")
    studies.write_json({"name": "figure4", "rows": summary}, out / "figure4.json")
    console.say((out / "figure4.md").read_text(encoding="utf-8").rstrip("\n"))


def _prerec(folder: Path, window: int | None, device: str) -> PreRec:
    from prerec_pyro.recommenders.prerec import PreRec
    from prerec_pyro.recommenders.registry import load_model

    model = load_model(folder, device)
    if not isinstance(model, PreRec) or "Z" not in model.graph.edges:
        raise InputError(f"--model {folder}: is a {model.name}, it has no popularity score; give a model with Z")
    if window is not None:
        raise InputError(
            f"--window {window}: --model {folder} has a window of {model.window} days; leave one of the two out"
        )
    return model


def _given_model(folder: Path, given: Mapping[str, Any]) -> GivenModel:
    """Return the model of ``--from``; refuse options that the model has its own value of."""
    from prerec_pyro.reproduction.given_model import GivenModel

    outputs.check_out_folder(given["out"], studies.replaceable, [folder])
    model = GivenModel.load(folder, given["device"])
    if given["encoder"] is not None:
        raise InputError(
            f"--encoder {given['encoder']}: all rows read texts as --from {model.label} does; leave it out"
        )
    if given["window"] not in (studies.DEFAULT_WINDOW, model.model.window):
        raise InputError(
            f"--window {given['window']}: --from {model.label} has a window of {model.model.window} days, which holds "
            "for all rows; leave it out"
        )
    return model


def _rows_with_a_start(rows: Sequence[Row], given: Mapping[str, Any], model: GivenModel | None) -> tuple[Row, ...]:
    """Return the rows that can be measured; refuse named ones without a source, and a model that no row starts from."""
    if model is not None and not any(model.serves(row) for row in rows):
        raise InputError(f"--from {model.label}: is a {model.model.name}, and no row here starts from it; leave it out")
    if given["sources"]:
        return tuple(rows)
    if model is None:
        raise InputError("--source: there is no domain to pre-train on; name one, once for each")
    short = [row for row in rows if row.from_sources and not model.serves(row)]
    if short and given["methods"] is not None:
        raise InputError(
            f"--methods {short[0].name}: is pre-trained on domains; name them by --source, or leave it out"
        )
    return tuple(row for row in rows if row not in short)


def _study(rows: Sequence[Row], start: Path | None = None, **given: Any) -> tuple[Study, tuple[Row, ...]]:
    """Return the study of the options, checked, and the rows that it measures; `start` is the model of ``--from``."""
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.reproduction.plan import Plan
    from prerec_pyro.reproduction.rows import chosen
    from prerec_pyro.reproduction.study import Study

    outputs.check_out_folder(given["out"], studies.replaceable, [*given["sources"], *given["targets"]])
    model = None if start is None else _given_model(start, given)
    kept = _rows_with_a_start(chosen(rows, given["methods"]), given, model)
    trained = list(dict.fromkeys(row.method for row in rows if row.stage != "untrained"))
    plan = Plan(
        seeds=given["seeds"],
        split=given["split"],
        split_seed=given["split_seed"],
        window=given["window"] if model is None else model.model.window,
        encoder=given["encoder"] if model is None else model.model.encoder_name,
        device=given["device"],
        methods=studies.method_settings(trained, given["settings"], given["target_settings"], given["epochs"]),
        given=model,
    )
    sources, targets = ([Domain.load(folder) for folder in given[name]] for name in ("sources", "targets"))
    return Study(given["out"], sources, targets, given["k_percents"], plan, studies.watch), kept
