from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from prerec_pyro.data.readers.xmarket.items import Catalogue, item_text
from prerec_pyro.errors import InputError
from tests.support.xmarket_files import item, write_lines

WORDS = "This item belongs to the following categories:"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            dict(title="Red mug", features=["Holds 300 ml", "Of clay"], categories=["Kitchen", "Mugs"]),
            f"Red mug Holds 300 ml Of clay {WORDS} Kitchen Mugs",
        ),
        (dict(title=" Red\n mug ", features=["", "a  b"], categories=[]), "Red mug a b"),
        (dict(title="Red mug", features=math.nan, categories=math.nan), "Red mug"),
        (dict(title=None, features=[], categories=["Mugs"]), f"{WORDS} Mugs"),
        (dict(title=1984, features=[2.5, 3.0, True, None, math.nan, math.inf]), "1984 2.5 3"),
        (
            dict(title="A", features="in one string", categories=[["Home", ["Mugs"]]]),
            f"A in one string {WORDS} Home Mugs",
        ),
        (dict(title={"en": "A"}, description="Not read", brand="Nor this"), ""),
        (dict(title="Salt &amp; pepper"), "Salt &amp; pepper"),
        (dict(title="語 \ud83d\ude42 \ud83d"), "語 🙂 \ufffd"),
        (dict(), ""),
    ],
)
def test_texts_are_joined_as_the_authors_join_them(fields: dict[str, Any], text: str) -> None:
    assert item_text(fields) == text


def catalogue(tmp_path: Path, *lines: str) -> Catalogue:
    result = Catalogue()
    result.read(write_lines(tmp_path / "metadata_ca_Books.json.gz", lines))
    return result


def test_an_asin_is_one_item_with_its_first_text(tmp_path: Path) -> None:
    empty = item("1", title="")
    read = catalogue(tmp_path, *(str(one) for one in (empty, item("2"), item("1"), item("1"), item("1", title="B"))))
    assert read.add_without_text(["3", "1", "3"]) == 1
    assert read.take().to_pydict() == {"item_id": ["1", "2", "3"], "text": ["Thing 1", "Thing 2", ""]}
    assert read.dropped == {"duplicate_item_rows": 3}
    assert read.notes == ["3 rows of metadata repeat an item, 1 of them with another text; the first text was kept"]


def test_rows_without_an_asin_are_dropped_and_located(tmp_path: Path) -> None:
    odd = ["{'asin': nan}", '{"asin": " "}', '{"title": "A"}', '{"asin": "\\ud800"}', '{"asin": true}']
    good = [str(item(number)) for number in range(5)]
    read = catalogue(tmp_path, good[0], *odd, *good[1:])
    assert read.dropped == {"item_without_asin": 5}
    assert read.notes == [
        "metadata_ca_Books.json.gz: 5 of 10 records have no asin (lines 2, 3, 4, …); they were dropped"
    ]
    assert read.take()["item_id"].to_pylist() == ["0", "1", "2", "3", "4"]
    with pytest.raises(InputError, match=r"Books.json.gz: 5 of 9 records have no asin .*check the file"):
        catalogue(tmp_path, *odd, *good[1:])
