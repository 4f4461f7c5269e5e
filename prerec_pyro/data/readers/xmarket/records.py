"""XMarket: reviews and metadata as records with their required fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prerec_pyro.data.readers.lines import read_lines
from prerec_pyro.data.readers.records import parse_records
from prerec_pyro.errors import InputError

_SHOWN = 3


class RecordFile:
    """One file of reviews or metadata; after an iteration, `num_skipped` and `note` describe the skipped records.

    Parameters
    ----------
    path
        File in which each line is an object or a list of objects, as JSON or as a Python literal.
    required
        Fields that a record must have.
    """

    def __init__(self, path: Path, required: Sequence[str]) -> None:
        self.path = path
        self.required = tuple(required)
        self.num_records = 0
        self.num_skipped = 0
        self._lines: list[int] = []
        self._missing: set[str] = set()

    def __iter__(self) -> Iterator[tuple[int, list[str], dict[str, Any]]]:
        """Yield (line, required fields as text, record) of each record that has all required fields.

        Raises
        ------
        InputError
            If the file cannot be read, a line is no record, or more than half of the records lack a field.
        """
        for line, text in read_lines(self.path):
            for record in self._parse(line, text):
                self.num_records += 1
                values = [plain_text(record.get(field)) for field in self.required]
                if all(values):
                    yield line, values, record
                else:
                    self._skip(line, values)
        if 2 * self.num_skipped > self.num_records:
            raise InputError(f"{self.path}: {self._skipped()}; files of XMarket have them, so check the file")

    @property
    def note(self) -> str:
        """Sentence on the skipped records."""
        return f"{self.path.name}: {self._skipped()}; they were dropped"

    def _parse(self, line: int, text: str) -> list[dict[str, Any]]:
        try:
            return parse_records(text)
        except ValueError as error:
            start = text if len(text) <= 40 else text[:40] + "…"
            raise InputError(
                f"{self.path}, line {line}: {start!r} is {error}; expected an object or a list of objects, so "
                "correct the line or copy the file again"
            ) from None

    def _skip(self, line: int, values: list[str]) -> None:
        self.num_skipped += 1
        self._missing.update(field for field, value in zip(self.required, values, strict=True) if not value)
        if len(self._lines) <= _SHOWN and line not in self._lines:
            self._lines.append(line)

    def _skipped(self) -> str:
        fields = " or no ".join(field for field in self.required if field in self._missing)
        lines = ", ".join(map(str, self._lines[:_SHOWN])) + (", …" if len(self._lines) > _SHOWN else "")
        word = "line" if len(self._lines) == 1 else "lines"
        return f"{self.num_skipped:,} of {self.num_records:,} records have no {fields} ({word} {lines})"


def plain_text(value: Any) -> str:
    """Return an id or a date as text, or ``""`` for null, NaN, a blank, or a value of another type."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        return ""
    text = value.strip()
    # Half of a UTF-16 surrogate pair can stand in JSON, but in no UTF-8 file.
    return text if text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text) else ""
