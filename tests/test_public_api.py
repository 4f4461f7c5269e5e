"""The public names: each is there, has an example, and the examples of the whole package run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import prerec_pyro

PACKAGE = Path(prerec_pyro.__file__).parent
NAMESPACES = ("causal", "data", "evaluation", "plots", "priors")
WITH_EXAMPLES = ("causal", "evaluation", "plots")  # each of their names has one
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules_with_examples() -> list[str]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if ">>> " in path.read_text("utf-8"):
            found.append(".".join(["prerec_pyro", *path.relative_to(PACKAGE).with_suffix("").parts]))
    return [name.removesuffix(".__init__") for name in found]


@pytest.mark.parametrize("name", [name for name in prerec_pyro.__all__ if name != "__version__"])
def test_each_public_name_has_an_example(name: str) -> None:
    assert ">>> " in (inspect.getdoc(getattr(prerec_pyro, name)) or ""), f"{name}: its docstring has no example"


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_each_namespace_gives_its_names(namespace: str) -> None:
    module = getattr(prerec_pyro, namespace)
    assert len(module.__all__) >= 5
    assert dir(module) == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name).__name__ == name
        assert getattr(module, name).__doc__
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # noqa: B018


@pytest.mark.parametrize(
    "name", [f"{namespace}.{name}" for namespace in WITH_EXAMPLES for name in getattr(prerec_pyro, namespace).__all__]
)
def test_each_name_of_a_namespace_has_an_example(name: str) -> None:
    namespace, _, own = name.partition(".")
    assert doctest.DocTestParser().get_examples(getattr(getattr(prerec_pyro, namespace), own).__doc__)


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(name), optionflags=OPTIONS)
    plt.close("all")  # those of prerec_pyro.plots
    assert found.attempted > 0
    assert found.failed == 0, "the examples' output is above"


def test_there_are_examples_enough() -> None:
    finder, count = doctest.DocTestFinder(), 0
    for name in modules_with_examples():
        count += sum(1 for test in finder.find(importlib.import_module(name)) if test.examples)
    assert count >= 20


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        prerec_pyro.no_such_name  # noqa: B018
    assert set(prerec_pyro.__all__) | set(NAMESPACES) == set(dir(prerec_pyro))


@pytest.mark.parametrize("namespace", ["", *(f".{name}" for name in NAMESPACES)])
def test_importing_a_package_loads_nothing_but_itself(namespace: str) -> None:
    package = f"prerec_pyro{namespace}"
    code = f"import sys, {package}; dir({package}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"prerec_pyro", "numpy", "torch", "pandas", "pyarrow", "pyro", "matplotlib", "arviz"}
    loaded = {name for name in done.stdout.split() if name.partition(".")[0] in heavy}
    assert loaded == {"prerec_pyro", "prerec_pyro._version", package}
