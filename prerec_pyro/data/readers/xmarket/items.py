"""XMarket: metadata to item texts, as the authors of the paper write them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from prerec_pyro.data.readers.xmarket.records import RecordFile

_CATEGORIES = "This item belongs to the following categories:"


class Catalogue:
    """Items as they are read, each asin once.

    Attributes
    ----------
    dropped
        Reason → count of rows that gave no item of their own.
    notes
        Sentences on these.
    """

    def __init__(self) -> None:
        self.dropped: dict[str, int] = {}
        self.notes: list[str] = []
        self._texts: dict[str, str] = {}
        self._repeated = 0
        self._contradicted = 0

    def read(self, path: Path) -> None:
        """Add the items of one file of metadata.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        file = RecordFile(path, ("asin",))
        for _, (asin,), record in file:
            self._add(asin, item_text(record))
        if file.num_skipped:
            self.dropped["item_without_asin"] = self.dropped.get("item_without_asin", 0) + file.num_skipped
            self.notes.append(file.note)

    def add_without_text(self, items: Iterable[str]) -> int:
        """Add those of `items` that are new, with an empty text, and return how many these are."""
        before = len(self._texts)
        for asin in items:
            self._texts.setdefault(asin, "")
        return len(self._texts) - before

    def take(self) -> pa.Table:
        """Return ``item_id, text`` in order of first appearance, and forget them: texts need room once."""
        if self._repeated:
            self.dropped["duplicate_item_rows"] = self._repeated
            self.notes.append(
                f"{self._repeated:,} rows of metadata give an item again, {self._contradicted:,} of them with another "
                "text; it is one item, with the first text"
            )
        strings = pa.large_string()
        ids, texts = pa.array(self._texts, strings), pa.array(self._texts.values(), strings)
        self._texts = {}
        return pa.table({"item_id": ids, "text": texts})

    def _add(self, asin: str, text: str) -> None:
        if asin not in self._texts:
            self._texts[asin] = text
            return
        self._repeated += 1
        earlier = self._texts[asin]
        if not earlier:
            self._texts[asin] = text
        self._contradicted += bool(earlier and text and text != earlier)


def item_text(record: Mapping[str, Any]) -> str:
    """Return the title, the features and the categories of a metadata record, joined by blanks.

    ``"Red mug Holds 300 ml This item belongs to the following categories: Kitchen Mugs"``: the paper's authors join
    them like this. A field that is missing, empty or NaN leaves nothing behind, so the text of an item without any
    of the three is empty.
    """
    words = [*_words(record.get("title")), *_words(record.get("features"))]
    categories = _words(record.get("categories"))
    if categories:
        words += [_CATEGORIES, *categories]
    text = " ".join(" ".join(words).split())
    # Halves of UTF-16 pairs: what can be written in JSON, but to no file.
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _words(value: Any) -> list[str]:
    """Return the strings and numbers of a field, in order; lists may lie in lists."""
    found: list[str] = []
    todo = [value]
    while todo:
        part = todo.pop()
        if isinstance(part, list | tuple):
            todo += reversed(part)
        elif isinstance(part, str):
            found.append(part)
        elif isinstance(part, int | float) and not isinstance(part, bool) and math.isfinite(part):
            found.append(str(int(part) if part == int(part) else part))
    return found
