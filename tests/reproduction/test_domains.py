"""Domains of a study: refused duplicates, and facts that tell text embeddings apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prerec_pyro.data.encoded import encode_domain
from prerec_pyro.errors import InputError
from prerec_pyro.reproduction.domains import check_distinct, domain_facts
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
