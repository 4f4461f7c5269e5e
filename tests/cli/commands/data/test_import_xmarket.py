"""``prerec-pyro data import xmarket``: files as published, and bad files."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.readers import read_xmarket
from tests.support.xmarket_files import item, write_category, write_lines

Run = Callable[..., Result]
Refused = Callable[..., None]
BOOKS = [("u", "b1", "2015-09-29"), ("v", "b2", "2015-09-28"), ("u", "b2", "2015-09-30")]
TOYS = [("w", "t", "2015-09-29"), ("u", "b2", "2015-09-30")]


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """Market mx with Books (ratings, reviews and metadata) and Toys (reviews alone), and market ca."""
    root = tmp_path / "FULL"
    write_category(root, "mx", "Books", ratings=BOOKS, reviews=BOOKS, metadata=[item("b1"), item("b2")])
    write_category(root, "mx", "Toys", reviews=TOYS, python=True)
    write_category(root, "ca", "Toys", ratings=TOYS)
    return root


def test_import_logs_rows_read_rows_dropped_and_notes(run: Run, full: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("data", "import", "xmarket", full, "--market", "mx", "--out", out)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[1].split() == ["xmarket-mx", "3", "3", "4"]
    said = result.stderr.splitlines()
    assert f"reading {full / 'mx' / 'Toys' / 'reviews_mx_Toys.json.gz'}" in said
    assert "dropped: 1 rows (repeated_across_categories)" in said
    assert any(line.startswith("note: no file of metadata for Toys, so 1 items have no text") for line in said)
    assert not any(line.startswith("Warning") for line in said)
    assert Domain.load(out).fingerprint == read_xmarket(full, market="mx").fingerprint


def test_options_reach_the_reader(run: Run, full: Path, tmp_path: Path) -> None:
    options = ("--market", "mx", "--category", "Books", "--interactions", "reviews", "--name", "libros")
    result = run("data", "import", "xmarket", full, *options, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert "read metadata_mx_Books.json.gz and reviews_mx_Books.json.gz: 3 interactions of 2 users" in result.stderr
    assert result.stdout.splitlines()[1].split() == ["libros", "2", "2", "3"]


def test_many_files_are_counted_in_the_log(run: Run, full: Path, tmp_path: Path) -> None:
    for category in ("A", "B", "C"):
        write_category(full, "ca", category, ratings=TOYS)
    result = run("data", "import", "xmarket", full / "ca", "--out", tmp_path / "out")
    assert "read 4 files: 2 interactions of 2 users with 2 items" in result.stderr


def test_items_without_text_are_warned_of_even_when_quiet(run: Run, full: Path, tmp_path: Path) -> None:
    result = run("data", "import", "xmarket", full / "ca", "--out", tmp_path / "out", "--quiet")
    assert result.exit_code == 0
    assert result.stderr == (
        "Warning: no item of xmarket-ca has a text: popularity works on this domain, but models of texts "
        "cannot tell its items apart\n"
    )


def test_pop_works_on_real_ratings(run: Run, real_data: Path, tmp_path: Path) -> None:
    source, domain = real_data / "xmarket-electronics", tmp_path / "jp"
    assert run("data", "import", "xmarket", source, "--market", "jp", "--out", domain).exit_code == 0
    result = run("evaluate", "--domain", domain, "--methods", "random,pop", "--out", tmp_path / "rows.json")
    assert result.exit_code == 0, result.stderr
    assert "Warning: no item of domain 'xmarket-jp' has a text" in result.stderr
    rows = {row["method"]: row for row in json.loads((tmp_path / "rows.json").read_text())}
    assert rows["pop"]["num_queries"] > 1_000
    assert rows["pop"]["recall"] > 3 * rows["random"]["recall"] > 0


def ratings(full: Path) -> Path:
    return full / "mx" / "Books" / "ratings_mx_Books.txt.gz"


def reviews(full: Path) -> Path:
    return full / "mx" / "Toys" / "reviews_mx_Toys.json.gz"


def metadata(full: Path) -> Path:
    return full / "mx" / "Books" / "metadata_mx_Books.json.gz"


def adds(line: str, encoding: str = "utf-8") -> Callable[[Path], object]:
    def add(path: Path) -> None:
        path.write_bytes(path.read_bytes() + gzip.compress(line.encode(encoding) + b"\n"))

    return add


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def empty(path: Path) -> None:
    write_lines(path, [])


def blank(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("file", "damage", "says"),
    [
        *((file, truncate, "the gzip data are truncated or damaged") for file in (ratings, reviews, metadata)),
        *((file, damage, "empty") for file in (ratings, reviews, metadata) for damage in (empty, blank)),
        (ratings, adds("u b1 5.0"), "line 4: 3 fields; expected 4"),
        (ratings, adds("u b1 5.0 29/09/2015"), "line 4, date: '29/09/2015' cannot be read; expected a date such as"),
        (ratings, adds("ü b1 5.0 2015-09-29", "latin-1"), "line 4 (byte 0 of the line): not UTF-8 (0xfc)"),
        (reviews, adds("u t 5.0 2015-09-29"), "line 2: 'u t 5.0 2015-09-29' is neither JSON"),
        (reviews, adds("[{'reviewerID': exit()}]"), "nor a Python literal; expected an object or a list"),
        (reviews, adds("[1, 2]"), "line 2: '[1, 2]' is neither an object nor a list of objects"),
        (reviews, adds("{'reviewerID': 'é'}", "latin-1"), "line 2 (byte 16 of the line): not UTF-8"),
        (reviews, adds("[" + "{'asin': 't'}," * 3 + "]"), "3 of 5 records have no reviewerID or no cleanReviewTime"),
        (metadata, adds("{"), "line 3: '{' is neither JSON"),
        (metadata, adds("[{}, {}, {}]"), "3 of 5 records have no asin (line 3)"),
    ],
)
def test_bad_files(full: Path, tmp_path: Path, refused: Refused, file: Callable, damage: Callable, says: str) -> None:
    damage(file(full))
    options = ("--market", "mx", "--out", tmp_path / "out")
    refused("data", "import", "xmarket", full, *options, says=[str(file(full)), says])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "files of 2 markets (ca, mx), but a domain is one market; choose: --market ca"),
        (["--market", "us"], "--market us: no file of that market; there are files of ca, mx"),
        (["--market", "mx", "--category", "Toy"], "--category Toy: market mx has no file of it; it has Books, Toys"),
        (
            ["--market", "mx", "--interactions", "ratings"],
            "--interactions ratings: market mx has no ratings file of Toys",
        ),
        (["--market", "mx", "--name", " "], "--name ' ': expected a name without control"),
    ],
)
def test_bad_options(full: Path, tmp_path: Path, refused: Refused, options: list[str], says: str) -> None:
    refused("data", "import", "xmarket", full, *options, "--out", tmp_path / "out", says=says)


def test_a_folder_of_other_files(shop: Path, tmp_path: Path, refused: Refused) -> None:
    says = ["shop: no file of XMarket; expected ratings_<market>", "It holds interactions.csv, items.csv"]
    refused("data", "import", "xmarket", shop, "--out", tmp_path / "out", says=says)


def test_help_names_the_files_a_line_each(run: Run) -> None:
    lines = [line.strip() for line in run("data", "import", "xmarket", "--help").stdout.splitlines()]
    assert "reviews_<market>_<category>.json     a list of reviews per line" in lines
