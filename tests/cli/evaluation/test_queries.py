"""Number of queries of a split, and splits without queries."""

from __future__ import annotations

import pytest

from prerec_pyro.cli.evaluation.queries import count_queries
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.splits import split_users
from prerec_pyro.errors import InputError


def test_every_event_except_the_first_is_a_query(shop2: Domain) -> None:
    lengths = shop2.offsets[1:] - shop2.offsets[:-1]
    users = split_users(shop2, 3).validation
    assert count_queries(shop2, "validation", 3, 5.0) == (lengths[users] - 1).sum()


def test_a_list_shorter_than_one_item_is_rejected(shop2: Domain) -> None:
    with pytest.raises(InputError, match=r"--k-percent 0\.001: "):
        count_queries(shop2, "test", 0, 0.001)
