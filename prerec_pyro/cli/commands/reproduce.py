"""``prerec-pyro reproduce``: the paper's tables and figures on given domains."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prerec_pyro.cli import console, options, outputs
from prerec_pyro.cli import set_option as parse_settings
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
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
    """The paper's tables and figures on given domains, from training to Markdown and JSON.

    What is finished is kept in the folder of --out, cell by cell: the same command goes on where it was cut off, and
    another table in the same folder reuses what it can.
    """


def _parse_methods(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [name.strip() for name in value.split(",")]


def _study_options(function: F) -> F:
    """Return `function`, the body of a command, with the options of a study (for decorating)."""
    for option in reversed(
        [
            click.option("--source", "sources", required=True, metavar="DIR", type=options.PATH, multiple=True,
                         help="Domain to pre-train on; give the option once for each."),
            click.option("--target", "targets", required=True, metavar="DIR", type=options.PATH, multiple=True,
                         help="Domain to measure on; give the option once for each."),
            click.option("--out", required=True, metavar="FOLDER", type=options.PATH,
                         help="Where results, cells and models go; an earlier run in it is gone on with."),
            click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True,
                         help="How many training seeds, from 0."),
            click.option("--k-percent", "k_percents", type=float, multiple=True, default=(0.5,), show_default=True,
                         help="K%, the length of a list in percent of the items; once, or once for each --target."),
            click.option("--split", type=click.Choice(["test", "validation"]), default="test", show_default=True,
                         help="Whose queries."),
            click.option("--split-seed", type=int, default=0, show_default=True, help="Of the 4:3:3 split of users."),
            click.option("--methods", metavar="A,B", callback=_parse_methods,
                         help="Some of the rows only. A name that does not exist lists all."),
            click.option("--epochs", type=click.IntRange(min=0), help="Most epochs of every training."),
            click.option("--set", "settings", metavar="[METHOD.]NAME=VALUE", multiple=True,
                         callback=parse_settings.parse,
                         help="A setting of the models or of pre-training, for each method that has it, or for one: "
                         "prerec.latent_dim=64."),
            click.option("--target-set", "target_settings", metavar="[METHOD.]NAME=VALUE", multiple=True,
                         callback=parse_settings.parse,
                         help="A setting of training on a target, fine-tuning and from scratch alike."),
            click.option("--window", type=click.IntRange(min=1), default=15, show_default=True,
                         help="Days of popularity."),
            click.option("--encoder", metavar="NAME", help="Text encoder; by default the packaged one."),
            options.device,
            console.verbosity,
        ]
    ):  # fmt: skip
        function = option(function)
    return function


@command.command("table1", short_help="Zero-shot: all rows of Table 1.")
@_study_options
def table1(**asked: Any) -> None:
    """Zero-shot on each target, on all queries and on the unseen: baselines, PreRec_n, PreRec and PreRec calibrated."""
    from prerec_pyro.reproduction.rows import TABLE1
    from prerec_pyro.reproduction.tables import table

    study, rows = _study(TABLE1, **asked)
    _write(table(study, "table1", rows), asked["out"])


@command.command("table2", short_help="Full fine-tuning: all rows of Table 2.")
@_study_options
def table2(**asked: Any) -> None:
    """Trained on the whole log of each target: fine-tuned rows beside those from scratch."""
    from prerec_pyro.reproduction.rows import TABLE2
    from prerec_pyro.reproduction.tables import table

    study, rows = _study(TABLE2, **asked)
    _write(table(study, "table2", rows), asked["out"])


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
@click.option("--samples", metavar="N,M,all", callback=_parse_samples, help="At which numbers of samples.")
@_study_options
def figure3(samples: list[int | None] | None, **asked: Any) -> None:
    """What each method reaches after the first 10, 100, … and all training samples of each target.

    Rows that see none of them are level lines. Writes the picture as PNG and SVG, and its numbers.
    """
    from prerec_pyro import plots
    from prerec_pyro.reproduction.figure3 import FIGURE3, curve_frame, curves

    study, rows = _study(FIGURE3, **asked)
    report = curves(study, rows, samples)
    _draw(plots.plot_curves(curve_frame(report)), asked["out"] / report.name)
    _write(report, asked["out"])


@command.command("figure4", short_help="The distributions of popularity, domain by domain.")
@click.option("--source", "sources", metavar="DIR", type=options.PATH, multiple=True, help="A domain to draw.")
@click.option("--target", "targets", metavar="DIR", type=options.PATH, multiple=True, help="Another domain to draw.")
@click.option("--model", metavar="MODEL", type=options.PATH, help="A PreRec, for the popularity score too.")
@click.option("--out", required=True, metavar="FOLDER", type=options.PATH, help="Where the picture and its table go.")
@click.option("--window", type=click.IntRange(min=1), help="Days of popularity.  [default: 15, or that of --model]")
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
    """How counts, traffic shares, the factors of appendix E and the score of a model are distributed in each domain.

    Where the lines of the domains lie on each other, a measure means the same in all of them.
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
        raise InputError(f"--model {folder}: is a {model.name}, it has no popularity score; give a model of prerec")
    if window is not None:
        raise InputError(f"--window {window}: is that of --model {folder}, {model.window}; leave one of the two out")
    return model


def _study(rows: Sequence[Row], **asked: Any) -> tuple[Study, tuple[Row, ...]]:
    """Return the study that was asked for, everything checked, and those of `rows` that it is to measure."""
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.reproduction.plan import Plan
    from prerec_pyro.reproduction.rows import chosen
    from prerec_pyro.reproduction.study import Study

    outputs.check_out_folder(asked["out"], _replaceable, [*asked["sources"], *asked["targets"]])
    kept = chosen(rows, asked["methods"])
    trained = list(dict.fromkeys(row.method for row in rows if row.stage != "untrained"))
    plan = Plan(
        seeds=asked["seeds"],
        split=asked["split"],
        split_seed=asked["split_seed"],
        window=asked["window"],
        encoder=asked["encoder"],
        device=asked["device"],
        methods=_settings(trained, asked["settings"], asked["target_settings"], asked["epochs"]),
    )
    sources, targets = ([Domain.load(folder) for folder in asked[name]] for name in ("sources", "targets"))
    return Study(asked["out"], sources, targets, asked["k_percents"], plan, _watch), kept


def _watch(total: int, name: str) -> console.Progress[Any]:
    return console.progress(total, f"evaluating {name}", unit="queries")


def _settings(
    methods: Sequence[str], settings: dict[str, str], target_settings: dict[str, str], epochs: int | None
) -> dict[str, MethodSettings]:
    """Return method → settings, with what ``--set``, ``--target-set`` and ``--epochs`` change in them."""
    from prerec_pyro.reproduction.plan import MethodSettings

    default = {method: MethodSettings.default(method) for method in methods}
    _check_known("--set", settings, {m: [one.shape, one.sources] for m, one in default.items()})
    _check_known("--target-set", target_settings, {m: [one.target] for m, one in default.items()})
    found = {}
    for method, one in default.items():
        before = _of_method(settings, method, [one.shape, one.sources])
        after = _of_method(target_settings, method, [one.target])
        more = {"epochs": ("--epochs", epochs)}
        shape, sources = parse_settings.configs(parse_settings.join(before, more), [one.shape, one.sources])
        try:
            (target,) = parse_settings.configs(parse_settings.join(after, more), [one.target])
        except InputError as error:
            raise InputError(str(error).replace("--set ", "--target-set ")) from None
        found[method] = MethodSettings(shape, sources, target)
        found[method].check(method)
    return found


def _of_method(settings: dict[str, str], method: str, bases: Sequence[Any]) -> dict[str, str]:
    """Return the settings of one method: those that it has, then those that are given for it by name."""
    has = {name for base in bases for name in type(base).model_fields}
    plain = {name: value for name, value in settings.items() if "." not in name and name in has}
    own = {name.partition(".")[2]: value for name, value in settings.items() if name.startswith(f"{method}.")}
    return plain | own


def _check_known(option: str, settings: dict[str, str], bases: dict[str, list[Any]]) -> None:
    """Refuse a setting that no method of the table has, and one that is the command's to choose."""
    for name, value in settings.items():
        method, dot, field = name.rpartition(".")
        if dot and method not in bases:
            raise InputError(f"{option} {name}={value}: {method!r} is not trained here; expected {', '.join(bases)}")
        if field == "seed":
            raise InputError(f"{option} {name}={value}: seeds are numbered from 0; use --seeds")
        asked = [method] if dot else list(bases)
        has = {known for each in asked for base in bases[each] for known in type(base).model_fields}
        if field not in has:
            allowed = ", ".join(sorted(has - {"seed"}))
            raise InputError(f"{option} {name}={value}: there is no setting {field!r}; expected one of {allowed}")


def _replaceable(folder: Path) -> bool:
    """Say whether all that a folder holds are results of this command."""
    return all(path.name in _OWN or path.name.endswith(".partial") for path in folder.iterdir())


def _draw(axes: list[Any], path: Path) -> None:
    """Write a figure as PNG and SVG, each whole or not at all."""
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
