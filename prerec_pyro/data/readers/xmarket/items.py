"""XMarket: item texts from metadata, in the form that the authors of the paper use."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from prerec_pyro.data.readers.xmarket.records import RecordFile

_CATEGORIES = "This item belongs to the following categories:"


class Catalogue:
    """Items in the order of the files, each asin once.

    Attributes
    ----------
    dropped
        Reason → number of rows that add no item.
    notes
        Sentences on these rows.
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
            If the file cannot be read.
        """
        file = RecordFile(path, ("asin",))
        for _, (asin,), record in file:
            self._add(asin, item_text(record))
        if file.num_skipped:
            self.dropped["item_without_asin"] = self.dropped.get("item_without_asin", 0) + file.num_skipped
            self.notes.append(file.note)

    def add_without_text(self, items: Iterable[str]) -> int:
        """Add the new items among `items`, with an empty text, and return their number."""
        before = len(self._texts)
        for asin in items:
            self._texts.setdefault(asin, "")
        return len(self._texts) - before

    def take(self) -> pa.Table:
        """Return ``item_id, text`` in order of first appearance, and release the memory of the texts."""
        if self._repeated:
            self.dropped["duplicate_item_rows"] = self._repeated
            self.notes.append(
                f"{self._repeated:,} rows of metadata repeat an item, {self._contradicted:,} of them with another "
                "text; the first text was kept"
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

    The authors of the paper join them like this: ``"Red mug Holds 300 ml This item belongs to the following categories:
    Kitchen Mugs"``. A field that is missing, empty or NaN adds nothing, so an item without these fields has an empty
    text.
    """
    words = [*_words(record.get("title")), *_words(record.get("features"))]
    categories = _words(record.get("categories"))
    if categories:
        words += [_CATEGORIES, *categories]
    text = " ".join(" ".join(words).split())
    # Replace halves of UTF-16 surrogate pairs, which JSON can hold but no UTF-8 file can.
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _words(value: Any) -> list[str]:
    """Return the strings and numbers of a field, in order; lists may be nested."""
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
