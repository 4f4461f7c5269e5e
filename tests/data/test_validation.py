"""Errors and notes for all kinds of faults in the two tables."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from prerec_pyro.data.domain import Domain
from prerec_pyro.errors import InputError

ITEMS = {"item_id": ["a", "b", "c"], "text": ["apple", "bread", "cider"]}
EVENTS = {"user_id": ["u", "u", "v", "v"], "item_id": ["a", "b", "c", "a"], "order": [0, 1, 0, 1]}


def build(events: dict | None = None, items: dict | None = None) -> Domain:
    frames = [
        pd.DataFrame({key: value for key, value in (base | (change or {})).items() if value is not None})
        for base, change in ((EVENTS, events), (ITEMS, items))
    ]
    return Domain.from_tables(*frames, name="shop", source="shop")


def test_correct_tables_pass_without_a_note() -> None:
    assert build().provenance == {"source": "shop", "files": [], "dropped": {}, "notes": []}


MALFORMED = {
    "no user column": ({"user_id": None}, None, r"shop, interactions: no column 'user_id'; it has 'item_id', 'order'"),
    "no time": ({"order": None}, None, "no column 'timestamp or order'.*--column timestamp=NAME"),
    "no text": (None, {"text": None}, "shop, items: no column 'text'; it has 'item_id'"),
    "empty user": ({"user_id": ["u", "", "v", None]}, None, r"column 'user_id': rows 2 and 4: empty"),
    "blank item": ({"item_id": ["a", "b", "  ", "a"]}, None, "column 'item_id': row 3: empty"),
    "no item at all": ({"item_id": [None] * 4}, None, r"rows 1, 2 and 3 \(4 in all\): empty"),
    "item of the catalogue": (None, {"item_id": ["a", None, "c"]}, "shop, items, column 'item_id': row 2: empty"),
    "two texts": (
        None,
        {"item_id": ["a", "b", "a"]},
        "row 3: .*with another text: 'a' is 'apple' in row 1, then 'cider'; keep one row for each item",
    ),
    "fractions": ({"item_id": [1.0, 2.0, 2.5, 1.0]}, None, "row 3: '2.5': decimal numbers are no ids"),
    "digits lost": ({"user_id": [1e17, 1e17, 1.0, 1.0]}, None, "rows 1 and 2: .*digits may already be lost"),
    "missing number": ({"user_id": [1.0, np.nan, 2, 2]}, None, "column 'user_id': row 2: empty"),
    "mixed ids": (
        {"item_id": np.array([1, "1", 1.0, "a"], dtype=object)},
        None,
        "mixed types .1 in row 1, '1' in row 2, 1.0 in row 3.*change values silently",
    ),
    "mixed numbers": ({"item_id": np.array([1, 2, 1.0, 2], dtype=object)}, None, "mixed types"),
    "truth values": ({"user_id": [True, False, True, True]}, None, "ids of type bool are not supported"),
    "dates as ids": ({"user_id": [datetime.date(2020, 1, 1)] * 4}, None, "ids of type date32"),
    "bytes": ({"user_id": [b"x"] * 4}, None, "column 'user_id': mixed types|ids of type"),
    "order in words": ({"order": ["1", "two", "3", "4"]}, None, "column 'order': row 2: 'two' is no number"),
    "order missing": ({"order": [1, None, 3, 4]}, None, "column 'order': row 2: no position"),
    "order a date": ({"order": pd.to_datetime(["2020-01-01"] * 4)}, None, "is no position"),
    "numbers for text": (None, {"text": [1, 2, 3]}, "the text column holds numbers"),
    "digits for text": (None, {"text": ["1", "2.50", " "]}, r"holds numbers only \('1', '2.50'\)"),
    "mixed text": (None, {"text": np.array(["apple", 3, "c"], dtype=object)}, "mixed types .'apple' in row 1, 3"),
    "no events": ({key: [] for key in EVENTS}, None, "shop, interactions: no rows"),
    "no items": (None, {"item_id": [], "text": []}, "shop, items: no rows"),
    "foreign items": (
        {"item_id": ["a.0", "b.0", "c.0", "a.0"]},
        None,
        r"all interactions name items that are not in shop, items: 'a.0', 'b.0', 'c.0', … here, 'a', 'b', 'c' there",
    ),
    "mostly foreign": ({"item_id": ["x", "y", "z", "a"]}, None, "rows 1, 2 and 3: 3 of 4 interactions name items"),
    "one column": ({"user_id": None, "item_id": None, "order": None, "user_id;item_id;order": ["u;a;0"] * 4}, None,
        "line 1: the delimiter looks wrong: .* holds a semicolon .'user_id;item_id;order'"),
}  # fmt: skip


@pytest.mark.parametrize(("events", "items", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_tables_are_refused(events: dict | None, items: dict | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(events, items)


def test_other_types_and_repeated_columns_are_refused() -> None:
    with pytest.raises(InputError, match=r"a list is no table"):
        Domain.from_tables([1, 2], pd.DataFrame(ITEMS), name="x")
    twice = pd.DataFrame([["u", "a", 1, 2]], columns=["user_id", "item_id", "order", "order"])
    with pytest.raises(InputError, match=r"two columns are called 'order'"):
        Domain.from_tables(twice, pd.DataFrame(ITEMS), name="x")
    with pytest.raises(InputError, match=r"two columns are called 'order'"):
        Domain.from_tables(pa.Table.from_arrays([["u"], ["a"], [1], [2]], names=twice.columns), twice, name="x")
    listed = pl.DataFrame(EVENTS | {"user_id": [["u"], ["u"], ["v"], ["v"]]})
    with pytest.raises(InputError, match=r"ids of type .*list"):
        Domain.from_tables(listed, pd.DataFrame(ITEMS), name="x")


@pytest.mark.parametrize(
    "numbers",
    [
        [1, 20, 3, 1],
        [1.0, 20.0, 3.0, 1.0],
        ["1", "20", "3", "1"],
        pd.array([1, 20, 3, 1], dtype="Int64"),
        [Decimal(1), Decimal(20), Decimal(3), Decimal(1)],
        pd.Categorical([1, 20, 3, 1]),
    ],
)
def test_whole_numbers_keep_their_digits(numbers: object) -> None:
    domain = build({"item_id": numbers}, {"item_id": [1, 20, 3]})
    assert domain.item_ids.tolist() == ["1", "20", "3"]
    assert domain.item_index.tolist() == [0, 1, 2, 0]


def test_ids_are_strings_exactly_as_written() -> None:
    ids = ["007", "7", "NA ", "1e3"]
    domain = build({"item_id": ids}, {"item_id": ids, "text": ["w", "x", "y", "z"]})
    assert domain.item_ids.tolist() == ids
    assert domain.item_index.tolist() == [0, 1, 2, 3]


def test_unknown_items_are_dropped_and_counted() -> None:
    domain = build({"item_id": ["a", "zz", "zz", "c"]})
    assert domain.provenance["dropped"] == {"unknown_item": 2}
    assert domain.item_index.tolist() == [0, 2]
    assert domain.user_ids.tolist() == ["u", "v"]
    notes = domain.provenance["notes"]
    assert "2 of 4 interactions were dropped, since their item is not in shop, items ('zz', 'zz')" in notes[0]
    assert "2 of 2 users (100.0%) have one interaction only" in notes[1]


def test_a_user_without_known_items_is_dropped() -> None:
    domain = build({"item_id": ["zz", "zz", "c", "a"]})
    assert domain.user_ids.tolist() == ["v"]
    assert domain.order.tolist() == [0, 1]


def test_repeated_items_are_dropped_and_counted() -> None:
    doubled = {key: value[:1] + value[:2] + value for key, value in ITEMS.items()}
    domain = build(None, doubled)
    assert domain.item_ids.tolist() == ["a", "b", "c"]
    assert domain.item_texts.tolist() == ITEMS["text"]
    assert domain.provenance["dropped"] == {"duplicate_item_rows": 3}
    assert "3 repeated item rows were dropped" in domain.provenance["notes"][0]


def test_empty_texts_are_kept_and_noted() -> None:
    some = build(None, {"text": ["apple", " ", None]})
    assert "2 of 3 items have no text; they will all look alike" in some.provenance["notes"][0]
    assert some.item_texts.tolist() == ["apple", " ", ""]
    for nothing in ([None] * 3, ["", " ", ""]):
        assert "no item has a text" in build(None, {"text": nothing}).provenance["notes"][0]


def test_a_title_that_is_a_number_is_a_text_among_texts() -> None:
    assert build(None, {"text": ["1984", "bread", "2001"]}).item_texts[0] == "1984"
