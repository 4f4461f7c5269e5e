from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from prerec_pyro.data.readers import read_tables
from prerec_pyro.errors import InputError

EVENTS = "user,asin,date\nu,01,2015-09-29\nu,1,2015-09-28\nv,01,2015-09-27\n"
ITEMS = 'asin,title\n01,Apple pie\n1,"Bread, white"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "interactions.csv").write_text(EVENTS)
    (shop / "items.csv").write_text(ITEMS)
    return shop


def test_a_folder_is_read(folder: Path) -> None:
    domain = read_tables(folder)
    assert domain.name == "shop"
    assert domain.item_ids.tolist() == ["01", "1"]
    assert domain.item_texts.tolist() == ["Apple pie", "Bread, white"]
    assert domain.item_index.tolist() == [1, 0, 0]
    assert domain.provenance["files"] == ["interactions.csv", "items.csv"]


def test_files_of_any_kind_in_either_order(folder: Path) -> None:
    expected = read_tables(folder).fingerprint
    (folder / "log.tsv").write_text(EVENTS.replace(",", "\t"))
    (folder / "goods.csv.gz").write_bytes(gzip.compress(ITEMS.encode()))
    events, items = (pd.read_csv(folder / f"{stem}.csv", dtype=str) for stem in ("interactions", "items"))
    events.to_parquet(folder / "log.parquet")
    items.to_parquet(folder / "goods.parquet")
    for first, second in (
        ("log.tsv", "goods.csv.gz"),
        ("goods.csv.gz", "log.tsv"),
        ("goods.parquet", "log.parquet"),
    ):
        domain = read_tables([folder / first, str(folder / second)], name="x")
        assert domain.fingerprint == expected, first
        assert domain.name == "x"


def test_columns_are_mapped(folder: Path) -> None:
    (folder / "interactions.csv").write_text("a,b,c,d\nu,01,1,5\nu,1,0,6\n")
    (folder / "items.csv").write_text("asin,title,brand\n01,Pie,Oven\n1,Bread,\n")
    columns = {"user_id": "a", "item_id": "b", "order": "c", "text": "brand+title"}
    domain = read_tables(folder, columns=columns)
    assert domain.item_texts.tolist() == ["Oven Pie", "Bread"]
    assert domain.item_index.tolist() == [1, 0]
    assert not domain.has_timestamps


def test_item_covariates_are_read(folder: Path) -> None:
    (folder / "items.csv").write_text("asin,title,price,stock\n01,Pie,2.50,7\n1,Bread, 3 ,0\n")
    domain = read_tables(folder, item_covariates=["price", "stock"])
    assert {name: values.tolist() for name, values in domain.item_covariates.items()} == {
        "price": [2.5, 3.0],
        "stock": [7.0, 0.0],
    }
    (folder / "items.csv").write_text("asin,title,price\n01,Pie,2.50\n1,Bread,free\n")
    assert read_tables(folder).item_covariates == {}
    for name, message in [
        ("price", "items.csv, column 'price': line 3: 'free' is no number; expected a number for every item"),
        ("stock", "items.csv: no column 'stock' for the item covariate 'stock'; it has asin, title, price"),
        ("text", "item covariate 'text': item_id, text, first_seen are no covariates"),
    ]:
        with pytest.raises(InputError, match=message):
            read_tables(folder, item_covariates=[name])


@pytest.mark.parametrize(
    ("events", "items", "message"),
    [
        (
            EVENTS.replace("user", "who"),
            ITEMS,
            r"interactions.csv: no column 'user_id'; it has 'who', 'asin', 'date'",
        ),
        (EVENTS.replace("date", "day"), ITEMS, "no column 'timestamp or order'"),
        (EVENTS, ITEMS.replace("title", "words"), "items.csv: no column 'text'; it has 'asin', 'words'"),
        (EVENTS.replace(",", ";"), ITEMS, "interactions.csv, line 1: the delimiter looks wrong"),
        (EVENTS, ITEMS.replace(",", "\t"), "items.csv.*(delimiter looks wrong|fields)"),
        (EVENTS + ",1,2015-09-29\n", ITEMS, r"interactions.csv, column 'user' \(user_id\): line 5: empty"),
        (
            EVENTS + "u,1,soon\n",
            ITEMS,
            r"interactions.csv, column 'date' \(timestamp\): line 5: 'soon' cannot be read",
        ),
        (EVENTS, ITEMS + '"1",Toast\n', r"items.csv, column 'asin' \(item_id\): line 4: .*'Toast'; keep one"),
        (
            EVENTS,
            "asin,title\n\n\n7,Pie\n",
            "lines 2, 3 and 4: all interactions name items .*'01', '1', '01' here, '7'",
        ),
        (EVENTS, "asin,title\n", "items.csv: no rows"),
        ("user,asin,date\n", ITEMS, "interactions.csv: no rows"),
        (EVENTS, ITEMS.replace("asin", "user"), "both have a column of users"),
        (
            EVENTS.replace("date", "date,time").replace("-29", "-29,3"),
            ITEMS,
            "could each be timestamp|fields",
        ),
    ],
)
def test_malformed_files_are_refused(folder: Path, events: str, items: str, message: str) -> None:
    (folder / "interactions.csv").write_text(events)
    (folder / "items.csv").write_text(items)
    with pytest.raises(InputError, match=message):
        read_tables(folder)


def test_paths_that_cannot_be_read(folder: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such file"):
        read_tables(folder / "nowhere")
    with pytest.raises(InputError, match=r"interactions.csv: has a column of users, so it holds interactions"):
        read_tables(folder / "interactions.csv")
    with pytest.raises(InputError, match=r"expected two files"):
        read_tables([])
    (folder / "log.txt").write_text(EVENTS)
    with pytest.raises(InputError, match=r"log.txt: unknown kind of file; expected .csv, .tsv"):
        read_tables([folder / "log.txt", folder / "items.csv"])
    (folder / "log.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match=r"log.parquet: cannot be read as Parquet"):
        read_tables([folder / "log.parquet", folder / "items.csv"])
    (folder / "items.tsv").write_text(ITEMS)
    with pytest.raises(InputError, match=r"more than one items file \(items.csv, items.tsv\)"):
        read_tables(folder)
    for name in ("items.tsv", "items.csv"):
        (folder / name).unlink()
    with pytest.raises(InputError, match=r"no items.csv, .tsv or .parquet; it holds interactions.csv"):
        read_tables(folder)


@pytest.mark.parametrize(
    ("name", "size"),
    [("amazon-office", (22_447, 3_231, 3_459)), ("amazon-industrial", (22_743, 3_285, 3_686))],
)
def test_real_files(real_data: Path, name: str, size: tuple[int, int, int]) -> None:
    domain = read_tables(real_data / name)
    assert (domain.num_interactions, domain.num_users, domain.num_items) == size
    assert not domain.has_timestamps
    assert domain.name == name
    raw = pd.read_csv(real_data / name / "interactions.csv", dtype=str)
    assert domain.interactions_frame()["item_id"].tolist() == raw["item_id"].tolist()  # the file is in sequence order


def test_items_alone_make_a_domain_without_a_log(folder: Path) -> None:
    file = read_tables(folder / "items.csv")
    (folder / "interactions.csv").unlink()
    (folder / "readme.md").write_text("Our catalogue.")
    for domain in (file, read_tables(folder)):
        assert (domain.name, domain.num_items, domain.num_users, domain.num_interactions) == ("shop", 2, 0, 0)
        assert domain.provenance["files"] == ["items.csv"]
        assert domain.provenance["notes"] == ["no interactions: a catalogue without a log"]
    (folder / "log.csv").write_text(EVENTS)  # a log by another name is not left out in silence
    with pytest.raises(InputError, match=r"no interactions.csv, .tsv or .parquet; it holds items.csv, log.csv"):
        read_tables(folder)


@pytest.mark.parametrize("name", ["first_seen", "First seen", "listed"])
def test_days_of_listing_are_read(folder: Path, name: str) -> None:
    assert read_tables(folder).first_seen is None
    (folder / "items.csv").write_text(f"asin,title,{name}\n01,Pie,1970-01-11\n1,Bread,\n2,Bun,1970-02-01T23:00\n")
    domain = read_tables(folder, columns={"first_seen": "listed"} if name == "listed" else None)
    assert domain.first_seen.tolist() == [10, -1, 31]
    (folder / "items.csv").write_text(f"asin,title,{name}\n01,Pie,864000\n1,Bread,864001\n")
    columns = {"first_seen": "listed"} if name == "listed" else None
    assert read_tables(folder, columns=columns).first_seen.tolist() == [10, 10]
    (folder / "items.csv").write_text(f"asin,title,{name}\n01,Pie,\n1,Bread,soon\n")
    with pytest.raises(InputError, match=rf"items.csv, column '{name}'.*: line 3: 'soon' cannot be read"):
        read_tables(folder, columns=columns)
    (folder / "items.csv").write_text(f"asin,title,{name}\n01,Pie,\n1,Bread,\n")
    assert read_tables(folder, columns=columns).first_seen is None
