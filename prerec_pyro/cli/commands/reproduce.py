"""``prerec-pyro reproduce``: the paper's tables and figures on given domains."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prerec_pyro.cli import console, options, outputs, set_option
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from prerec_pyro.recommenders.prerec import PreRec
    from prerec_pyro.reproduction.plan import MethodSettings
    from prerec_pyro.reproduction.rows import Row
    from prerec_pyro.reproduction.study import Study
    from prerec_pyro.reproduction.tables import Report

F = TypeVar("F", bound=Callable[..., Any])
logger = logging.getLogger(__name__)
_NAMES = ("table1", "table2", "figure3", "figure4")
_OWN = {"cells", "models", *(f"{name}{ending}" for name in _NAMES for ending in (".md", ".json", ".png", ".svg"))}


@click.group(short_help="The paper's tables and figures on given domains.")
def command() -> None:
    """Compute the paper's tables and figures on given domains, from training to Markdown and JSON.

    Each finished cell is kept in the folder of --out. The same command continues an interrupted run, and another table
    in the same folder reuses its models and cells.
    """


def _parse_methods(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [name.strip() for name in value.split(",")]


def _study_options(function: F) -> F:
    """Return a command's function with the options of a study; a decorator."""
    for option in reversed(
        [
            click.option("--source", "sources", required=True, metavar="DIR", type=options.PATH, multiple=True,
                         help="Domain to pre-train on; once for each domain."),
            click.option("--target", "targets", required=True, metavar="DIR", type=options.PATH, multiple=True,
                         help="Domain to measure on; once for each domain."),
            click.option("--out", required=True, metavar="FOLDER", type=options.PATH,
                         help="Folder for results, cells and models; an earlier run in it continues."),
            click.option("--seeds", metavar="N", type=click.IntRange(min=1), default=3, show_default=True,
                         help="Number of training seeds, from 0."),
            click.option("--k-percent", "k_percents", metavar="K", type=float, multiple=True, default=(0.5,),
                         show_default=True,
                         help="K%, the length of a list in percent of the items; once, or once for each --target."),
            click.option("--split", type=click.Choice(["test", "validation"]), default="test", show_default=True,
                         help="Users whose queries are measured."),
            click.option("--split-seed", metavar="N", type=int, default=0, show_default=True,
                         help="Seed of the 4:3:3 split of users."),
            click.option("--methods", metavar="A,B", callback=_parse_methods,
                         help="Rows to measure, all by default. An unknown name lists them all."),
            click.option("--epochs", metavar="N", type=click.IntRange(min=0),
                         help="Most epochs of every training."),
            click.option("--set", "settings", metavar="[METHOD.]NAME=VALUE", multiple=True,
                         callback=set_option.parse,
                         help="Setting of the models or of pre-training, for all methods that have it or, as in "
                         "prerec.latent_dim=64, for one. An unknown name lists them all."),
            click.option("--target-set", "target_settings", metavar="[METHOD.]NAME=VALUE", multiple=True,
                         callback=set_option.parse,
                         help="Setting of training on a target, for fine-tuning and from scratch alike."),
            click.option("--window", metavar="DAYS", type=click.IntRange(min=1), default=15, show_default=True,
                         help="Days that popularity counts."),
            click.option("--encoder", metavar="NAME",
                         help="Text encoder, a folder or a name.  [default: the packaged one]"),
            options.device,
            console.verbosity,
        ]
    ):  # fmt: skip
        function = option(function)
    return function


@command.command("table1", short_help="Zero-shot: all rows of Table 1.")
@_study_options
def table1(**given: Any) -> None:
    """Measure zero-shot on each target, on all queries and on unseen ones: baselines, PreRec_n and PreRec."""
    from prerec_pyro.reproduction.rows import TABLE1
    from prerec_pyro.reproduction.tables import table

    study, rows = _study(TABLE1, **given)
    _write(table(study, "table1", rows), given["out"])


@command.command("table2", short_help="Full fine-tuning: all rows of Table 2.")
@_study_options
def table2(**given: Any) -> None:
    """Train on the whole log of each target: fine-tuned models next to those from scratch."""
    from prerec_pyro.reproduction.rows import TABLE2
    from prerec_pyro.reproduction.tables import table

    study, rows = _study(TABLE2, **given)
    _write(table(study, "table2", rows), given["out"])


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
@_study_options
def figure3(samples: list[int | None] | None, **given: Any) -> None:
    """Measure each method after the first 10, 100, … and all training samples of each target.

    Methods that do not train on the target are level lines. The figure is written as PNG and SVG, with its numbers.
    """
    from prerec_pyro import plots
    from prerec_pyro.reproduction.figure3 import FIGURE3, curve_frame, curves

    study, rows = _study(FIGURE3, **given)
    report = curves(study, rows, samples)
    _draw(plots.plot_curves(curve_frame(report)), given["out"] / report.name)
    _write(report, given["out"])


@command.command("figure4", short_help="The distributions of popularity in each domain.")
@click.option("--source", "sources", metavar="DIR", type=options.PATH, multiple=True, help="Domain to draw.")
@click.option("--target", "targets", metavar="DIR", type=options.PATH, multiple=True, help="Another domain to draw.")
@click.option("--model", metavar="MODEL", type=options.PATH, help="Trained PreRec, for its popularity score.")
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

    outputs.check_out_folder(out, _replaceable, [*sources, *targets, *([model] if model else [])])
    if not sources and not targets:
        raise InputError("nothing to draw; name domains by --source or --target")
    trained = None if model is None else _prerec(model, window, device)
    domains = [Domain.load(folder) for folder in (*sources, *targets)]
    names = [domain.name for domain in domains]
    if len(set(names)) < len(names):
        raise InputError(f"two domains share a name: {', '.join(names)}; give each its own (data import --name)")
    frame = popularity_frame(domains, trained, window=window or 15)
    summary = popularity_summary(frame)
    _draw(plots.plot_popularity(frame), out / "figure4")
    _write_text(f"# Figure 4: popularity\n\n{markdown.popularity(summary)}\n", out / "figure4.md")
    _write_json({"name": "figure4", "rows": summary}, out / "figure4.json")
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


def _study(rows: Sequence[Row], **given: Any) -> tuple[Study, tuple[Row, ...]]:
    """Return the study of the options, checked, and the rows that it measures."""
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.reproduction.plan import Plan
    from prerec_pyro.reproduction.rows import chosen
    from prerec_pyro.reproduction.study import Study

    outputs.check_out_folder(given["out"], _replaceable, [*given["sources"], *given["targets"]])
    kept = chosen(rows, given["methods"])
    trained = list(dict.fromkeys(row.method for row in rows if row.stage != "untrained"))
    plan = Plan(
        seeds=given["seeds"],
        split=given["split"],
        split_seed=given["split_seed"],
        window=given["window"],
        encoder=given["encoder"],
        device=given["device"],
        methods=_settings(trained, given["settings"], given["target_settings"], given["epochs"]),
    )
    sources, targets = ([Domain.load(folder) for folder in given[name]] for name in ("sources", "targets"))
    return Study(given["out"], sources, targets, given["k_percents"], plan, _watch), kept


def _watch(total: int, name: str) -> console.Progress[Any]:
    return console.progress(total, f"evaluating {name}", unit="queries")


def _settings(
    methods: Sequence[str], settings: dict[str, str], target_settings: dict[str, str], epochs: int | None
) -> dict[str, MethodSettings]:
    """Return method → settings, changed by ``--set``, ``--target-set`` and ``--epochs``."""
    from prerec_pyro.recommenders.registry import offered_settings
    from prerec_pyro.reproduction.plan import MethodSettings

    default = {method: MethodSettings.default(method) for method in methods}
    offered = {method: offered_settings(method) for method in methods}
    names = {m: _named(offered[m], one.shape, one.sources) for m, one in default.items()}
    target_names = {m: _named(offered[m], one.target) for m, one in default.items()}
    _check_known("--set", settings, names)
    _check_known("--target-set", target_settings, target_names)
    found = {}
    for method, one in default.items():
        more = {"epochs": ("--epochs", epochs)}
        before = set_option.join(_of_method(settings, method, names[method]), more)
        after = set_option.join(_of_method(target_settings, method, target_names[method]), more)
        shape, sources = set_option.configs(before, [one.shape, one.sources], offered[method])
        try:
            (target,) = set_option.configs(after, [one.target], offered[method])
        except InputError as error:
            raise InputError(str(error).replace("--set ", "--target-set ")) from None
        found[method] = MethodSettings(shape, sources, target)
        found[method].check(method)
    return found


def _named(offered: Sequence[str], *configs: BaseModel) -> list[str]:
    """Return the offered names that some configurations have."""
    return [name for name in offered if any(name in type(config).model_fields for config in configs)]


def _of_method(settings: dict[str, str], method: str, names: Sequence[str]) -> dict[str, str]:
    """Return the settings of one method: those that it has, then those that are given for it by name."""
    plain = {name: value for name, value in settings.items() if name in names}
    own = {name.partition(".")[2]: value for name, value in settings.items() if name.startswith(f"{method}.")}
    return plain | own


def _check_known(option: str, settings: dict[str, str], names: dict[str, list[str]]) -> None:
    """Refuse a setting that no method of the table has, and the seed, which the study chooses."""
    for name, value in settings.items():
        method, dot, field = name.rpartition(".")
        if dot and method not in names:
            raise InputError(f"{option} {name}={value}: {method!r} is not trained here; expected {', '.join(names)}")
        if field == "seed":
            raise InputError(f"{option} {name}={value}: seeds are numbered from 0; use --seeds")
        known = {one for each in ([method] if dot else names) for one in names[each]}
        if field not in known:
            allowed = ", ".join(sorted(known - {"seed"}))
            raise InputError(f"{option} {name}={value}: there is no setting {field!r}; expected one of {allowed}")


def _replaceable(folder: Path) -> bool:
    """Return whether a folder holds results of this command only."""
    return all(path.name in _OWN or path.name.endswith(".partial") for path in folder.iterdir())


def _draw(axes: list[Any], path: Path) -> None:
    """Write a figure as PNG and SVG; a file is complete or absent."""
    from prerec_pyro import plots

    with outputs.staged_file(path.with_suffix(".png")) as png, outputs.staged_file(path.with_suffix(".svg")) as svg:
        plots.save(axes, png, svg, formats=("png", "svg"))


def _write_text(text: str, path: Path) -> None:
    with outputs.staged_file(path) as beside:
        beside.write_text(text, encoding="utf-8")


def _write_json(content: Any, path: Path) -> None:
    _write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)


def _write(report: Report, out: Path) -> None:
    text = report.to_markdown()
    _write_text(text, out / f"{report.name}.md")
    _write_json(report.to_json(), out / f"{report.name}.json")
    console.say(text.rstrip("\n"))
    logger.info("wrote %s and .json", out / f"{report.name}.md")
