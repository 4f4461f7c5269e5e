"""The text and the HTML table that describe a domain."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from tests.support.graphs import make_domain, make_encoded


def shop(name: str = "shop", **extra: object) -> Domain:
    events = {"user_id": ["u", "u", "v"], "item_id": ["a", "b", "c"], "timestamp": ["2024-02-03", "2024-01-02", 0]}
    events["timestamp"][2] = "2024-01-30"
    items = {"item_id": ["a", "b", "c"], "text": ["apple", " ", "cider"]}
    return Domain.from_tables(pd.DataFrame(events), pd.DataFrame(items), name=name, **extra)


def test_a_domain_is_described_line_by_line() -> None:
    domain = shop().with_embeddings(np.zeros((3, 1200))).with_item_covariates(price=[1, 2, 3], weight=[1, 2, 3])
    assert repr(domain).splitlines() == [
        "Domain 'shop'",
        "  items:        3",
        "  users:        2",
        "  interactions: 3",
        "  period:       2024-01-02 to 2024-02-03",
        "  empty texts:  1 (33.3%)",
        "  embeddings:   3 × 1,200",
        "  covariates:   price, weight",
        "  notes:        2, in provenance['notes']: given tables, items: 1 of 3 items have no text; they will a…",
    ]
    assert str(domain) == repr(domain)


def test_a_plain_domain_is_described() -> None:
    domain = Domain("x\ny", ["a"], [""], ["u"], [0, 1], [0])
    assert repr(domain).splitlines() == [
        r"Domain 'x\ny'",
        "  items:        1",
        "  users:        1",
        "  interactions: 1",
        "  period:       order only",
        "  empty texts:  1 (100.0%)",
        "  embeddings:   none",
        "  notes:        none",
    ]


@pytest.mark.parametrize("times", [[-(2**40), 2**50], [0, 0]])
def test_times_far_away_do_not_fail(times: list[int]) -> None:
    assert "period: " in repr(Domain("x", ["a"], [""], ["u"], [0, 2], [0, 0], times))


def test_the_description_stays_short() -> None:
    long = shop().with_notes("a note\nof two lines " * 50, *["more"] * 30)
    long = long.with_item_covariates(**{f"number_{n}": [1, 2, 3] for n in range(40)})
    for text in (repr(long), repr(make_encoded("timed"))):
        assert len(text.splitlines()) <= 10
        assert max(map(len, text.splitlines())) <= 120
    assert "covariates:   number_0, number_1, number_2, number_3, number_4, number_5, …" in repr(long)
    assert "notes:        33, in provenance['notes']: a note of two lines" in repr(long)


def test_an_encoded_domain_is_described() -> None:
    encoded: EncodedDomain = make_encoded("timed", window=7).whitened(0.5)
    assert repr(encoded).splitlines() == [
        "EncodedDomain 'timed'",
        "  items:        12",
        "  users:        10",
        "  interactions: 46",
        "  period:       2011-01-28 to 2011-03-06",
        "  empty texts:  0 (0.0%)",
        "  text vectors: 12 × 6, whitening 0.5",
        "  popularity:   window 7 days, catalogue norms",
        "  notes:        none",
    ]


class Cells(HTMLParser):
    """Collects the tags and the texts of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_html_table_shows_the_same_and_escapes_it() -> None:
    name = "<script>alert('x')</script> & co"
    domain = shop(name).with_notes("<b>bold</b>").with_item_covariates(**{"<i>": [1, 2, 3]})
    document = domain._repr_html_()
    assert "<script>" not in document
    assert "<b>" not in document
    cells = Cells()
    cells.feed(document)
    assert cells.tags == {"table", "caption", "tbody", "tr", "th", "td"}
    assert cells.texts[0] == f"Domain {name!r}"
    lines = [line.strip().split(":", 1) for line in repr(domain).splitlines()[1:]]
    assert cells.texts[1:] == [part.strip() for line in lines for part in line]


def test_the_description_does_not_read_the_arrays_of_events_one_by_one() -> None:
    assert len(repr(make_domain(lengths=[500] * 200))) < 500
