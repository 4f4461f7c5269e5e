"""Bad input to ``prerec-pyro data``: one message, exit status 2 and no output."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prerec_pyro.cli.commands import data, data_import
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.simulation import simulate as simulation

Damage = Callable[[Path], object]
Refused = Callable[..., None]


def truncated_gzip(shop: Path) -> None:
    whole = gzip.compress((shop / "interactions.csv").read_bytes() * 50)
    (shop / "interactions.csv").unlink()
    (shop / "interactions.csv.gz").write_bytes(whole[:-20])


def parquet_with_nan(shop: Path) -> None:
    (shop / "interactions.csv").unlink()
    frame = pd.DataFrame({"user_id": ["u", "v"], "item_id": [1.0, np.nan], "timestamp": [200_000, 300_000]})
    frame.to_parquet(shop / "interactions.parquet")


def no_items(shop: Path) -> None:
    (shop / "items.csv").unlink()


def writes(name: str, content: str) -> Damage:
    return lambda shop: (shop / name).write_text(content)


def adds(name: str, content: str, encoding: str = "utf-8") -> Damage:
    return lambda shop: (shop / name).write_bytes((shop / name).read_bytes() + content.encode(encoding))


def changes(name: str, *pairs: tuple[str, str]) -> Damage:
    def change(shop: Path) -> None:
        text = (shop / name).read_text()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        (shop / name).write_text(text)

    return change


EVENTS, ITEMS = "interactions.csv", "items.csv"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (truncated_gzip, ["interactions.csv.gz: the gzip data are truncated"]),
        (changes(EVENTS, (",", ";")), ["interactions.csv, line 1: the delimiter looks wrong", "a semicolon"]),
        (parquet_with_nan, ["interactions.parquet, column 'item_id': row 2: empty"]),
        (adds(EVENTS, "u,,2015-09-30\n"), ["interactions.csv, column 'asin' (item_id): line 6: empty"]),
        (writes(ITEMS, "asin,title\n01,17\n1,4.5\n"), ["items.csv", "the text column holds numbers only"]),
        (writes(EVENTS, "user,asin,date\n"), ["interactions.csv: no rows"]),
        (writes(EVENTS, ""), ["interactions.csv: empty"]),
        (writes(ITEMS, "asin,title\n"), ["items.csv: no rows"]),
        (adds(ITEMS, "3,Café\n", "latin-1"), ["items.csv, line 6", "not UTF-8"]),
        (changes(EVENTS, ("user", "who")), ["interactions.csv: no column 'user_id'", "--column user_id=NAME"]),
        (adds(ITEMS, "1,Toast\n"), ["items.csv, column 'asin' (item_id): line 6", "'Toast'; keep one row"]),
        (adds(EVENTS, "u,1,2915-09-29\n"), ["column 'date' (timestamp): line 6", "after 2099"]),
        (adds(EVENTS, "u,1,soon\n"), ["column 'date' (timestamp): line 6", "'soon' cannot be read"]),
        (changes(EVENTS, (",01,", ",7,"), (",1,", ",8,")), ["name items that are not in items.csv"]),
        (adds(EVENTS, "u,1\n"), ["interactions.csv: line 6 has 2 fields", "the header has 3"]),
        (adds(EVENTS, 'u,1,"2015\n'), ["interactions.csv, line 6: a quote", "never closed"]),
        (no_items, ["shop: no items.csv, .tsv or .parquet; it holds interactions.csv"]),
    ],
)
def test_bad_files(shop: Path, tmp_path: Path, refused: Refused, damage: Damage, says: list[str]) -> None:
    damage(shop)
    refused("data", "import", "csv", shop, "--out", tmp_path / "out", says=says)


@pytest.mark.parametrize("kind", ["csv", "recbole", "online-retail", "xmarket"])
def test_a_missing_source(tmp_path: Path, refused: Refused, kind: str) -> None:
    says = "nowhere: no such file; check the path"
    refused("data", "import", kind, tmp_path / "nowhere", "--out", tmp_path / "out", says=says)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--column", "user_id"], "--column user_id: expected OURS=THEIRS"),
        (["--column", "=who"], "--column =who: expected OURS=THEIRS"),
        (["--column", "user_id=user", "--column", "user_id=who"], "user_id is mapped to 'user' already"),
        (["--column", "colour=red"], "no column 'colour'; map one of"),
        (["--column", "user_id=nobody"], "no file has a column 'nobody'"),
        (["--name", " "], "--name ' ': expected a name without control characters"),
        (["--name", "a\nb"], "--name 'a\\nb': expected a name without control characters"),
        (["--name", "\udcff"], "--name '\\udcff': expected a name without control characters"),
    ],
)
def test_bad_options(shop: Path, tmp_path: Path, refused: Refused, options: list[str], says: str) -> None:
    refused("data", "import", "csv", shop, "--out", tmp_path / "out", *options, says=says)


@pytest.mark.parametrize("kind", ["recbole", "online-retail", "xmarket"])
def test_column_is_rejected_for_fixed_formats(tmp_path: Path, refused: Refused, kind: str) -> None:
    arguments = ("data", "import", kind, tmp_path, "--out", tmp_path / "out", "--column", "user_id=who")
    refused(*arguments, says=["--column user_id=who", "use `data import csv`"])


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("shop/items.csv", "items.csv: is a file, expected a folder"),
        ("shop/items.csv/out", "items.csv is a file"),
        ("full", "exists and is neither empty nor an earlier result"),
    ],
)
@pytest.mark.parametrize("arguments", [["import", "csv", "SHOP"], ["simulate"]])
def test_a_bad_out_is_rejected_before_the_work(
    shop: Path,
    tmp_path: Path,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
    out: str,
    says: str,
    arguments: list[str],
) -> None:
    (tmp_path / "full" / "precious").mkdir(parents=True)
    for module in (data, data_import):
        monkeypatch.setattr(module.logger, "info", lambda *_: pytest.fail("the work began"))
    arguments = [str(shop) if argument == "SHOP" else argument for argument in arguments]
    refused("data", *arguments, "--out", tmp_path / out, says=says)


def test_an_out_that_holds_the_source(saved: Path, refused: Refused) -> None:
    refused("data", "import", "csv", saved, "--out", saved, says="which this command reads; name another folder")


def test_a_simulation_that_cannot_be_written(tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(simulated: object, folder: Path) -> None:
        (folder / "sim-0").mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(simulation, "save_simulated", save)
    refused("data", "simulate", "--out", tmp_path / "sim", "--domains", 1, says="No space left on device")


def flips(name: str) -> Damage:
    def flip(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)

    return flip


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (writes("domain.json", "{"), "domain.json: damaged, no valid JSON"),
        (writes("domain.json", "{}"), "domain.json: damaged, it lacks one of"),
        (lambda folder: (folder / "domain.json").unlink(), "has no domain.json"),
        (flips("interactions.parquet"), "interactions.parquet: damaged or changed"),
        (flips("items.parquet"), "items.parquet: damaged or changed"),
        (lambda folder: (folder / "items.parquet").unlink(), "items.parquet: missing"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_damaged_domain(saved: Path, refused: Refused, damage: Damage, says: str, options: list[str]) -> None:
    good = saved.parent / "good"
    Domain.load(saved).save(good)
    damage(saved)
    refused("data", "describe", good, saved, *options, says=says)


@pytest.mark.parametrize("name", ["nowhere", "shop/items.csv", "shop"])
def test_a_folder_that_is_no_domain(shop: Path, tmp_path: Path, refused: Refused, name: str) -> None:
    refused("data", "describe", tmp_path / name, says=[name, "expected a domain made by `prerec-pyro data import`"])
