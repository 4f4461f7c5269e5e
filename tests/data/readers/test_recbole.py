from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from prerec_pyro.data.readers import read_recbole
from prerec_pyro.errors import InputError

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu\t2\t3\t881250949\nu\t1\t3\t881250948.5\n"
ITEM = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tprice:float\timdb_url:token\tclass:token_seq\n"
    '1\t"Toy Story\t1995\t2.5\thttp://x\tAnimation Comedy\n2\tGoldenEye\t\t1\thttp://y\tAction\n'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ml.inter").write_text(INTER)
    (tmp_path / "ml.item").write_text(ITEM)
    return tmp_path


def test_a_pair_is_read_and_the_words_joined(folder: Path) -> None:
    domain = read_recbole(folder)
    assert domain.name == "ml"
    assert domain.item_texts.tolist() == ['"Toy Story 1995 Animation Comedy', "GoldenEye Action"]
    assert domain.item_index.tolist() == [0, 1]
    assert domain.timestamps.tolist() == [881_250_948, 881_250_949]


def test_one_file_finds_the_other(folder: Path) -> None:
    (folder / "other.item").write_text(ITEM)
    expected = read_recbole([folder / "ml.item", folder / "ml.inter"], name="x")
    assert expected.name == "x"
    for name in ("ml.inter", "ml.item"):
        assert read_recbole(folder / name).fingerprint == expected.fingerprint
    with pytest.raises(InputError, match=r"more than one .item file \(ml.item, other.item\)"):
        read_recbole(folder)


def test_packed_files_are_read(folder: Path) -> None:
    expected = read_recbole(folder).fingerprint
    (folder / "ml.inter").unlink()
    (folder / "ml.inter.gz").write_bytes(gzip.compress(INTER.encode()))
    domain = read_recbole(folder)
    assert (domain.fingerprint, domain.name) == (expected, "ml")


@pytest.mark.parametrize(
    ("inter", "item", "message"),
    [
        (
            INTER.replace(":token", ""),
            ITEM,
            "ml.inter, line 1: column 'user_id' has no type; RecBole headers",
        ),
        (INTER.replace("user_id", "who"), ITEM, "ml.inter: no column 'user_id'; it has 'who', 'item_id'"),
        (INTER.replace("timestamp", "when"), ITEM, "ml.inter: no column 'timestamp'"),
        (INTER.replace("rating:float", "user_id:float"), ITEM, "line 1: two columns have the same name"),
        (INTER.replace("\t", ","), ITEM, "ml.inter, line 1: column .* has no type.*separated by tabs"),
        (INTER, "item_id:token\tprice:float\n1\t2\n", "ml.item: no column of words"),
        (INTER, ITEM.replace("item_id", "id"), "ml.item: no column 'item_id'"),
        (INTER + "u\t1\n", ITEM, "ml.inter: line 4 has 2 fields, the header has 4"),
        (INTER + "u\t\t3\t881250949\n", ITEM, "ml.inter, column 'item_id:token' .item_id.: line 4: empty"),
        (INTER + "u\t1\t3\tx\n", ITEM, "column 'timestamp:float' .timestamp.: line 4: 'x' cannot be read"),
        ("", ITEM, "ml.inter: empty"),
    ],
)
def test_malformed_files_are_refused(folder: Path, inter: str, item: str, message: str) -> None:
    (folder / "ml.inter").write_text(inter)
    (folder / "ml.item").write_text(item)
    with pytest.raises(InputError, match=message):
        read_recbole(folder)


def test_missing_files_are_named(folder: Path) -> None:
    with pytest.raises(InputError, match=r"no such file"):
        read_recbole(folder / "nowhere")
    (folder / "ml.item").unlink()
    for source in (folder, folder / "ml.inter"):
        with pytest.raises(InputError, match=r"no .item file .it holds the item texts.*put it in the folder"):
            read_recbole(source)


def test_real_files(real_data: Path) -> None:
    domain = read_recbole(real_data / "ml-100k")
    assert (domain.num_interactions, domain.num_users, domain.num_items) == (100_000, 943, 1_682)
    assert domain.item_texts[0] == "Toy Story 1995 Animation Children's Comedy"
    assert (domain.user_ids[0], domain.name) == ("196", "ml-100k")
