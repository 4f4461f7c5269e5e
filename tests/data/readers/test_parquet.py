"""Folders of Parquet parts give the domain of the whole table, for all sizes of parts and batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.readers import parquet, read_parquet
from prerec_pyro.errors import InputError

ITEMS = pa.table({"item_id": ["a", "b", "c"], "text": ["apple", "bread", ""]})


def write(folder: Path, parts: dict[str, pa.Table], items: pa.Table = ITEMS) -> Path:
    for name, part in parts.items():
        path = folder / "interactions" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(part, path)
    pq.write_table(items, folder / "items.parquet")
    return folder


def log(users: list[object], items: list[object], **columns: list[object]) -> pa.Table:
    return pa.table({"user_id": users, "item_id": items, **columns})


GOOD = log(["u", "v", "u"], ["a", "b", "c"], timestamp=[1_500_000_300, 1_500_000_000, 1_500_000_100])


@st.composite
def logs(draw) -> pa.Table:
    rows = draw(st.integers(1, 30))
    ids = st.lists(st.sampled_from(["a", "b", "c"]), min_size=rows, max_size=rows)
    users = draw(st.lists(st.sampled_from(["u", "v", "w", "ü"]), min_size=rows, max_size=rows))
    times = draw(st.lists(st.integers(1_500_000_000, 1_500_000_005), min_size=rows, max_size=rows))
    return log(users, draw(ids), timestamp=times)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(logs(), st.integers(1, 30), st.integers(1, 9))
def test_parts_give_the_domain_of_the_whole_table(tmp_path_factory, whole, part_rows, batch_rows):
    folder = tmp_path_factory.mktemp("shop")
    starts = range(0, len(whole), part_rows)
    write(folder, {f"part-{start:03}.parquet": whole.slice(start, part_rows) for start in starts})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "BATCH_ROWS", batch_rows)
        found = read_parquet(folder, name="shop")
    expected = Domain.from_tables(whole, ITEMS, name="shop")
    assert found.fingerprint == expected.fingerprint
    assert found.user_ids.tolist() == expected.user_ids.tolist()


def test_a_key_of_the_folders_is_a_column(tmp_path: Path):
    days = ["2017-07-16", "2017-07-14", "2017-07-15"]
    flat = log([7, 8, 7], ["a", "b", "c"], day=days)
    partitioning = ds.partitioning(pa.schema([("day", pa.string())]), flavor="hive")
    ds.write_dataset(flat, tmp_path / "shop" / "interactions", format="parquet", partitioning=partitioning)
    pq.write_table(ITEMS.rename_columns(["sku", "title"]), tmp_path / "shop" / "items.parquet")
    domain = read_parquet(tmp_path / "shop", columns={"timestamp": "day"})
    assert domain.name == "shop"
    events = domain.interactions_frame()
    assert events.groupby("user_id")["item_id"].apply(list).to_dict() == {"7": ["c", "a"], "8": ["b"]}
    assert sorted(domain.days.tolist()) == [17361, 17362, 17363]


def test_an_order_is_enough_and_texts_are_joined(tmp_path: Path):
    items = pa.table({"item_id": ["a", "b"], "title": ["red", "blue"], "brand": ["x", None]})
    folder = write(tmp_path, {"p.parquet": log(["u", "u"], ["b", "a"], order=[2, 1])}, items)
    domain = read_parquet(folder, columns={"text": "title+brand"})
    assert domain.item_texts.tolist() == ["red x", "blue"]
    assert domain.item_index.tolist() == [0, 1]
    assert not domain.has_timestamps


def test_item_covariates_are_read(tmp_path: Path):
    items = ITEMS.append_column("price", pa.array([1.5, 2.0, 4.0]))
    folder = write(tmp_path, {"1.parquet": GOOD}, items)
    domain = read_parquet(folder, item_covariates=["price"])
    assert domain.item_covariates["price"].tolist() == [1.5, 2.0, 4.0]
    assert read_parquet(folder).item_covariates == {}
    with pytest.raises(InputError, match=r"items: no column 'weight' for the item covariate 'weight'"):
        read_parquet(folder, item_covariates=["weight"])


def test_unknown_items_are_dropped_counted_and_named(tmp_path: Path):
    folder = write(tmp_path, {"1.parquet": GOOD, "2.parquet": log(["u"], ["z"], timestamp=[1_500_000_000])})
    domain = read_parquet(folder)
    assert domain.provenance["dropped"] == {"unknown_item": 1}
    assert any("1 of 4 interactions were dropped" in note and "'z'" in note for note in domain.provenance["notes"])
    assert domain.num_interactions == 3


REFUSED = {
    "no folder": (lambda folder: folder / "nowhere", "is no folder"),
    "no items": (lambda folder: (folder / "items.parquet").unlink(), "no folder items and no items.parquet"),
    "both": (lambda folder: (folder / "items").mkdir(), "more than one source of items"),
    "empty folder": (lambda folder: (folder / "interactions" / "1.parquet").unlink(), "holds no .parquet file"),
    "damaged": (
        lambda folder: (folder / "interactions" / "2.parquet").write_bytes(b"PAR1"),
        "cannot be read as Parquet",
    ),
    "no rows": (lambda folder: write(folder, {"1.parquet": GOOD.slice(0, 0)}), "interactions: no rows"),
    "no users": (lambda folder: write(folder, {"1.parquet": GOOD.drop_columns("user_id")}), "no column 'user_id'"),
    "row 3": (
        lambda folder: write(folder, {"1.parquet": log(["u", "v", None], list("abc"), timestamp=[1_500_000_000] * 3)}),
        r"1\.parquet, column 'user_id': row 3: empty",
    ),
    "dates": (
        lambda folder: write(folder, {"2.parquet": log(["u"], ["a"], timestamp=[20_170_714])}),
        r"2\.parquet.*write all parts in the same way",
    ),
    "unknown items": (
        lambda folder: write(folder, {"2.parquet": log(["u"] * 9, ["z"] * 9, timestamp=[1_500_000_000] * 9)}),
        r"9 of 12 interactions name items that are not in the items \('z'\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, case, monkeypatch):
    monkeypatch.setattr(parquet, "BATCH_ROWS", 2)
    change, message = REFUSED[case]
    folder = write(tmp_path / "shop", {"1.parquet": GOOD})
    changed = change(folder)
    with pytest.raises(InputError, match=message):
        read_parquet(changed if case == "no folder" else folder)


@pytest.mark.parametrize(
    ("columns", "message"), [({"user": "x"}, "no column 'user'"), ({"text": "title+nothing"}, "no column 'title'")]
)
def test_a_mapping_of_unknown_columns_is_refused(tmp_path: Path, columns, message):
    with pytest.raises(InputError, match=message):
        read_parquet(write(tmp_path, {"1.parquet": GOOD}), columns=columns)


def test_numbers_stay_as_they_were_written(tmp_path: Path):
    big = 2**53 + 1
    items = pa.table({"item_id": pa.array([big, 2], pa.int64()), "text": ["x", "y"]})
    domain = read_parquet(write(tmp_path, {"1.parquet": log([1, 1], [big, 2], timestamp=[10**9, 10**9])}, items))
    assert domain.item_ids.tolist() == [str(big), "2"]
    assert np.array_equal(domain.item_index, [0, 1])


def test_days_of_listing_are_read(tmp_path: Path) -> None:
    listed = ITEMS.append_column("first_seen", pa.array(["1970-01-11", None, "1970-02-01"]))
    folder = write(tmp_path / "shop", {"part.parquet": GOOD}, listed)
    assert read_parquet(folder).first_seen.tolist() == [10, -1, 31]
    assert read_parquet(write(tmp_path / "plain", {"part.parquet": GOOD})).first_seen is None
