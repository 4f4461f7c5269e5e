from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.batching.batch import catalogue_batch
from prerec_pyro.data.batching.training_batches import draw_negatives, epoch
from prerec_pyro.data.encoded import EncodedDomain, encode_domain
from tests.support.batches import prefix, tensors
from tests.support.graphs import all_windows, make_batch, make_domain, make_encoded

WORLDS = {
    "timed": make_encoded("timed", lengths=(70, 9, 1, 5, 2, 7)),
    "untimed": make_encoded("untimed", lengths=(70, 9, 1, 5, 2, 7), timed=False),
}


@pytest.fixture(params=list(WORLDS))
def world(request: pytest.FixtureRequest) -> EncodedDomain:
    return WORLDS[request.param]


def test_a_small_catalogue_has_all_items_as_candidates(world: EncodedDomain) -> None:
    windows = all_windows(world)
    whole, _ = catalogue_batch(world, windows, domain=1, first_row=9)
    for number in (world.num_items, world.num_items + 5):
        batch = make_batch(world, windows[:2], num_negatives=number, domain=1, first_row=9)
        assert batch.negatives is None
        assert batch.is_training and not whole.is_training
        assert batch.items.tolist() == list(range(world.num_items))
        assert batch.prior_weight.tolist() == [1.0] * world.num_items, "each item counts once"
        assert (batch.domain, batch.num_domain_items) == (1, world.num_items)
        assert batch.num_queries < batch.num_domain_queries == whole.num_queries
        some, _ = catalogue_batch(world, windows[:2], domain=1, first_row=9)
        for name in ("item_rows", "texts", "history", "positions", "targets", "slot", "candidate_level", "factors"):
            torch.testing.assert_close(getattr(batch, name), getattr(some, name), rtol=0, atol=0)
        torch.testing.assert_close(batch.repeats, some.repeats, rtol=0, atol=0)
    assert len(make_batch(world, num_negatives=world.num_items - 1).negatives) == world.num_items - 1


def test_prior_weights_are_unbiased(timed: EncodedDomain) -> None:
    draws, rng = 2000, np.random.default_rng(0)
    windows = all_windows(timed)[:1]
    total = torch.zeros(timed.num_items)
    for _ in range(draws):
        batch = make_batch(timed, windows, seed=rng)
        total[batch.items] += batch.prior_weight
        assert batch.prior_weight.sum().item() == pytest.approx(timed.num_items, rel=1e-5)
        is_negative = torch.isin(torch.arange(len(batch.items)), batch.negatives)
        assert ((batch.prior_weight > 0) == is_negative).all()
    # Every item counts once on average; the standard error of a mean is 0.03.
    np.testing.assert_allclose(total / draws, 1.0, atol=0.12)


def test_negatives_are_uniform_over_all_items() -> None:
    world, rng = make_encoded(num_items=10, sold=2), np.random.default_rng(0)
    drawn = [
        batch.items[batch.negatives] for batch in (make_batch(world, num_negatives=9, seed=rng) for _ in range(2000))
    ]
    share = torch.bincount(torch.cat(drawn), minlength=10) / (9 * 2000)
    np.testing.assert_allclose(share, 0.1, atol=0.012)


def test_a_batch_does_not_grow_with_the_catalogue() -> None:
    small, large = (make_encoded(num_items=n, sold=10) for n in (10, 20_000))
    assert small.domain.item_index.tolist() == large.domain.item_index.tolist()
    for world in (small, large):
        batch = make_batch(world, num_negatives=7)
        rows = batch.history.numel() + batch.num_queries + 7
        assert len(batch.items) <= rows
        windows = 1 + len(world.other_windows)
        assert len(batch.factors) <= windows * (batch.candidate_level.numel() + batch.num_queries)
        assert sum(value.numel() for value in tensors(batch).values()) <= windows * rows * 30


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(WORLDS)), st.integers(1, 200), st.integers(0, 1000))
def test_an_epoch_holds_every_query_once(name: str, max_tokens: int, seed: int) -> None:
    world = WORLDS[name]
    users, rng = np.array([0, 1, 2, 4]), np.random.default_rng(seed)
    options = {"domain": 3, "first_row": 5, "num_negatives": 4}
    batches = [make() for make in epoch(world, users, **options, max_tokens=max_tokens, rng=rng)]
    ends = [(prefix(b, q)[-1], int(b.items[b.targets[q]])) for b in batches for q in range(b.num_queries)]
    items, offsets = world.domain.item_index, world.domain.offsets
    pairs = [(items[e - 1], items[e]) for u in users for e in range(offsets[u] + 1, offsets[u + 1])]
    assert sorted(ends) == sorted(pairs)
    for batch in batches:
        assert len(batch.history) == 1 or batch.history.numel() <= max_tokens
        assert batch.num_domain_queries == len(pairs)
        assert (batch.num_domain_items, batch.domain, len(batch.negatives)) == (world.num_items, 3, 4)


@pytest.mark.parametrize("num_negatives", [5, 12])
def test_covariates_belong_to_the_rows(num_negatives: int) -> None:
    price = np.arange(12, dtype=np.float32) ** 2
    encoded = encode_domain(make_domain().with_item_covariates(price=price, weight=-price))
    batch = make_batch(encoded, all_windows(encoded)[:2], num_negatives=num_negatives)
    assert (batch.negatives is None) == (num_negatives == 12)
    assert list(batch.covariates) == ["price", "weight"]
    np.testing.assert_array_equal(batch.covariates["price"], price[batch.items])
    np.testing.assert_array_equal(batch.covariates["weight"], -price[batch.items])
    assert make_batch(make_encoded()).covariates == {}


def test_a_catalogue_of_no_more_items_than_negatives_needs_no_draw() -> None:
    rng = np.random.default_rng(0)
    assert draw_negatives(5, 5, rng) is None
    assert draw_negatives(5, 6, rng) is None
    assert draw_negatives(5, 4, rng).shape == (4,)
