from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from prerec_pyro.data.readers.columns import INTERACTION_ROLES, ITEM_ROLES, check_mapping, guess, pick
from prerec_pyro.data.readers.files import FileTable
from prerec_pyro.errors import InputError


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["reviewerID", "asin", "unixReviewTime"], ["reviewerID", "asin", "unixReviewTime"]),
        (["User", "Product ID", "Date"], ["User", "Product ID", "Date"]),
        (["session-id", "SKU", "ts"], ["session-id", "SKU", "ts"]),
        # our own name wins over other candidates
        (
            ["user_id", "session_id", "item_id", "asin", "timestamp", "date"],
            ["user_id", "item_id", "timestamp"],
        ),
    ],
)
def test_common_names_of_interactions(names: list[str], found: list[str]) -> None:
    assert list(guess(names, INTERACTION_ROLES, {}, "f").values()) == found


def test_order_replaces_times_and_breaks_ties_only_under_its_own_name() -> None:
    assert guess(["user", "item", "rank"], INTERACTION_ROLES, {}, "f")["order"] == "rank"
    assert "order" not in guess(["user", "item", "time", "rank"], INTERACTION_ROLES, {}, "f")
    assert guess(["user", "item", "time", "position"], INTERACTION_ROLES, {}, "f")["order"] == "position"
    mapped = guess(["user", "item", "time", "rank"], INTERACTION_ROLES, {"order": "rank"}, "f")
    assert mapped["order"] == "rank"


def test_text_takes_the_first_of_its_names() -> None:
    assert guess(["id", "description", "Title", "name"], ITEM_ROLES, {}, "f") == {
        "text": "Title",
        "item_id": "id",
    }
    assert guess(["item_id", "description", "name"], ITEM_ROLES, {}, "f")["text"] == "name"
    assert guess(["id", "asin", "title"], ITEM_ROLES, {}, "f")["item_id"] == "asin"


@pytest.mark.parametrize(
    ("names", "role"),
    [
        (["user", "session", "item", "time"], "user_id"),
        (["user", "sku", "asin", "time"], "item_id"),
        (["user", "item", "date", "time"], "timestamp"),
        (["user", "item", "seq", "rank"], "order"),
    ],
)
def test_two_candidates_are_refused(names: list[str], role: str) -> None:
    with pytest.raises(InputError, match=rf"log.csv: '\w+', '\w+' could each be {role}; .*--column {role}="):
        guess(names, INTERACTION_ROLES, {}, "log.csv")


def test_a_mapping_wins_over_guesses() -> None:
    names = ["user", "session", "asin", "time"]
    assert guess(names, INTERACTION_ROLES, {"user_id": "session"}, "f")["user_id"] == "session"
    # a column that the user mapped to another role is no longer available
    found = guess(["who", "user", "time"], INTERACTION_ROLES, {"user_id": "who", "item_id": "user"}, "f")
    assert found == {"user_id": "who", "item_id": "user", "timestamp": "time"}
    assert guess(["user_id", "x"], ("user_id",), {"user_id": "elsewhere"}, "f") == {"user_id": "user_id"}


def test_texts_are_joined_by_a_blank() -> None:
    table = pa.table({"id": ["1", "2", "3"], "title": ["Pen", "", "Ink  pot"], "brand": ["Bic", "Bic", None]})
    file = FileTable(Path("items.csv"), table)
    found = guess(table.column_names, ITEM_ROLES, {"text": "title+brand"}, "items.csv")
    picked, origin = pick(file, found)
    assert picked["text"].to_pylist() == ["Pen Bic", "Bic", "Ink pot"]
    assert picked.column_names == ["text", "item_id"]
    assert origin.column("item_id") == "column 'id' (item_id)"
    assert origin.label == "items.csv"


def test_a_mapping_must_name_columns_that_exist() -> None:
    tables = [
        FileTable(Path("a.csv"), pa.table({"who": ["1"]})),
        FileTable(Path("b.csv"), pa.table({"title": ["x"]})),
    ]
    check_mapping({"user_id": "who", "text": "title"}, tables)
    with pytest.raises(InputError, match=r"user_id=whom: no file has a column 'whom' \(a.csv: who; b.csv: title\)"):
        check_mapping({"user_id": "whom"}, tables)
    with pytest.raises(InputError, match=r"text=title.brand: no file has a column 'brand'"):
        check_mapping({"text": "title+brand"}, tables)
    with pytest.raises(InputError, match=r"no column 'rating'; map one of user_id, item_id, timestamp, order, text"):
        check_mapping({"rating": "who"}, tables)
