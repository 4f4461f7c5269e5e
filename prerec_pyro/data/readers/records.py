"""Objects on a line of text: JSON, or Python literals where a program wrote ``str(record)`` instead of JSON."""

from __future__ import annotations

import ast
import json
import math
import warnings
from typing import Any

# Not strict: strings may hold bare tabs and other control characters.
_decode = json.JSONDecoder(strict=False).decode
_LONGEST_LITERAL = 1 << 22  # characters; each may take up to 250 bytes of memory when parsed
# Names in pandas and JSON for values that have another name in Python.
_NAMES = {
    **{"nan": math.nan, "NaN": math.nan, "inf": math.inf, "Infinity": math.inf},
    **{"null": None, "true": True, "false": False},
}


def parse_records(line: str) -> list[dict[str, Any]]:
    """Return the objects of a line that holds one object or a list of objects; ``None`` in a list is skipped.

    A line that is no JSON is read as a Python literal (``{'price': nan, 'brand': None}``). Nothing is executed:
    anything but a literal is refused. A literal of more than 4 Mi characters is refused too, since parsing takes a
    large multiple of its length.

    Raises
    ------
    ValueError
        If the line is neither JSON nor a literal, or holds anything but objects.
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
            warnings.simplefilter("ignore")  # Python warns about "\d" in a text
            tree = ast.parse(line, mode="eval")
        try:
            return ast.literal_eval(tree)
        except ValueError:  # a bare name; this way is slower, so it comes second
            return ast.literal_eval(_Named().visit(tree))
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise ValueError(f"neither JSON ({json_error}) nor a Python literal") from None


class _Named(ast.NodeTransformer):
    """Replaces the names in `_NAMES` by their values; any other name stays, and is then refused."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(_NAMES[node.id]) if node.id in _NAMES else node
