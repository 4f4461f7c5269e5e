"""XMarket: reviews and metadata as records with the fields that they cannot do without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prerec_pyro.data.readers.lines import read_lines
from prerec_pyro.data.readers.records import parse_records
from prerec_pyro.errors import InputError

_SHOWN = 3


class RecordFile:
    """One file of reviews or metadata. Iterate over it; then `num_skipped` and `note` say what was passed over.

    Parameters
    ----------
    path
        Each line an object, or a list of objects, as JSON or as a Python literal.
    needed
        Fields without which a record is of no use.
    """

    def __init__(self, path: Path, needed: Sequence[str]) -> None:
        self.path = path
        self.needed = tuple(needed)
        self.num_records = 0
        self.num_skipped = 0
        self._lines: list[int] = []
        self._missing: set[str] = set()

    def __iter__(self) -> Iterator[tuple[int, list[str], dict[str, Any]]]:
        """Yield (line, the needed fields as text, the record) of each record that has them.

        Raises
        ------
        InputError
            If the file cannot be read, a line is no record, or more than half of the records lack a field.
        """
        for line, text in read_lines(self.path):
            for record in self._parse(line, text):
                self.num_records += 1
                values = [plain_text(record.get(field)) for field in self.needed]
                if all(values):
                    yield line, values, record
                else:
                    self._skip(line, values)
        if 2 * self.num_skipped > self.num_records:
            raise InputError(f"{self.path}: {self._what()}; a file of XMarket has them, so check what this file is")

    @property
    def note(self) -> str:
        """What was passed over, as a sentence."""
        return f"{self.path.name}: {self._what()}; they were dropped"

    def _parse(self, line: int, text: str) -> list[dict[str, Any]]:
        try:
            return parse_records(text)
        except ValueError as error:
            start = text if len(text) <= 40 else text[:40] + "…"
            raise InputError(
                f"{self.path}, line {line}: {start!r} is {error}; expected an object or a list of objects, so mend "
                "the line or copy the file again"
            ) from None

    def _skip(self, line: int, values: list[str]) -> None:
        self.num_skipped += 1
        self._missing.update(field for field, value in zip(self.needed, values, strict=True) if not value)
        if len(self._lines) <= _SHOWN and line not in self._lines:
            self._lines.append(line)

    def _what(self) -> str:
        fields = " or no ".join(field for field in self.needed if field in self._missing)
        lines = ", ".join(map(str, self._lines[:_SHOWN])) + (", …" if len(self._lines) > _SHOWN else "")
        word = "line" if len(self._lines) == 1 else "lines"
        return f"{self.num_skipped:,} of {self.num_records:,} records have no {fields} ({word} {lines})"


def plain_text(value: Any) -> str:
    """Return an id or a date as text, ``""`` where there is none: null, NaN, blank, or nothing that can be one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        return ""
    text = value.strip()
    # Half of a UTF-16 pair can be written in JSON, but to no file.
    return text if text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text) else ""
