"""Options, settings, progress and files of commands that run a study."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from prerec_pyro.cli import console, options, outputs, set_option
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from prerec_pyro.reproduction.plan import MethodSettings

logger = logging.getLogger(__name__)
DEFAULT_WINDOW = 15
"""Days that popularity counts in a study."""
_NAMES = ("table1", "table2", "figure3", "figure4", "transfer", "scaling")
_OWN = {"cells", "models", *(f"{name}{ending}" for name in _NAMES for ending in (".md", ".json", ".png", ".svg"))}


def _parse_methods(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [name.strip() for name in value.split(",")]


out = click.option(
    "--out",
    required=True,
    metavar="FOLDER",
    type=options.PATH,
    help="Folder for results, cells and models; an earlier run in it continues.",
)
seeds = click.option(
    "--seeds",
    metavar="N",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Number of training seeds, from 0.",
)
split = click.option(
    "--split",
    type=click.Choice(["test", "validation"]),
    default="test",
    show_default=True,
    help="Users whose queries are measured.",
)
methods = click.option(
    "--methods",
    metavar="A,B",
    callback=_parse_methods,
    help="Rows to measure, all by default. An unknown name lists them all.",
)
epochs = click.option("--epochs", metavar="N", type=click.IntRange(min=0), help="Most epochs of every training.")
settings = click.option(
    "--set",
    "settings",
    metavar="[METHOD.]NAME=VALUE",
    multiple=True,
    callback=set_option.parse,
    help="Setting of the models or of pre-training, for all methods that have it or, as in prerec.latent_dim=64, for "
    "one. An unknown name lists them all.",
)
window = click.option(
    "--window",
    metavar="DAYS",
    type=click.IntRange(min=1),
    default=DEFAULT_WINDOW,
    show_default=True,
    help="Days that popularity counts.",
)
encoder = click.option(
    "--encoder", metavar="NAME", help="Text encoder, a folder or a name.  [default: the packaged one]"
)


class Report(Protocol):
    """Result of a study, which `write_report` writes."""

    @property
    def name(self) -> str:
        """Name of the files."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON."""
        ...

    def to_markdown(self) -> str:
        """Return the report as Markdown."""
        ...


def watch(total: int, name: str) -> console.Progress[Any]:
    """Return the progress of a measurement of `total` queries."""
    return console.progress(total, f"evaluating {name}", unit="queries")


def method_settings(
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


def replaceable(folder: Path) -> bool:
    """Return whether a folder holds results of this command only."""
    return all(path.name in _OWN or path.name.endswith(".partial") for path in folder.iterdir())


def write_figure(axes: list[Any], path: Path) -> None:
    """Write a figure as PNG and SVG; a file is complete or absent."""
    from prerec_pyro import plots

    with outputs.staged_file(path.with_suffix(".png")) as png, outputs.staged_file(path.with_suffix(".svg")) as svg:
        plots.save(axes, png, svg, formats=("png", "svg"))


def write_text(text: str, path: Path) -> None:
    """Write a text file; it is complete or absent."""
    with outputs.staged_file(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(content: Any, path: Path) -> None:
    """Write plain JSON, indented; the file is complete or absent."""
    write_text(outputs.json_text(content), path)


def write_report(report: Report, out: Path) -> None:
    """Write a report as Markdown and JSON to the folder `out`, and print the Markdown."""
    text = report.to_markdown()
    write_text(text, out / f"{report.name}.md")
    write_json(report.to_json(), out / f"{report.name}.json")
    console.say(text.rstrip("\n"))
    logger.info("wrote %s and .json", out / f"{report.name}.md")
