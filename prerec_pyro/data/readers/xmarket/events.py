"""XMarket: interactions from ratings and reviews, a few bytes each, whatever the size of the files."""

from __future__ import annotations

import datetime
import functools
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from prerec_pyro.data.readers.lines import read_lines
from prerec_pyro.data.readers.xmarket.files import Category
from prerec_pyro.data.readers.xmarket.records import RecordFile
from prerec_pyro.errors import InputError

_EPOCH = datetime.date(1970, 1, 1)
_REVIEW = ("reviewerID", "asin", "cleanReviewTime")


class EventLog:
    """Interactions in the order of the files: 14 bytes each, and each id once.

    Attributes
    ----------
    dropped
        Reason → number of dropped rows.
    notes
        Sentences on dropped rows, and on repeated rows that were kept.
    """

    def __init__(self) -> None:
        self.dropped: dict[str, int] = {}
        self.notes: list[str] = []
        # Id → number, in order of first appearance.
        self._users: dict[str, int] = {}
        self._items: dict[str, int] = {}
        self._user, self._item, self._day, self._part = array("i"), array("i"), array("i"), array("H")
        self._parts: list[str] = []

    def read(self, category: Category) -> None:
        """Add the interactions of one category, if it has a file of them.

        Raises
        ------
        InputError
            If the file cannot be read.
        """
        if category.interactions is None:
            return
        rows = self._ratings if category.kind == "ratings" else self._reviews
        users, items = self._users, self._items
        for user, item, day in rows(category.interactions):
            self._user.append(users.setdefault(user, len(users)))
            self._item.append(items.setdefault(item, len(items)))
            self._day.append(day)
        self._part.extend(array("H", [len(self._parts)]) * (len(self._user) - len(self._part)))
        self._parts.append(category.name)

    def items_of(self, category: str) -> list[str]:
        """Return the ids of the items with interactions in a category, in order of first appearance."""
        numbers = np.frombuffer(self._item, np.int32)
        own = np.unique(numbers[np.frombuffer(self._part, np.uint16) == self._parts.index(category)])
        ids = list(self._items)
        return [ids[number] for number in own.tolist()]

    def table(self) -> pa.Table:
        """Return ``user_id, item_id, timestamp`` in the order of the files, without repeats across categories.

        An item of two categories has its reviews in the files of both, so repeats in a later file are dropped. Repeats
        within one file are kept.
        """
        user, item, day = (np.frombuffer(numbers, np.int32) for numbers in (self._user, self._item, self._day))
        kept = self._without_repeats(user, item, day)
        strings = pa.large_string()
        return pa.table(
            {
                "user_id": pa.DictionaryArray.from_arrays(user[kept], pa.array(self._users, strings)),
                "item_id": pa.DictionaryArray.from_arrays(item[kept], pa.array(self._items, strings)),
                "timestamp": pa.array(day[kept], pa.int32()).cast(pa.date32()),
            }
        )

    def _without_repeats(self, user: np.ndarray, item: np.ndarray, day: np.ndarray) -> np.ndarray:
        """Return the rows that are not in the file of an earlier category, and add notes on the repeats."""
        part = np.frombuffer(self._part, np.uint16)
        order = np.lexsort((part, day, item, user))
        repeat = np.zeros(len(order), dtype=bool)
        if len(order) > 1:
            repeat[1:] = True
            for numbers in (user, item, day):
                repeat[1:] &= numbers[order[1:]] == numbers[order[:-1]]
        first = np.maximum.accumulate(np.where(repeat, 0, np.arange(len(order))))  # first row of each run of equal rows
        elsewhere = part[order] != part[order[first]]
        across = int(elsewhere.sum())
        within = int(repeat.sum()) - across
        if across:
            self.dropped["repeated_across_categories"] = across
            self.notes.append(
                f"{across:,} interactions were dropped, since they are also in the file of an earlier category (same "
                "user, item and date)"
            )
        if within:
            self.notes.append(
                f"{within:,} of {len(order):,} interactions repeat another one of the same file (same user, item "
                "and date); they were kept"
            )
        kept = np.ones(len(order), dtype=bool)
        kept[order[elsewhere]] = False
        return np.flatnonzero(kept)

    def _ratings(self, path: Path) -> Iterator[tuple[str, str, int]]:
        for line, text in read_lines(path):
            fields = text.split()
            if len(fields) != 4:
                raise InputError(
                    f"{path}, line {line}: {len(fields)} fields; expected 4, separated by blanks: userId itemId rate "
                    "date"
                )
            yield fields[0], fields[1], _day(fields[3], path, line, "date")

    def _reviews(self, path: Path) -> Iterator[tuple[str, str, int]]:
        file = RecordFile(path, _REVIEW)
        for line, (user, item, date), _ in file:
            yield user, item, _day(date, path, line, _REVIEW[2])
        if file.num_skipped:
            self.dropped["incomplete_review"] = self.dropped.get("incomplete_review", 0) + file.num_skipped
            self.notes.append(file.note)


def _day(text: str, path: Path, line: int, field: str) -> int:
    day = _days_since_1970(text)
    if day is None:
        raise InputError(
            f"{path}, line {line}, {field}: {text[:40]!r} cannot be read; expected a date such as 2015-09-29, from "
            "1970-01-02 to 2099"
        )
    return day


@functools.lru_cache(maxsize=1 << 15)  # there are fewer days than entries
def _days_since_1970(text: str) -> int | None:
    if len(text) != 10 or text[4] != "-" or text[7] != "-":  # `fromisoformat` accepts other formats too, such as weeks
        return None
    try:
        days = (datetime.date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        return None
    return days if days > 0 and text < "2100" else None
