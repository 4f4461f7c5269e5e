"""The map of the package, enforced: who may import whom, which library lives where, how large a file may grow."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "prerec_pyro"
EVERYTHING = ("*",)
# Part of the package → the modules of prerec_pyro that it may import, besides itself and `errors`. Longest name wins.
MAY_IMPORT = {
    "errors": (),
    "data": (),
    "models": ("data.batches", "data.popularity", "data.windows"),
    "inference": (
        *("models", "data.batches", "data.encoded", "data.domain", "data.histories", "data.repeats"),
        *("data.tensors", "data.windows"),
    ),
    # A result draws itself: the pictures are imported when they are asked for.
    "inference.prior_predictive": ("models", "data.batches", "data.encoded", "data.windows", "plots_priors"),
    "evaluation": ("data", "models", "inference.ranking"),
    "model_folder": ("data", "models", "inference"),
    "training_run": ("data", "inference"),
    "domain_strengths": ("data", "models", "inference", "training_run"),
    "domain_posterior": ("data", "models", "inference", "facade"),
    # Questions to a trained model, whatever façade it stands behind; `PreRec` answers the usual ones itself.
    "causal": ("data", "models", "inference", "evaluation", "facade"),
    "recommender": (
        *("data", "models", "inference", "evaluation"),
        *("facade", "model_folder", "training_run", "domain_posterior", "domain_strengths", "causal"),
    ),
    "served": ("models", "inference", "causal", "facade"),
    "calibrated": ("data", "inference", "recommender", "served"),
    "informed": ("data", "inference", "recommender", "served", "calibrated"),
    "facade": ("data", "models", "inference", "evaluation"),
    "baseline": ("data", "models", "inference", "evaluation", "facade", "training_run"),
    "methods": ("data", "models", "inference", "evaluation", "recommender", "baseline"),
    # Lists in Arrow batches and shards, for engines that run many processes.
    "serving": ("data", "inference", "facade", "recommender", "calibrated", "methods"),
    # The tables and figures of the paper train models, which `evaluation` may not: the façades import it.
    "reproduction": (
        *("data", "models", "inference", "evaluation"),
        *("facade", "recommender", "calibrated", "baseline", "methods"),
    ),
    "sensitivity": ("data", "models", "inference", "evaluation", "recommender", "plots_priors"),
    "plots": (),
    "plots_priors": (),
    "plots_posterior": (),
    "plots_causal": (),
    "cli": EVERYTHING,
    "__main__": ("cli",),
    "": (
        "data",
        "models",
        "inference",
        "evaluation",
        "recommender",
        "calibrated",
        "informed",
        "baseline",
        "methods",
        "sensitivity",
        "causal",
        "plots",
    ),  # prerec_pyro/__init__.py
}
# Library → the modules that may import it.
ONLY_IN = {
    "matplotlib": ("plots", "plots_*"),
    "click": ("cli.*",),
    "arviz": ("inference.posterior_*",),
    "arviz_stats": ("inference.posterior_*",),
    "optuna": ("reproduction.tuning",),
    "ray": ("serving.ray_engine",),
    "faiss": ("inference.approximate",),
    "pyro": ("models.graph", "models.choice", "models.plates", "models.priors.*", "models.baselines.*", "inference.*"),
    "sentence_transformers": ("data.text",),
}
ONLY_IN_FUNCTIONS = ("sentence_transformers", "optuna", "ray", "faiss")
# What a module of the command line may import before a command runs, so that `--help` is instant.
LIGHT = ("click", "prerec_pyro.cli", "prerec_pyro.errors")
MAX_LINES = 350
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


def test_files_stay_small() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in WRITTEN}
    assert {name: size for name, size in sizes.items() if size > MAX_LINES} == {}


def test_files_are_named_for_what_they_do() -> None:
    assert [str(path.relative_to(ROOT)) for path in WRITTEN if path.stem in BANNED_NAMES] == []


@pytest.mark.parametrize(
    ("module", "source", "message"),
    [
        ("data.text", "from prerec_pyro.models import networks", "may not import prerec_pyro.models"),
        ("data.text", "from prerec_pyro import recommender", "may not import prerec_pyro"),
        ("data.text", "from ..models.graph import X", "may not import prerec_pyro.models.graphs.paper"),
        ("data.text", "import pyro.distributions as dist", "pyro is for models.graph"),
        ("data.text", "import sentence_transformers", "within a function only"),
        ("data.text", "if TYPE_CHECKING:\n    import sentence_transformers", "within a function only"),
        ("data.frames", "def f():\n    import sentence_transformers", "sentence_transformers is for data.text"),
        ("models.graph", "from prerec_pyro.data import domain", "may not import prerec_pyro.data.domain"),
        ("models.graph", "from prerec_pyro.data import Domain", "may not import prerec_pyro.data"),
        ("models.networks", "from pyro.nn import PyroModule", "pyro is for"),
        (
            "inference.svi",
            "if TYPE_CHECKING:\n    from prerec_pyro.data.splits import Split",
            "may not import prerec_pyro.data.splits",
        ),
        ("inference.svi", "import arviz as az", "arviz is for inference.posterior_"),
        ("evaluation.protocol", "from prerec_pyro.inference import svi", "may not import prerec_pyro.training.trainer"),
        ("evaluation.protocol", "import pyro", "pyro is for"),
        ("evaluation.protocol", "def f():\n    import click", "click is for cli"),
        ("recommender", "from prerec_pyro.cli import console", "may not import prerec_pyro.cli.console"),
        ("recommender", "def f():\n    from prerec_pyro import plots", "may not import prerec_pyro.plots.base"),
        (
            "recommender",
            "import importlib\nimportlib.import_module('matplotlib.pyplot')",
            "matplotlib is for plots, plots_*",
        ),
        (
            "baseline",
            "from prerec_pyro.recommenders.prerec import PreRec",
            "may not import prerec_pyro.recommenders.prerec",
        ),
        (
            "causal.dial",
            "from prerec_pyro.recommenders.prerec import PreRec",
            "may not import prerec_pyro.recommenders.prerec",
        ),
        ("facade", "from prerec_pyro.causal.dial import Dial", "may not import prerec_pyro.causal.dial"),
        ("causal.drift", "from prerec_pyro.plots.base import save", "may not import prerec_pyro.plots.base"),
        (
            "recommender",
            "from prerec_pyro.recommenders.registry import load_model",
            "may not import prerec_pyro.recommenders.registry",
        ),
        ("plots", "from prerec_pyro.data.domain import Domain", "may not import prerec_pyro.data.domain"),
        ("reproduction.tuning", "import optuna", "within a function only"),
        ("serving.ray_engine", "import ray.data", "within a function only"),
        ("cli.infer", "def f():\n    import ray", "ray is for serving.ray_engine"),
        ("cli.tune", "def f():\n    import optuna", "optuna is for reproduction.tuning"),
        ("reproduction.tables", "from prerec_pyro.plots.base import save", "may not import prerec_pyro.plots.base"),
        ("reproduction.tables", "from prerec_pyro.cli import outputs", "may not import prerec_pyro.cli.outputs"),
        ("evaluation.transfer", "from prerec_pyro.reproduction.cells import Cell", "may not import prerec_pyro.repr"),
        ("errors", "import prerec_pyro.data", "may not import prerec_pyro.data"),
        ("errors", "from prerec_pyro.errors import X", "imports nothing"),
        ("", "from prerec_pyro.cli.main import main", "may not import prerec_pyro.cli.main"),
        ("cli.train", "import torch", "within the command that needs it"),
        ("cli.train", "from prerec_pyro.recommenders.prerec import PreRec", "within the command that needs it"),
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
        ("data.text", "from prerec_pyro.errors import InputError\nfrom prerec_pyro.data import text_cache"),
        ("data.text", "def f():\n    import sentence_transformers"),
        (
            "models.graph",
            "import pyro\nfrom prerec_pyro.data.batching.batch import Batch\nfrom prerec_pyro.models import priors",
        ),
        ("models.baselines.gru4rec", "import pyro\nfrom prerec_pyro.models.networks import X"),
        ("inference.posterior_arviz", "import arviz\nimport pyro.infer\nfrom prerec_pyro.data.encoded import X"),
        ("evaluation.protocol", "from prerec_pyro.ranking.lists import top_k\nimport prerec_pyro.data.splits"),
        ("cli.train", "import click, json\nif TYPE_CHECKING:\n    import torch"),
        ("cli.train", "def f():\n    import torch\n    from prerec_pyro.recommenders.prerec import PreRec"),
        ("__main__", "from prerec_pyro.cli.main import main"),
    ],
)
def test_what_the_map_allows_is_let_pass(module: str, source: str) -> None:
    assert broken_rules(imports_of(source, f"prerec_pyro.{module}"), module) == []
