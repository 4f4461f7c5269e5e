"""Domains of a study: refused duplicates, and facts that tell text embeddings apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prerec_pyro.data.encoded import encode_domain
from prerec_pyro.errors import InputError
from prerec_pyro.reproduction.domains import check_distinct, domain_facts, drawn_users
from tests.support.models import small_domain


def test_duplicates_are_refused() -> None:
    one = small_domain("one")
    check_distinct([one], [small_domain("two", seed=1)])
    with pytest.raises(InputError, match="two domains are called 'one'"):
        check_distinct([one], [small_domain("one", seed=1)])
    with pytest.raises(InputError, match="'one' and 'copy' hold the same data"):
        check_distinct([one], [replace(one, name="copy")])


def test_facts_differ_with_the_embeddings() -> None:
    shop = small_domain("shop")
    facts, other = (domain_facts(encode_domain(one)) for one in (shop, shop.with_embeddings(2 * shop.embeddings)))
    assert (facts["name"], facts["fingerprint"]) == (other["name"], other["fingerprint"])
    assert facts["texts"] != other["texts"]


def test_drawn_users_reach_the_number_of_queries() -> None:
    shop = small_domain(num_users=60)
    users = np.arange(5, 60)
    queries = np.diff(shop.offsets) - 1
    drawn = drawn_users(shop, users, 40)
    assert set(drawn) < set(users)
    assert drawn.tolist() == sorted(set(drawn)) == drawn_users(shop, users, 40).tolist()
    assert 40 <= queries[drawn].sum() < 40 + queries.max()
    assert drawn.max() > 40, "drawn from all, not the first"
    assert drawn_users(shop, users, 10_000).tolist() == users.tolist()
