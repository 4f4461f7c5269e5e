from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.statistics import describe, describe_table


def shop(name: str = "shop", times: bool = True) -> Domain:
    last = {"timestamp": ["2015-09-29T13:05:00", "2015-09-30", "2015-09-28", "2015-10-01", "2015-10-02"]}
    events = {"user_id": ["u", "u", "v", "u", "u"], "item_id": ["a", "a", "b", "a", "b"]}
    catalogue = {"item_id": ["a", "b", "c", "d"], "text": ["apple", "bread", " ", "dates"]}
    return Domain.from_tables(
        pd.DataFrame(events | (last if times else {"order": range(5)})), pd.DataFrame(catalogue), name=name
    )


def test_statistics_of_a_small_domain() -> None:
    result = describe(shop())
    assert json.loads(json.dumps(result)) == result
    notes = result.pop("notes")
    assert len(notes) == 2
    assert result == {
        "name": "shop",
        "num_items": 4,
        "num_users": 2,
        "num_interactions": 5,
        "num_queries": 3,
        "time": "timestamps",
        "first_time": "2015-09-28T00:00:00+00:00",
        "last_time": "2015-10-02T00:00:00+00:00",
        "user_length_mean": 2.5,
        "user_length_median": 2.5,
        "user_length_max": 4,
        "share_users_with_one_interaction": 0.5,
        "share_items_without_text": 0.25,
        "share_items_without_interactions": 0.5,
        "density": 3 / 8,
        # mean absolute difference of the counts 3, 2, 0, 0 over twice their mean
        "gini_items": pytest.approx(np.abs(np.subtract.outer([3, 2, 0, 0], [3, 2, 0, 0])).mean() / (2 * 1.25)),
        "has_embeddings": False,
        "dropped": {},
        "table3": {"#Items": 4, "#Users": 2, "#Inters": 5},
    }


def test_a_domain_without_times() -> None:
    result = describe(shop(times=False).with_embeddings(np.zeros((4, 2))))
    assert (result["time"], result["first_time"], result["last_time"]) == ("order", None, None)
    assert result["has_embeddings"]


def test_table_has_a_row_for_each_domain() -> None:
    table = describe_table([shop("one"), shop("two", times=False)])
    assert table.index.tolist() == ["one", "two"]
    assert table.loc["two", "num_interactions"] == 5
    assert "notes" not in table
    assert describe_table([]).empty


def test_a_domain_without_a_log_has_plain_zeros() -> None:
    items = pd.DataFrame({"item_id": ["a", "b"], "text": ["apple", ""], "first_seen": ["2024-01-02", None]})
    result = describe(Domain.from_tables(None, items, name="bare"))
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert (result["time"], result["first_time"], result["last_time"]) == ("none", None, None)
    assert (result["share_items_with_first_seen"], result["share_items_without_text"]) == (0.5, 0.5)
    assert result["share_items_without_interactions"] == 1
    for name in ("num_users", "num_queries", "user_length_mean", "user_length_max", "density", "gini_items"):
        assert result[name] == 0, name
