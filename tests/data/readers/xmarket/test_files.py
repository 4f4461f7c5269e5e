from __future__ import annotations

import os
from pathlib import Path

import pytest

from prerec_pyro.data.readers.xmarket.files import find_market
from prerec_pyro.errors import InputError
from tests.support.xmarket_files import write_lines

NAMES = [
    "ca/Books/ratings_ca_Books.txt.gz",
    "ca/Books/metadata_ca_Books.json.gz",
    "ca/Home_&_Kitchen/reviews_ca_Home_&_Kitchen.json",
    "mx/Books/ratings_mx_Books.txt.gz",
    "ca/Books/notes_ca_Books.txt",
    "ca/Books/ratings_ca_Books.txt.gz.md5",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in NAMES:
        write_lines(tmp_path / "FULL" / name, ["line"])
    return tmp_path / "FULL"


def test_files_are_recognised_by_their_names(root: Path) -> None:
    market = find_market([root], market="ca")
    books, home = market.categories
    assert (market.name, books.name, home.name) == ("ca", "Books", "Home_&_Kitchen")
    assert (books.kind, books.interactions, books.metadata) == ("ratings", root / NAMES[0], root / NAMES[1])
    assert (home.kind, home.interactions, home.metadata) == ("reviews", root / NAMES[2], None)
    assert market.notes == []


def test_folders_of_any_depth_and_files(root: Path) -> None:
    expected = find_market([root], market="ca", categories=["Books"])
    assert find_market([root / "ca" / "Books"]) == expected
    assert find_market([root / NAMES[1], root / NAMES[0], root / "ca" / "Books"]) == expected


def test_links_are_followed_but_circles_end(root: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "canada").symlink_to(root / "ca", target_is_directory=True)
    (root / "ca" / "again").symlink_to(root / "ca", target_is_directory=True)
    assert [category.name for category in find_market([here]).categories] == ["Books", "Home_&_Kitchen"]


def test_a_category_without_interactions_is_noted(root: Path) -> None:
    write_lines(root / "mx" / "Toys" / "metadata_mx_Toys.json", ["line"])
    market = find_market([root], market="mx")
    assert market.categories[1].interactions is None
    assert market.notes == ["Toys: no ratings and no reviews, so its items have no interactions of their own"]


def test_an_open_or_wrong_choice_is_refused(root: Path) -> None:
    cases = [
        (dict(), "files of 2 markets (ca, mx), but a domain is one market; choose: --market ca"),
        (dict(market="de"), "--market de: no file of that market; there are files of ca, mx"),
        (dict(market="ca", categories=["Book"]), "--category Book: market ca has no file of it; it has Books, Home_&"),
        (
            dict(market="ca", interactions="ratings"),
            "--interactions ratings: market ca has no ratings file of Home_&_Kitchen, but a reviews file; leave",
        ),
    ]
    for options, message in cases:
        with pytest.raises(InputError) as refused:
            find_market([root], **options)
        assert message in str(refused.value)


def test_metadata_without_interactions_are_refused(root: Path) -> None:
    with pytest.raises(InputError, match=r"market ca: no ratings and no reviews, only metadata \(Books\); expected"):
        find_market([root / NAMES[1]])


def test_one_file_twice_is_refused_unless_it_is_the_same(root: Path) -> None:
    write_lines(root / "ca" / "unpacked" / "ratings_ca_Books.txt", ["line"])
    with pytest.raises(InputError, match=r"ratings_ca_Books.txt: both are the ratings of ca, Books; name one of them"):
        find_market([root], market="ca")


def test_other_sources_are_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, message in [
        (root / "nowhere", r"nowhere: no such file; check the path"),
        (root / NAMES[4], r"notes_ca_Books.txt: no file of XMarket; expected ratings_<market>_<category>.txt"),
        (tmp_path / "empty", r"empty: no file of XMarket; .* It holds nothing"),
    ]:
        with pytest.raises(InputError, match=message):
            find_market([root, source])


def test_a_folder_without_permission_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "Books":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"Books: cannot be read \(Permission denied\); check its permissions"):
        find_market([root])
