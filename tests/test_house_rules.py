"""Sizes, docstrings and first lines of the package, and the terms of the glossary."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

import prerec_pyro

PACKAGE = Path(prerec_pyro.__file__).parent
ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_FUNCTION = 60
MAX_MEDIAN = 150
ASKS = re.compile(r"(What|Which|Whose|Whom|Who|How|Of|Where|When|Why|Is|Are|Has|Does|Do)\b")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def definitions(tree: ast.Module) -> Iterator[Definition]:
    yield from (node for node in ast.walk(tree) if isinstance(node, Definition))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_begins_with_a_statement(path: Path) -> None:
    first = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]
    assert first, "a module says in one line what it holds"
    assert not ASKS.match(first)
    assert not first.rstrip('"').endswith("?")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_description_is_a_fragment(path: Path) -> None:
    """A description of a parameter or attribute does not begin with "Of …"."""
    for node in definitions(ast.parse(path.read_text("utf-8"))):
        for line in (ast.get_docstring(node) or "").splitlines():
            assert not re.match(r"\s*Of\b", line), f"line {node.lineno}, {node.name}: {line.strip()}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_functions_stay_small(path: Path) -> None:
    """Lines of code: the signature and the docstring do not count."""
    for node in definitions(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef):
            continue
        body = node.body[1:] if ast.get_docstring(node) else node.body
        lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
        assert lines <= MAX_FUNCTION, f"line {node.lineno}: {node.name} has {lines} lines"


def test_half_of_the_files_are_short() -> None:
    sizes = [len(path.read_text("utf-8").splitlines()) for path in FILES if path.name != "__init__.py"]
    assert statistics.median(sizes) <= MAX_MEDIAN


def test_public_names_have_docstrings() -> None:
    public = documented = 0
    for path in FILES:
        for node in definitions(ast.parse(path.read_text("utf-8"))):
            if not node.name.startswith("_"):
                public += 1
                documented += ast.get_docstring(node) is not None
    assert documented >= 0.95 * public


def test_the_glossary_names_what_is_in_the_code() -> None:
    """Each name in code font of the glossary's second column occurs in the package."""
    code = "\n".join(path.read_text("utf-8") for path in FILES)
    rows = [line for line in (ROOT / "docs/glossary.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    assert len(rows) > 20
    for row in rows:
        for name in re.findall(r"`([A-Za-z_][A-Za-z_0-9]*)`", row.split("|")[-3]):
            assert re.search(rf"\b{name}\b", code), f"{name} is no name of the code: {row}"
