"""The map of the package, enforced: who may import whom, which library lives where, how large a file may grow."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "prerec_pyro"
EVERYTHING = ("*",)
# Part of the package → the parts that it may import, besides itself and `errors`. The longest name wins.
MAY_IMPORT = {
    "_version": (),
    "errors": (),
    "data": (),
    "models": ("data.batching", "data.popularity"),
    "priors": ("models",),
    "ranking": ("data", "models"),
    "inference": ("data", "models", "ranking"),
    "inference.prior.predictive": ("data", "models", "plots.priors"),  # a result draws itself, when it is asked to
    "evaluation": ("data", "ranking"),
    "training": ("data", "models", "inference"),
    "causal": ("data", "models", "ranking", "inference", "evaluation"),
    "recommenders": ("data", "models", "ranking", "inference", "training", "evaluation", "causal", "plots.priors"),
    "reproduction": ("data", "models", "ranking", "training", "evaluation", "recommenders"),
    "serving": ("data", "recommenders"),
    "plots": (),
    "cli": EVERYTHING,
    "__main__": ("cli",),
    "": ("_version", "data", "models", "inference", "training", "recommenders", "causal", "evaluation"),  # __init__.py
}
# Library → the modules that may import it.
ONLY_IN = {
    "matplotlib": ("plots.*",),
    "click": ("cli.*",),
    "arviz": ("inference.posterior.*",),
    "arviz_stats": ("inference.posterior.*",),
    "optuna": ("reproduction.tuning",),
    "ray": ("serving.ray_engine",),
    "faiss": ("ranking.approximate",),
    "sklearn": ("ranking.spread",),
    "pyro": (
        "models.graphs.*",
        "models.likelihoods.*",
        "models.priors.*",
        "models.baselines.*",
        "inference.*",
        "training.*",
    ),
    "sentence_transformers": ("data.text.encoder",),
    "yaml": ("recommenders.runs.*",),
}
ONLY_IN_FUNCTIONS = ("sentence_transformers", "optuna", "ray", "faiss", "sklearn")
# What a module of the command line may import before a command runs, so that `--help` is instant.
LIGHT = ("click", "prerec_pyro.cli", "prerec_pyro.errors")
MAX_LINES = 350
MAX_FILES = 16
ROOT_MODULES = {"__init__", "__main__", "_version", "errors"}
BANNED_NAMES = ("utils", "util", "common", "helpers", "misc")


@dataclass(frozen=True)
class Import:
    """One imported module; `runs_at_import` is False within a function and under ``if TYPE_CHECKING``."""

    name: str
    line: int
    in_function: bool = False
    type_checking: bool = False

    @property
    def runs_at_import(self) -> bool:
        return not (self.in_function or self.type_checking)


def imports_of(source: str, module: str, is_package: bool = False) -> list[Import]:
    """All imports in `source`, wherever they stand; relative ones made absolute."""
    package = module if is_package else module.rpartition(".")[0]
    return list(_walk(ast.parse(source), package, False, False))


def _walk(node: ast.AST, package: str, in_function: bool, type_checking: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        for name in _names(child, package):
            yield Import(name, child.lineno, in_function, type_checking)
        function = in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        checking = type_checking or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        yield from _walk(child, package, function, checking)


def _names(node: ast.AST, package: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = package.split(".")
            base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
        named = [f"{base}.{alias.name}" for alias in node.names]
        # `from package import name` may name a module; what the package itself re-exports counts as one.
        return [name if base == "prerec_pyro" or _is_module(name) else base for name in named]
    if isinstance(node, ast.Call) and ast.unparse(node.func) in (
        "__import__",
        "import_module",
        "importlib.import_module",
    ):
        return [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
    return []


def _is_module(name: str) -> bool:
    path = ROOT / Path(*name.split("."))
    return name.startswith("prerec_pyro.") and (path.is_dir() or path.with_suffix(".py").is_file())


def broken_rules(imports: list[Import], module: str) -> list[str]:
    """What `imports` of prerec_pyro's module `module` (``"data.text"``) do that the tables forbid."""
    part = max((p for p in MAY_IMPORT if _within(module, p) or p == ""), key=len)
    broken = []
    for one in imports:
        top, _, inner = one.name.partition(".")
        if top == "prerec_pyro":
            allowed = ("errors", *([part] if part else []), *MAY_IMPORT[part])
            if MAY_IMPORT[part] != EVERYTHING and not any(_within(inner, name) for name in allowed):
                broken.append(f"line {one.line}: {module} may not import {one.name}")
            if part == "errors":
                broken.append(f"line {one.line}: errors imports nothing")
        elif top in ONLY_IN and not any(fnmatchcase(module, p) or module == p.removesuffix(".*") for p in ONLY_IN[top]):
            broken.append(f"line {one.line}: {top} is for {', '.join(ONLY_IN[top])}")
        elif top in ONLY_IN_FUNCTIONS and not one.in_function:
            broken.append(f"line {one.line}: {top} may be imported within a function only")
        if part == "cli" and one.runs_at_import and not _is_light(one.name):
            broken.append(f"line {one.line}: {one.name} must be imported within the command that needs it")
    return broken


def _within(module: str, part: str) -> bool:
    return part != "" and f"{module}.".startswith(f"{part}.")


def _is_light(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names or any(_within(name, light) for light in LIGHT)


def _module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


FILES = sorted(PACKAGE.rglob("*.py"))
WRITTEN = sorted(path for folder in ("prerec_pyro", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_keep_to_the_map(path: Path) -> None:
    imports = imports_of(
        path.read_text("utf-8"), f"prerec_pyro.{_module(path)}".rstrip("."), path.name == "__init__.py"
    )
    assert broken_rules(imports, _module(path)) == []


def test_every_part_of_the_package_is_on_the_map() -> None:
    parts = {_module(path).partition(".")[0] for path in FILES}
    assert parts - set(MAY_IMPORT) == set(), "add the new part to MAY_IMPORT"
    assert len(FILES) > 20


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Imports within functions and under TYPE_CHECKING count: a circle is one wherever it is written."""
    names = {_module(path) for path in FILES}
    graph = {}
    for path in FILES:
        full = f"prerec_pyro.{_module(path)}".rstrip(".")
        found = (one.name.removeprefix("prerec_pyro.") for one in imports_of(path.read_text("utf-8"), full))
        graph[_module(path)] = {name for name in found if name in names} - {_module(path)}
    assert circles(graph) == []


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    names = sorted(graph)
    dense = np.array([[other in graph[name] for other in names] for name in names])
    _, label = connected_components(csr_array(dense), directed=True, connection="strong")
    groups = ([name for name, own in zip(names, label, strict=True) if own == group] for group in range(max(label) + 1))
    return [group for group in groups if len(group) > 1]


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_the_root_holds_no_other_module() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} - ROOT_MODULES == set()


def test_no_folder_holds_too_many_files() -> None:
    folders = {path.parent for path in WRITTEN}
    counts = {str(folder.relative_to(ROOT)): sum(1 for path in folder.glob("*.py")) for folder in folders}
    assert {name: count for name, count in counts.items() if count > MAX_FILES} == {}


def test_files_stay_small() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in WRITTEN}
    assert {name: size for name, size in sizes.items() if size > MAX_LINES} == {}


def test_files_are_named_for_what_they_do() -> None:
    assert [str(path.relative_to(ROOT)) for path in WRITTEN if path.stem in BANNED_NAMES] == []


@pytest.mark.parametrize(
    ("module", "source", "message"),
    [
        ("data.domain", "from prerec_pyro.models import networks", "may not import prerec_pyro.models"),
        ("data.domain", "from prerec_pyro import recommenders", "may not import prerec_pyro"),
        ("data.domain", "from ..models.networks import X", "may not import prerec_pyro.models.networks"),
        ("data.domain", "import pyro.distributions as dist", "pyro is for models.graphs"),
        ("data.text.encoder", "import sentence_transformers", "within a function only"),
        ("data.text.encoder", "if TYPE_CHECKING:\n    import sentence_transformers", "within a function only"),
        ("data.frames", "def f():\n    import sentence_transformers", "sentence_transformers is for data.text.encoder"),
        ("models.graphs.paper", "from prerec_pyro.data import domain", "may not import prerec_pyro.data.domain"),
        ("models.graphs.paper", "from prerec_pyro.training import trainer", "may not import prerec_pyro.training"),
        ("models.networks", "from pyro.nn import PyroModule", "pyro is for"),
        ("inference.guides.delta", "from prerec_pyro.training.trainer import X", "may not import prerec_pyro.training"),
        ("inference.guides.delta", "import arviz as az", "arviz is for inference.posterior"),
        ("evaluation.protocol", "from prerec_pyro.inference import guides", "may not import prerec_pyro.inference"),
        ("evaluation.protocol", "def f():\n    import click", "click is for cli"),
        ("recommenders.prerec", "from prerec_pyro.cli import console", "may not import prerec_pyro.cli.console"),
        ("recommenders.prerec", "def f():\n    from prerec_pyro import plots", "may not import prerec_pyro.plots"),
        ("recommenders.prerec", "import importlib\nimportlib.import_module('matplotlib.pyplot')", "matplotlib is for"),
        (
            "causal.dial",
            "from prerec_pyro.recommenders.prerec import PreRec",
            "may not import prerec_pyro.recommenders",
        ),
        ("plots.evaluation", "from prerec_pyro.data.domain import Domain", "may not import prerec_pyro.data.domain"),
        ("reproduction.tuning", "import optuna", "within a function only"),
        ("reproduction.tables", "from prerec_pyro.cli import outputs", "may not import prerec_pyro.cli.outputs"),
        ("serving.ray_engine", "import ray.data", "within a function only"),
        ("serving.shards", "from prerec_pyro.training import run", "may not import prerec_pyro.training"),
        ("cli.commands.infer", "def f():\n    import ray", "ray is for serving.ray_engine"),
        ("errors", "import prerec_pyro.data", "may not import prerec_pyro.data"),
        ("errors", "from prerec_pyro.errors import X", "imports nothing"),
        ("", "from prerec_pyro.cli.main import main", "may not import prerec_pyro.cli.main"),
        ("cli.commands.train", "import torch", "within the command that needs it"),
        ("cli.commands.train", "from prerec_pyro.recommenders.prerec import X", "within the command that needs it"),
    ],
)
def test_what_the_map_forbids_is_found(module: str, source: str, message: str) -> None:
    found = broken_rules(imports_of(source, f"prerec_pyro.{module}".rstrip("."), is_package=module == ""), module)
    assert len(found) >= 1
    assert message in found[0]
    assert found[0].startswith(f"line {len(source.splitlines())}: ")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("data.text.encoder", "from prerec_pyro.errors import InputError\nfrom prerec_pyro.data.text import cache"),
        ("data.text.encoder", "def f():\n    import sentence_transformers"),
        ("models.graphs.paper", "import pyro\nfrom prerec_pyro.data.batching.batch import Batch"),
        ("models.baselines.gru4rec", "import pyro\nfrom prerec_pyro.models.networks import X"),
        ("inference.posterior.arviz_io", "import arviz\nimport pyro.infer\nfrom prerec_pyro.data.encoded import X"),
        ("evaluation.protocol", "from prerec_pyro.ranking.lists import top_k\nimport prerec_pyro.data.splits"),
        ("cli.commands.train", "import click, json\nif TYPE_CHECKING:\n    import torch"),
        ("cli.commands.train", "def f():\n    import torch\n    from prerec_pyro.recommenders.prerec import PreRec"),
        ("__main__", "from prerec_pyro.cli.main import main"),
    ],
)
def test_what_the_map_allows_is_let_pass(module: str, source: str) -> None:
    assert broken_rules(imports_of(source, f"prerec_pyro.{module}"), module) == []
