"""One line to the objects on it: JSON, or Python literals where someone wrote ``str(record)`` for JSON."""

from __future__ import annotations

import ast
import json
import math
import warnings
from typing import Any

# Strings that hold bare tabs and other control characters are let pass.
_decode = json.JSONDecoder(strict=False).decode
_LONGEST_LITERAL = 1 << 22  # characters; the worst that can stand in one takes 250 bytes of memory for each
# What people, pandas and JSON call the values that Python knows by another name.
_NAMES = {
    **{"nan": math.nan, "NaN": math.nan, "inf": math.inf, "Infinity": math.inf},
    **{"null": None, "true": True, "false": False},
}


def parse_records(line: str) -> list[dict[str, Any]]:
    """Return the objects of a line that holds one object or a list of objects; ``None`` in a list is passed over.

    A line that is no JSON is read as a Python literal (``{'price': nan, 'brand': None}``). Nothing is ever executed:
    what is more than a literal is refused, and so is a literal of more than 4 Mi characters, since parsing one takes a
    large multiple of its length.

    Raises
    ------
    ValueError
        If it is neither, or holds something else than objects.
    """
    try:
        value = _decode(line)
    except (ValueError, RecursionError) as error:
        value = _python_literal(line, error)
    found = value if isinstance(value, list | tuple) else [value]
    records = [record for record in found if record is not None]
    if not all(isinstance(record, dict) for record in records):
        raise ValueError("neither an object nor a list of objects")
    return records


def _python_literal(line: str, json_error: Exception) -> Any:
    if len(line) > _LONGEST_LITERAL:
        raise ValueError(f"neither JSON ({json_error}) nor a Python literal of at most {_LONGEST_LITERAL:,} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python remarks on "\d" in a text
            tree = ast.parse(line, mode="eval")
        try:
            return ast.literal_eval(tree)
        except ValueError:  # a bare name: slower, so only then
            return ast.literal_eval(_Named().visit(tree))
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise ValueError(f"neither JSON ({json_error}) nor a Python literal") from None


class _Named(ast.NodeTransformer):
    """Puts values for the names of `_NAMES`; any other name stays, and is refused as no literal."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(_NAMES[node.id]) if node.id in _NAMES else node
