"""Item covariates from tables and from arrays: what is read, what is refused, and what the messages say."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.frames import Origin
from prerec_pyro.errors import InputError

EVENTS = {"user_id": ["u", "u", "v"], "item_id": ["a", "b", "c"], "order": [0, 1, 2]}
ITEMS = {"item_id": ["a", "b", "c"], "text": ["apple", "bread", "cider"]}
LINES = Origin("items.csv", columns={"price": "EUR"}, lines=lambda rows: rows + 2)


def read(price: Any, *, items: dict[str, list] = ITEMS, origin: Origin = LINES, make: Any = pd.DataFrame) -> Domain:
    table = make(items | {"price": price})
    source = (Origin("log.csv"), origin)
    return Domain.from_tables(pd.DataFrame(EVENTS), table, name="shop", source=source, item_covariates=["price"])


@pytest.mark.parametrize(
    "price",
    [
        [1, 20, 3],
        [1.0, 20.0, 3.0],
        ["1", " +20 ", "3.0"],
        [Decimal("1"), Decimal("20.00"), Decimal("3")],
        pd.array([1, 20, 3], dtype="Int64"),
        np.array([1, 20, 3], dtype=np.uint8),
    ],
)
def test_numbers_of_any_type_are_read(price: Any) -> None:
    values = read(price).item_covariates["price"]
    assert values.dtype == np.float32
    assert values.tolist() == [1.0, 20.0, 3.0]


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_every_type_of_table_is_read(make: Any) -> None:
    assert read([1.5, 2.5, 3.5], make=make).item_covariates["price"].tolist() == [1.5, 2.5, 3.5]
    assert read([True, False, True], make=make).item_covariates["price"].tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("price", "message"),
    [
        ([1.0, np.nan, 3.0], r"items.csv, column 'EUR' \(price\): line 3: no value; expected a number for every item"),
        ([None, 2, None], "lines 2 and 4: no value"),
        (["1", "", "3"], "line 3: no value"),
        (["1", "cheap", "n/a"], r"lines 3 and 4: 'cheap', 'n/a' is no number; expected a number for every item"),
        ([1.0, np.inf, -np.inf], r"lines 3 and 4: 'inf', '-inf'; expected finite numbers"),
        ([1.0, 1e39, 3.0], r"line 3: '1e\+39'; expected finite numbers within the range of float32"),
        (pd.to_datetime(["2020-01-01"] * 3), "values of type timestamp.*; expected a number for every item"),
        (np.array([1, "2", 3], dtype=object), r"mixed types .1 in line 2, '2' in line 3"),
    ],
)
def test_other_values_are_refused_with_their_lines(price: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(price)


def test_rows_are_named_where_there_are_no_lines() -> None:
    with pytest.raises(InputError, match=r"goods, column 'price': row 2: no value"):
        read([1, None, 3], origin=Origin("goods"))


def test_a_missing_column_is_refused() -> None:
    with pytest.raises(InputError, match=r"no column 'weight' for the item covariate 'weight'; it has 'item_id', 'tex"):
        Domain.from_tables(pd.DataFrame(EVENTS), pd.DataFrame(ITEMS), name="shop", item_covariates=["weight"])
    with pytest.raises(TypeError, match="pass a list of column names"):
        Domain.from_tables(pd.DataFrame(EVENTS), pd.DataFrame(ITEMS), name="shop", item_covariates="price")


def test_repeated_items_must_agree() -> None:
    doubled = {key: [*values, values[0]] for key, values in ITEMS.items()}
    assert read([1, 2, 3, 1], items=doubled).item_covariates["price"].tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(InputError, match=r"'EUR' .price.: line 5: .*'a' has 1 in line 2, then 4; keep one row for"):
        read([1, 2, 3, 4], items=doubled)


def test_covariates_follow_the_item_index() -> None:
    backwards = {key: values[::-1] for key, values in ITEMS.items()}
    domain = read([30, 20, 10], items=backwards)
    assert domain.item_ids.tolist() == ["c", "b", "a"]
    assert domain.item_covariates["price"].tolist() == [30.0, 20.0, 10.0]


def plain() -> Domain:
    return Domain.from_tables(pd.DataFrame(EVENTS), pd.DataFrame(ITEMS), name="shop")


@pytest.mark.parametrize("price", [[1, 2.5, 3], np.array([1, 2.5, 3]), torch.tensor([1, 2.5, 3]), (1, 2.5, 3)])
def test_arrays_are_added(price: Any) -> None:
    domain = plain().with_item_covariates(price=price)
    assert domain.item_covariates["price"].dtype == np.float32
    assert domain.item_covariates["price"].tolist() == [1.0, 2.5, 3.0]
    assert plain().item_covariates == {}


def test_arrays_are_added_to_others_and_replace_their_namesakes() -> None:
    domain = plain().with_item_covariates(price=[1, 2, 3], weight=[4, 5, 6])
    changed = domain.with_item_covariates(weight=[7, 8, 9])
    assert {name: values.tolist() for name, values in changed.item_covariates.items()} == {
        "price": [1.0, 2.0, 3.0],
        "weight": [7.0, 8.0, 9.0],
    }
    assert domain.item_covariates["weight"].tolist() == [4.0, 5.0, 6.0]
    assert changed.with_notes("a note").with_embeddings(np.eye(3)).item_covariates.keys() == {"price", "weight"}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"price": [1, 2]},
            r"domain 'shop': item covariate 'price': shape \(2,\); expected \(3,\), one number for each",
        ),
        ({"price": np.ones((3, 1))}, r"shape \(3, 1\)"),
        ({"price": 1.0}, r"shape \(\)"),
        ({"price": [1, np.nan, np.inf]}, r"'price': rows \[1, 2\] \(2 in all, counted from 0\) hold NaN, infinity"),
        ({"price": [1, 2, 1e39]}, r"rows \[2\] .* a number beyond float32"),
        (
            {"price": [1, None, "x"]},
            r"values of type object, rows \[1, 2\] .* hold 'None', 'x'; expected \(3,\) numbers",
        ),
        ({"price": ["1", "2", "3"]}, r"values of type <U1, rows \[0, 1, 2\] .* hold '1', '2', '3'"),
        ({"price": [[1], [2, 3], 4]}, r"'price': no array of numbers; expected shape \(3,\)"),
        ({"item_id": [1, 2, 3]}, r"item covariate 'item_id': a covariate cannot have this name"),
        ({" ": [1, 2, 3]}, "cannot have this name"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plain().with_item_covariates(**arrays)


def test_a_read_only_array_is_taken() -> None:
    price = np.arange(3, dtype=np.float32)
    price.setflags(write=False)
    assert plain().with_item_covariates(price=price).item_covariates["price"].tolist() == [0.0, 1.0, 2.0]


def listed(**columns: list[object]) -> Domain:
    items = {"item_id": ["a", "b", "a"], "text": ["apple", "bread", "apple"]}
    return Domain.from_tables(None, pd.DataFrame(items | columns), name="shop")


def test_repeated_rows_have_the_earliest_day_of_listing() -> None:
    assert listed(first_seen=["1970-01-09", "1970-01-08", "1970-01-05"]).first_seen.tolist() == [4, 7]
    assert listed(first_seen=["1970-01-09", None, None]).first_seen.tolist() == [8, -1]
    assert listed(first_seen=[None, None, None]).first_seen is None
    assert listed().first_seen is None


@pytest.mark.parametrize("days", [[1, 2], [1.5, 2.0, 3.0], [-2, 0, 0], [[1, 2, 3]]])
def test_days_of_listing_that_do_not_fit_are_refused(days: list[object]) -> None:
    with pytest.raises(InputError, match=r"domain 'shop': first_seen has shape .* expected \(3,\) whole days"):
        dataclasses.replace(plain(), first_seen=days)


def test_the_name_of_the_days_of_listing_is_reserved() -> None:
    with pytest.raises(InputError, match="expected a name other than item_id, text, first_seen"):
        plain().with_item_covariates(first_seen=[1, 2, 3])
