from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.popularity import Popularity
from prerec_pyro.data.readers import read_xmarket
from prerec_pyro.errors import InputError
from tests.support.xmarket_files import item, write_category

BOOKS = [("u", "b1", "2015-09-29"), ("v", "b2", "2015-09-28"), ("u", "b2", "2015-09-28"), ("u", "x", "2015-09-29")]
TOYS = [("u", "x", "2015-09-29"), ("w", "x", "2016-01-01"), ("u", "t", "2015-09-29"), ("w", "?", "2016-01-02")]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two categories of market mx and one of ca; item ``x`` and its review by ``u`` are in both categories of mx."""
    root = tmp_path / "FULL"
    metadata = [item("b1"), item("b2", title=None), item("x", categories=["Fun"]), item("unused")]
    write_category(root, "mx", "Books", ratings=BOOKS, reviews=BOOKS, metadata=metadata)
    toys = [item("x", title="Other"), item("t", features=["Red", 4])]
    write_category(root, "mx", "Toys_and_Games", reviews=TOYS, metadata=toys, python=True, packed=False)
    write_category(root, "ca", "Books", ratings=BOOKS, metadata=metadata)
    (root / "README").write_text("hello")
    return root


def events(domain: Domain) -> list[tuple[str, str, str]]:
    frame = domain.interactions_frame()
    dates = pd.to_datetime(frame["timestamp"], unit="s").dt.strftime("%Y-%m-%d")
    return list(zip(frame["user_id"], frame["item_id"], dates, strict=True))


def test_a_market_is_one_domain(tree: Path) -> None:
    domain = read_xmarket(tree, market="mx")
    assert domain.name == "xmarket-mx"
    assert domain.item_ids.tolist() == ["b1", "b2", "x", "unused", "t"]
    fun = "Thing x This item belongs to the following categories: Fun"
    assert domain.item_texts.tolist() == ["Thing b1", "", fun, "Thing unused", "Thing t Red 4"]
    assert events(domain) == [
        ("u", "b2", "2015-09-28"),
        ("u", "b1", "2015-09-29"),  # within a day, in the order of the categories and of the lines
        ("u", "x", "2015-09-29"),
        ("u", "t", "2015-09-29"),
        ("v", "b2", "2015-09-28"),
        ("w", "x", "2016-01-01"),
    ]


def test_dropped_rows_are_counted_and_noted(tree: Path) -> None:
    provenance = read_xmarket(tree / "mx").provenance
    assert provenance["dropped"] == {"repeated_across_categories": 1, "duplicate_item_rows": 1, "unknown_item": 1}
    assert provenance["files"] == [
        *("metadata_mx_Books.json.gz", "ratings_mx_Books.txt.gz"),
        *("metadata_mx_Toys_and_Games.json", "reviews_mx_Toys_and_Games.json"),
    ]
    expected = [
        "Books: ratings were read and reviews were not, since both hold the same interactions",
        "1 interactions were dropped, since they are also in the file of an earlier category",
        "1 rows of metadata repeat an item, 1 of them with another text; the first text was kept",
        "1 of 7 interactions were dropped, since their item is not in items of market mx ('?')",
        "1 of 5 items have no text",
    ]
    for part in expected:
        assert sum(part in note for note in provenance["notes"]) == 1, part


def test_the_order_of_the_sources_does_not_matter(tree: Path) -> None:
    expected = read_xmarket(tree, market="MX").fingerprint
    files = sorted((tree / "mx").rglob("*_mx_*"), reverse=True)
    assert read_xmarket(files).fingerprint == expected
    assert read_xmarket([tree / "mx" / "Toys_and_Games", tree / "mx", *files]).fingerprint == expected


def test_reviews_and_ratings_give_the_same_domain(tree: Path) -> None:
    ratings, reviews = (
        read_xmarket(tree / "mx", categories=["books"], interactions=kind) for kind in ("ratings", "reviews")
    )
    assert ratings.fingerprint == reviews.fingerprint
    assert "reviews_mx_Books.json.gz" in reviews.provenance["files"]
    assert any("reviews were read and ratings were not" in note for note in reviews.provenance["notes"])


def test_only_the_requested_categories_are_read(tree: Path) -> None:
    domain = read_xmarket(tree, market="mx", categories=["Toys_and_Games"], name="toys")
    assert (domain.name, domain.item_ids.tolist(), domain.num_interactions) == ("toys", ["x", "t"], 3)
    assert domain.item_texts[0] == "Other"


def test_repeats_within_a_file_are_kept(tmp_path: Path) -> None:
    write_category(tmp_path, "mx", "Books", ratings=[*BOOKS[:1] * 3, *BOOKS])
    write_category(tmp_path, "mx", "Toys", ratings=[*BOOKS[:1] * 2, *TOYS[1:]])
    domain = read_xmarket(tmp_path)
    assert events(domain).count(BOOKS[0]) == 4
    assert domain.provenance["dropped"] == {"repeated_across_categories": 2}
    assert any(note.startswith("3 of 12 interactions repeat another") for note in domain.provenance["notes"])


def test_a_category_without_metadata_has_the_items_of_its_interactions(tree: Path) -> None:
    (tree / "mx" / "Toys_and_Games" / "metadata_mx_Toys_and_Games.json").unlink()
    domain = read_xmarket(tree, market="mx")
    assert domain.item_ids.tolist() == ["b1", "b2", "x", "unused", "t", "?"]
    assert domain.item_texts.tolist()[3:] == ["Thing unused", "", ""]
    part = "no file of metadata for Toys_and_Games, so 2 items have no text; give metadata_mx_Toys_and_Games.json.gz"
    assert any(part in note for note in domain.provenance["notes"])


def test_metadata_of_another_market_are_refused(tree: Path) -> None:
    others = [item(f"z{number}") for number in range(3)]
    write_category(tree, "mx", "Books", metadata=others)
    with pytest.raises(InputError, match=r"interactions of market mx, .* name items that are not in items of market"):
        read_xmarket(tree / "mx" / "Books")


_ids = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1, max_size=4)
_dates = st.dates(pd.Timestamp("1970-01-02").date(), pd.Timestamp("2099-12-31").date()).map(str)
_fields = st.none() | st.floats() | st.text(st.characters(codec="utf-8"), max_size=5)
_several = st.none() | st.floats() | st.lists(_fields | st.booleans(), max_size=3)
_titles = st.text("ab <&é語", min_size=1, max_size=5).map("The ".__add__)


@given(
    rows=st.lists(st.tuples(_ids, _ids, _dates), min_size=1, max_size=12),
    fields=st.lists(st.tuples(_titles, _several, _several), min_size=1, max_size=4),
)
def test_json_and_python_literals_give_one_domain(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str]],
    fields: list[tuple],
) -> None:
    root = tmp_path_factory.mktemp("tree")
    named = dict.fromkeys(asin for _, asin, _ in rows)
    choice = [fields[number % len(fields)] for number in range(len(named))]
    metadata = [
        item(asin, title=title, features=features, categories=categories)
        for asin, (title, features, categories) in zip(named, choice, strict=True)
    ]
    domains = []
    for python in (False, True):
        folder = write_category(
            root / str(python), "jp", "A_&_B", ratings=rows, reviews=rows, metadata=metadata, python=python
        )
        domains += [read_xmarket(folder, interactions=kind) for kind in ("ratings", "reviews")]
    assert len({domain.fingerprint for domain in domains}) == 1
    frame = pd.DataFrame(rows, columns=["user", "item", "date"])
    frame["user"] = pd.Categorical(frame["user"], frame["user"].unique())
    expected = frame.sort_values(["user", "date"], kind="stable")
    assert events(domains[0]) == list(expected.itertuples(index=False, name=None))
    assert domains[0].item_ids.tolist() == list(named)


@pytest.mark.parametrize(
    ("market", "size"),
    [("ca", 44_779), ("de", 17_300), ("fr", 17_624), ("in", 2_015), ("jp", 4_485), ("mx", 17_095), ("uk", 31_547)],
)
def test_real_ratings(real_data: Path, market: str, size: int) -> None:
    folder = real_data / "xmarket-electronics"
    domain = read_xmarket(folder, market=market)
    columns = ["user", "item", "rate", "date"]
    raw = pd.read_csv(folder / f"ratings_{market}_Electronics.txt.gz", sep=" ", names=columns, dtype=str)
    assert domain.num_interactions == len(raw) == size
    assert domain.user_ids.tolist() == raw["user"].unique().tolist()
    assert domain.item_ids.tolist() == raw["item"].unique().tolist()
    raw["user"] = pd.Categorical(raw["user"], raw["user"].unique())
    expected = raw.sort_values(["user", "date"], kind="stable")
    assert events(domain) == list(expected[["user", "item", "date"]].itertuples(index=False, name=None))
    assert set(domain.item_texts) == {""}
    assert any("no file of metadata for Electronics" in note for note in domain.provenance["notes"])


def test_popularity_of_real_ratings(real_data: Path) -> None:
    domain = read_xmarket(real_data / "xmarket-electronics", market="in")
    popularity = Popularity(domain.item_index, domain.days, domain.num_items)
    slots = popularity.slots(domain.days)
    counts = popularity.counts(domain.item_index, slots)
    factors = popularity.factors(counts, slots)
    assert factors.shape == (domain.num_interactions, 4)
    assert np.isfinite(factors).all()
    assert (factors >= 0).all()
    assert factors.max() > 0
    # Count the 15 days strictly before, one event at a time.
    for row in range(0, domain.num_interactions, 97):
        day = domain.days[row]
        inside = (domain.days < day) & (domain.days >= day - 15)
        if inside.any():
            assert counts[row] == (inside & (domain.item_index == domain.item_index[row])).sum()
