from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prerec_pyro.data.readers.xmarket.events import EventLog
from prerec_pyro.data.readers.xmarket.files import Category, InteractionKind
from prerec_pyro.errors import InputError
from tests.support.xmarket_files import review, write_lines


def read(tmp_path: Path, kind: InteractionKind, *lines: str) -> EventLog:
    log = EventLog()
    log.read(Category("Books", kind, write_lines(tmp_path / f"{kind}.gz", lines), None))
    return log


def rows(log: EventLog) -> list[tuple[str, str, str]]:
    table = log.table().to_pydict()
    dates = map(str, table["timestamp"])
    return list(zip(table["user_id"], table["item_id"], dates, strict=True))


def test_ratings(tmp_path: Path) -> None:
    log = read(tmp_path, "ratings", "v 007 5.0 2015-09-29", "", "u\t7  1 1970-01-02 ", "v 007 3 2099-12-31")
    assert rows(log) == [("v", "007", "2015-09-29"), ("u", "7", "1970-01-02"), ("v", "007", "2099-12-31")]
    assert log.items_of("Books") == ["007", "7"]


def test_a_line_holds_one_review_or_a_list(tmp_path: Path) -> None:
    one, two = review("u", "a", "2015-09-29"), review("v", "b", "2015-09-28") | {"overall": float("nan")}
    lines = [json.dumps([one, None, two]), "[]", repr([two]), json.dumps(one)]
    log = read(tmp_path, "reviews", *lines)
    first, second = ("u", "a", "2015-09-29"), ("v", "b", "2015-09-28")
    assert rows(log) == [first, second, second, first]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (dict(reviewerID=None), "reviewerID"),
        (dict(reviewerID=""), "reviewerID"),
        (dict(asin=float("nan")), "asin"),
        (dict(asin=[1]), "asin"),
        (dict(cleanReviewTime=" "), "cleanReviewTime"),
        (dict(cleanReviewTime=None, asin=None), "asin or no cleanReviewTime"),
    ],
)
def test_incomplete_reviews_are_dropped_and_located(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    good = review("u", "a", "2015-09-29")
    odd = {key: value for key, value in (good | change).items() if value is not None}
    log = read(tmp_path, "reviews", repr([good, good]), repr([odd, odd]), repr([good]), repr([odd]))
    assert rows(log) == [("u", "a", "2015-09-29")] * 3
    assert log.dropped == {"incomplete_review": 3}
    assert log.notes[0] == f"reviews.gz: 3 of 6 records have no {field} (lines 2, 4); they were dropped"
    with pytest.raises(InputError, match=rf"reviews.gz: 1 of 1 records have no {field} \(line 1\); files of XMarket"):
        read(tmp_path, "reviews", repr([odd]))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("u a 5.0", r"line 2: 3 fields; expected 4, separated by blanks: userId itemId rate date"),
        ("u,a,5.0,2015-09-29", r"line 2: 1 fields"),
        ("u a 5.0 2015-09-29 12:00", r"line 2: 5 fields"),
        ("userId itemId rate date", r"line 2, date: 'date' cannot be read; expected a date such as 2015-09-29"),
        *(
            (f"u a 5.0 {date}", f"line 2, date: '{date}' cannot be read")
            for date in (
                *("2015-02-30", "20150929", "2015-9-29", "29-09-2015", "2015-W40-2", "1443484800"),
                *("1970-01-01", "1066-10-14", "2100-01-01", "2015-09-2٩"),
            )
        ),
    ],
)
def test_ratings_that_cannot_be_read(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InputError, match=r"ratings\.gz, " + message):
        read(tmp_path, "ratings", "u a 5.0 2015-09-29", line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("u a 5.0 2015-09-29", r"line 2: 'u a 5.0 2015-09-29' is neither JSON .* nor a Python literal; expected an"),
        ("[" + '{"a": 1}, ' * 9, r"line 2: '\[.*…' is neither JSON"),
        ('["review"]', r"line 2: '.*' is neither an object nor a list of objects; expected"),
        (json.dumps([review("u", "a", "soon")]), r"line 2, cleanReviewTime: 'soon' cannot be read"),
        (json.dumps([review("u", "a", 1443484800)]), r"line 2, cleanReviewTime: '1443484800' cannot be read"),
    ],
)
def test_reviews_that_cannot_be_read(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InputError, match=r"reviews\.gz, " + message):
        read(tmp_path, "reviews", json.dumps([review("u", "a", "2015-09-29")]), line)


def test_repeats_across_categories_are_dropped_in_any_order(tmp_path: Path) -> None:
    log = EventLog()
    files = {
        "A": ["u a 5 2015-01-01", "v a 5 2015-01-01"],
        "B": ["w a 5 2015-01-01", "u a 1 2015-01-01", "u a 5 2015-01-02"],
        "C": ["u a 5 2015-01-02", "u b 5 2015-01-02", "u b 5 2015-01-02", "u a 2 2015-01-01"],
    }
    for name, lines in files.items():
        log.read(Category(name, "ratings", write_lines(tmp_path / name, lines), None))
    assert rows(log) == [
        *(("u", "a", "2015-01-01"), ("v", "a", "2015-01-01"), ("w", "a", "2015-01-01")),
        *(("u", "a", "2015-01-02"), ("u", "b", "2015-01-02"), ("u", "b", "2015-01-02")),
    ]
    assert log.dropped == {"repeated_across_categories": 3}
    assert log.notes[1].startswith("1 of 9 interactions repeat another one of the same file")
    assert log.items_of("C") == ["a", "b"]
