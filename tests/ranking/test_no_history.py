"""Lists for people without a history: R without U·V, against the same model under do(U = 0)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from prerec_pyro.data.batching.histories import known_users
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain, encode_domain
from prerec_pyro.models.baselines import MostPopular
from prerec_pyro.ranking.no_history import list_without_history, recommendations_for_anybody
from prerec_pyro.ranking.spread import spread
from prerec_pyro.recommenders.prerec import PreRec
from tests.support.models import prerec, shaken, small_domain, training

SHOP = small_domain("shop", num_items=30, num_users=25, seed=5)


@pytest.fixture(scope="module")
def model() -> PreRec:
    sources = [small_domain("a", num_users=30), small_domain("b", num_users=30, seed=1)]
    return shaken(prerec(training=training(epochs=1)).fit(sources))


def bare(domain: Domain) -> Domain:
    """Return the catalogue without its log."""
    nobody = {"user_ids": np.empty(0, object), "offsets": [0], "item_index": np.empty(0, int), "timestamps": None}
    return dataclasses.replace(domain, **nobody)


@pytest.mark.parametrize("do", [{}, {"S": torch.tensor([0.3, -0.8, 0.5, 0.2, 0.4, -0.3])}, {"Z": "x0.5"}])
def test_the_list_is_that_of_a_user_who_matches_nothing(model: PreRec, do: dict) -> None:
    encoded = model.encode(SHOP)
    scorer = model.scorer(encoded, do)
    scores, index = list_without_history(scorer, encoded, encoded.popularity.last_slot, encoded.num_items)
    assert torch.isclose(scores.exp().sum(), torch.tensor(1.0))
    assert (scores.diff() <= 0).all()
    found = pd.Series(scores.numpy(), index=SHOP.item_ids[index.numpy()])
    user = SHOP.user_ids[3]
    matched_by_nothing = model.recommend(encoded, [user], do={**do, "U": 0.0}, k=99).set_index("item_id")["score"]
    expected = found[matched_by_nothing.index]
    assert len(expected) < SHOP.num_items  # the user's own items are dropped
    assert np.ptp(expected - matched_by_nothing) < 1e-5


def test_popularity_decides_where_the_model_has_none() -> None:
    shop = encode_domain(SHOP, window=3)
    slot = shop.popularity.last_slot
    counts = shop.popularity.counts_of_all(np.array([slot]))[0]
    scores, index = list_without_history(MostPopular(), shop, slot, 5)
    assert sorted(counts[index], reverse=True) == sorted(counts, reverse=True)[:5]
    assert np.allclose(scores.exp(), (counts[index] + 1) / (counts + 1).sum())


def test_items_that_tie_for_the_last_places_cover_what_ties() -> None:
    shop = encode_domain(SHOP, window=3)
    slot = shop.popularity.last_slot
    counts = torch.from_numpy(shop.popularity.counts_of_all(np.array([slot]))[0])
    sizes = counts.unique(return_counts=True)[1].flip(0).cumsum(0)
    places = int(sizes[0]) + 1  # one place for all items with the second largest count
    tied = (counts == counts.unique()[-2]).nonzero()[:, 0]
    assert len(tied) > 1
    _, index = list_without_history(MostPopular(), shop, slot, places)
    assert index[-1] == tied[spread(shop.texts[tied], 1)]


def test_without_a_log_the_list_covers_the_catalogue(model: PreRec) -> None:
    domain = bare(SHOP)
    lists = model.recommend(domain, k=7)
    assert lists["user_id"].tolist() == [""] * 7
    assert lists["rank"].tolist() == list(range(1, 8))
    assert np.allclose(lists["score"], -np.log(SHOP.num_items))
    expected = spread(torch.from_numpy(SHOP.embeddings), 7)
    assert lists["item_id"].tolist() == SHOP.item_ids[expected].tolist()
    pd.testing.assert_frame_equal(model.recommend(domain, k=7), lists)
    named = model.recommend(domain, ["ann", "bob"], k=7)
    assert named["user_id"].unique().tolist() == ["ann", "bob"]
    assert named["item_id"].tolist() == lists["item_id"].tolist() * 2
    assert len(model.recommend(domain, k=999)) == SHOP.num_items


def test_items_without_a_text_come_last() -> None:
    texts = SHOP.item_texts.copy()
    texts[::2] = " "
    shop = dataclasses.replace(encode_domain(bare(SHOP)), domain=dataclasses.replace(bare(SHOP), item_texts=texts))
    shop = dataclasses.replace(shop, domain=dataclasses.replace(shop.domain, embeddings=None))
    for size in (4, 15, 20):
        _, index = list_without_history(MostPopular(), shop, 1, size)
        assert (index[:15] % 2 == 1).all()
        assert len(index.unique()) == size


def test_people_with_and_without_a_history_keep_their_order(model: PreRec) -> None:
    users = ["new", SHOP.user_ids[4], SHOP.user_ids[2], "newer", SHOP.user_ids[4]]
    lists = model.recommend(SHOP, users, k=3, unknown="popular")
    assert lists["user_id"].tolist() == np.repeat(users, 3).tolist()
    known = model.recommend(SHOP, [SHOP.user_ids[4], SHOP.user_ids[2]], k=3)
    alone = model.recommend(SHOP, ["new"], k=3, unknown="popular")
    expected = [alone, known[:3], known[3:], alone.assign(user_id="newer"), known[:3]]
    pd.testing.assert_frame_equal(lists, pd.concat(expected, ignore_index=True))
    skipped = model.recommend(SHOP, users, k=3, unknown="skip")
    pd.testing.assert_frame_equal(skipped, lists[lists["user_id"].isin(SHOP.user_ids)].reset_index(drop=True))


def test_a_short_list_of_a_user_is_no_longer_beside_others() -> None:
    shop: EncodedDomain = encode_domain(SHOP, window=3)
    read = known_users(shop, ["new", SHOP.user_ids[0]], None, unknown="popular")
    lists = recommendations_for_anybody(MostPopular(), shop, read, 99, drop_seen=True)
    seen = np.unique(SHOP.item_index[: SHOP.offsets[1]])
    assert lists["user_id"].value_counts().to_dict() == {"new": 30, SHOP.user_ids[0]: 30 - len(seen)}
