from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.domain import Domain
from prerec_pyro.errors import InputError

ITEMS = {"item_id": ["a", "b", "c"], "text": ["apple", "bread", "cider "]}
EVENTS = {
    "user_id": ["u2", "u1", "u2", "u1", "u2"],
    "item_id": ["c", "a", "b", "b", "a"],
    "timestamp": [300_000, 200_000, 300_000, 100_000, 100_000],
}


def small(**extra: object) -> Domain:
    return Domain.from_tables(pd.DataFrame(EVENTS | extra), pd.DataFrame(ITEMS), name="small")


def test_contract_of_the_columns() -> None:
    domain = small()
    assert domain.user_ids.tolist() == ["u2", "u1"]  # first appearance
    assert domain.offsets.tolist() == [0, 3, 5]
    # u2: a first, then c and b, which tie and keep the order of the file
    assert domain.item_ids[domain.item_index].tolist() == ["a", "c", "b", "b", "a"]
    assert domain.timestamps.tolist() == [100_000, 300_000, 300_000, 100_000, 200_000]
    assert domain.days.tolist() == [1, 3, 3, 1, 2]
    assert domain.user_of_event.tolist() == [0, 0, 0, 1, 1]
    assert domain.order.tolist() == [0, 1, 2, 0, 1]
    assert domain.item_texts.tolist() == ["apple", "bread", "cider "]
    kinds = [domain.offsets.dtype, domain.item_index.dtype, domain.timestamps.dtype, domain.days.dtype]
    assert kinds == [np.int64, np.int32, np.int64, np.int32]
    assert domain.user_of_event.dtype == np.int32
    assert (domain.num_items, domain.num_users, domain.num_interactions) == (3, 2, 5)
    assert isinstance(domain.item_ids[0], str)


def test_order_breaks_ties_of_time_and_replaces_missing_times() -> None:
    assert small(order=[1, 9, 0, 0, 5]).item_index.tolist() == [0, 1, 2, 1, 0]
    ordered = {key: EVENTS[key] for key in ("user_id", "item_id")} | {"order": [2.5, 1, 0.5, 0, 1]}
    domain = Domain.from_tables(pd.DataFrame(ordered), pd.DataFrame(ITEMS), name="ordered")
    assert not domain.has_timestamps
    assert domain.timestamps is None
    assert domain.days is None
    assert domain.item_index.tolist() == [1, 0, 2, 1, 0]
    assert domain.interactions_frame().columns.tolist() == ["user_id", "item_id", "order"]


def test_many_ties_keep_the_order_of_the_file() -> None:
    rows = 500  # more than an unstable sort would leave alone
    items = [str(number) for number in np.random.default_rng(0).permutation(rows)]
    events = pd.DataFrame({"user_id": ["u"] * rows, "item_id": items, "timestamp": [100_000] * rows})
    domain = Domain.from_tables(events, pd.DataFrame({"item_id": items, "text": items}).assign(text="x"), name="t")
    assert domain.item_ids[domain.item_index].tolist() == items


@pytest.mark.parametrize(
    "make",
    [
        pd.DataFrame,
        pl.DataFrame,
        pa.table,
        lambda table: pl.DataFrame(table).lazy(),
        lambda table: pd.DataFrame(table).astype({"item_id": "category"}),
        lambda table: pd.DataFrame(table).convert_dtypes(dtype_backend="pyarrow"),
        lambda table: pd.DataFrame({key: pd.Series(value, dtype=object) for key, value in table.items()}),
        lambda table: pa.concat_tables([pa.table(table).slice(0, 2), pa.table(table).slice(2)]),
    ],
)
def test_every_kind_of_frame_gives_the_same_domain(make: object) -> None:
    domain = Domain.from_tables(make(EVENTS), make(ITEMS), name="small")
    assert domain.fingerprint == small().fingerprint


def test_the_fingerprint_depends_on_the_content() -> None:
    plain = small()
    assert len(plain.fingerprint) == 64
    assert Domain.from_tables(pd.DataFrame(EVENTS), pd.DataFrame(ITEMS), name="other").fingerprint == plain.fingerprint
    assert plain.with_embeddings(np.ones((3, 2))).fingerprint == plain.fingerprint
    later = small(timestamp=[time + 1 for time in EVENTS["timestamp"]])
    shifted = pd.DataFrame({"item_id": ["a", "b", "c"], "text": ["app", "lebread", "cider "]})
    moved = Domain.from_tables(pd.DataFrame(EVENTS), shifted, name="small")
    assert len({plain.fingerprint, later.fingerprint, moved.fingerprint}) == 3


def test_the_fingerprint_includes_covariates_and_is_otherwise_what_it_was() -> None:
    plain = small()
    # Saved domains and models hold fingerprints, so this value must never change.
    assert plain.fingerprint == "7327176c6f1bde5ff14b789f4320624de1561366d2e6ae3a6d276295f3c46cf9"
    price = plain.with_item_covariates(price=[1, 2, 3])
    both = price.with_item_covariates(weight=[4, 5, 6])
    others = [
        plain.with_item_covariates(cost=[1, 2, 3]),
        plain.with_item_covariates(price=[1, 2, 4]),
        plain.with_item_covariates(weight=[4, 5, 6]),
    ]
    assert len({one.fingerprint for one in (plain, price, both, *others)}) == 6
    other_order = plain.with_item_covariates(weight=[4, 5, 6]).with_item_covariates(price=[1, 2, 3])
    assert other_order.fingerprint == both.fingerprint


def test_positions_name_unknown_ids() -> None:
    domain = small()
    assert domain.item_position(["c", "a", "c"]).tolist() == [2, 0, 2]
    assert domain.item_position(pd.Series(["b"])).tolist() == [1]
    assert domain.item_position([]).tolist() == []
    assert domain.user_position(np.array(["u1"])).tolist() == [1]
    with pytest.raises(InputError, match=r"unknown item ids: 'z', '9' \(2 of 3\).*look like 'a', 'b', 'c'"):
        domain.item_position(["z", "a", "9"])
    with pytest.raises(InputError, match="unknown user ids: 'a'"):
        domain.user_position(["a"])


def test_integer_ids_are_looked_up_as_they_are_stored() -> None:
    events = pd.DataFrame({"user_id": [1, 1], "item_id": [10, 20], "order": [0, 1]})
    domain = Domain.from_tables(events, pd.DataFrame({"item_id": [10, 20], "text": ["x", "y"]}), name="n")
    assert domain.item_ids.tolist() == ["10", "20"]
    assert domain.item_position([20]).tolist() == [1]


def test_embeddings_are_checked() -> None:
    domain = small().with_embeddings([[1, 2], [3, 4], [5, 6]])
    assert domain.embeddings.dtype == np.float32
    assert domain.item_index is not None
    for wrong in (np.ones((2, 4)), np.ones(3), np.ones((3, 0)), [["x"], ["y"], ["z"]]):
        with pytest.raises(InputError, match=r"\(3, text_dim\)"):
            small().with_embeddings(wrong)
    with pytest.raises(InputError, match=r"rows \[1\].*NaN or infinity"):
        small().with_embeddings([[0.0], [np.nan], [1.0]])


@pytest.mark.parametrize(
    "change",
    [
        {"offsets": [0, 2, 4]},
        {"offsets": [0, 5]},
        {"offsets": [0, 0, 5]},
        {"item_index": [0, 1, 2, 3, 0]},
        {"item_index": [0, 1, 2, -1, 0]},
        {"timestamps": [1, 2]},
        {"item_texts": ["x"]},
    ],
)
def test_the_constructor_refuses_arrays_that_do_not_agree(change: dict[str, list]) -> None:
    fields = {
        "item_ids": ["a", "b", "c"],
        "item_texts": ["x", "y", "z"],
        "user_ids": ["u", "v"],
        "offsets": [0, 3, 5],
        "item_index": [0, 1, 2, 1, 0],
    }
    assert Domain(name="ok", **fields).num_users == 2
    with pytest.raises(ValueError, match="domain 'no'"):
        Domain(name="no", **(fields | change))


def test_notes_are_added_in_front_without_touching_the_original() -> None:
    domain = small()
    noted = domain.with_notes("read twice", dropped={"blank": 2})
    assert noted.provenance["notes"][0] == "read twice"
    assert noted.provenance["dropped"] == {"blank": 2}
    assert "read twice" not in domain.provenance["notes"]


def test_frames_rebuild_the_domain() -> None:
    domain = small()
    again = Domain.from_tables(domain.interactions_frame(), domain.items_frame(), name="again")
    assert again.fingerprint == domain.fingerprint
    priced = domain.with_item_covariates(price=[1.5, 2, 3])
    assert priced.items_frame().columns.tolist() == ["item_id", "text", "price"]
    again = Domain.from_tables(
        priced.interactions_frame(), priced.items_frame(), name="again", item_covariates=["price"]
    )
    assert again.fingerprint == priced.fingerprint


_ids = st.text(min_size=1, max_size=4).filter(lambda text: text.strip() and text.isprintable())


@settings(max_examples=40, deadline=None)
@given(
    catalogue=st.dictionaries(_ids, st.text(st.characters(codec="utf-8"), max_size=8), min_size=1, max_size=6),
    users=st.lists(_ids, min_size=1, max_size=12),
    data=st.data(),
)
def test_any_table_survives_the_round_trip(
    catalogue: dict[str, str], users: list[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def choose(values: st.SearchStrategy) -> list:
        return data.draw(st.lists(values, min_size=len(users), max_size=len(users)))

    chosen, times = choose(st.sampled_from(sorted(catalogue))), choose(st.integers(100_000, 100_004))
    catalogue = {item: "w " + text for item, text in catalogue.items()}
    items = {"item_id": list(catalogue), "text": list(catalogue.values())}
    events = {"user_id": users, "item_id": chosen, "timestamp": times}
    domain = Domain.from_tables(pa.table(events), pa.table(items), name="drawn")

    # the direct way: a stable sort of the rows of each user
    for row, user in enumerate(dict.fromkeys(users)):
        own = sorted((time, place) for place, time in enumerate(times) if users[place] == user)
        part = slice(*domain.offsets[row : row + 2])
        assert domain.item_ids[domain.item_index[part]].tolist() == [chosen[place] for _, place in own]
        assert domain.timestamps[part].tolist() == [time for time, _ in own]
    folder: Path = tmp_path_factory.mktemp("trip") / "domain"
    domain.save(folder)
    loaded = Domain.load(folder)
    assert loaded.fingerprint == domain.fingerprint
    pd.testing.assert_frame_equal(loaded.interactions_frame(), domain.interactions_frame())
    pd.testing.assert_frame_equal(loaded.items_frame(), domain.items_frame())
