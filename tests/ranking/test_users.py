"""The match of users with several interests, against its definition written out query by query."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prerec_pyro.ranking import users as module
from prerec_pyro.ranking.users import InterestMixture, Users

EXACT = {"rtol": 1e-9, "atol": 1e-9}


def draw(
    seed: int, num_queries: int = 7, num_items: int = 23, dim: int = 3, most: int = 4, contrast: float = 3.0
) -> tuple[Users, Tensor]:
    """Return users who read few items, some several times, with weights of 0 and two contrasts, and the items."""
    rng = np.random.default_rng(seed)
    items = torch.from_numpy(rng.standard_normal((num_items, dim)))
    weights = torch.from_numpy(rng.exponential(size=(num_queries, most)))
    weights[:, 1:][torch.from_numpy(rng.random((num_queries, most - 1)) < 0.3)] = 0.0
    mixture = InterestMixture(
        items,
        torch.from_numpy(rng.integers(0, 6, (num_queries, most))),
        weights / weights.sum(1, keepdim=True),
        contrast * torch.from_numpy(rng.choice([1.0, 1.5], (num_queries, 1))),
        torch.from_numpy(rng.exponential(size=(num_queries, 1))),
    )
    return Users(torch.from_numpy(rng.standard_normal((num_queries, dim))), mixture), items


def by_hand(users: Users, items: Tensor) -> Tensor:
    """Return U·V_j + scale · log Σ_a w_a exp(β V_a·V_j) / β."""
    own = users.interests
    found = torch.empty(len(users), len(items), dtype=torch.float64)
    for query in range(len(users)):
        scale, contrast = float(own.scale[query]), float(own.contrast[query])
        for j, item in enumerate(items):
            terms = [
                float(weight) * math.exp(contrast * float(own.items[row] @ item))
                for weight, row in zip(own.weights[query], own.read[query], strict=True)
            ]
            found[query, j] = float(users.vectors[query] @ item) + scale * math.log(sum(terms)) / contrast
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.sampled_from([1, 2, 3, 64]), st.sampled_from([1, 1 << 19]))
def test_the_match_is_its_definition(seed: int, num_queries: int, tile: int, block: int) -> None:
    users, items = draw(seed, num_queries, num_items=300 if block == 1 else 23)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE", tile)
        patch.setattr(module, "BLOCK", block)
        found = users.match(items)
    expected = by_hand(users, items)
    torch.testing.assert_close(found, expected, **EXACT)
    index = torch.from_numpy(np.random.default_rng(seed).integers(0, len(items), (num_queries, 5)))
    torch.testing.assert_close(users.match_some(items[index]), expected.gather(1, index), **EXACT)
    rows = torch.arange(num_queries).flip(0)
    torch.testing.assert_close(users[rows].match(items), expected[rows], **EXACT)


def test_products_too_large_for_an_exponential_are_matched_too() -> None:
    users, items = draw(0)
    long = Users(users.vectors, dataclasses.replace(users.interests, items=100.0 * items))
    assert (users.interests.contrast.max() * 100.0 * (items @ items.T)).abs().max() > 1000.0, "exp overflows"
    found = long.match(items)
    torch.testing.assert_close(found, by_hand_in_logs(long, items), **EXACT)


def by_hand_in_logs(users: Users, items: Tensor) -> Tensor:
    own = users.interests
    products = torch.einsum("qad,jd->qaj", own.items[own.read], items)
    mixed = (own.weights.log()[..., None] + own.contrast[..., None] * products).logsumexp(1)
    return users.vectors @ items.T + own.scale / own.contrast * mixed


def test_equal_items_match_equally_wherever_they_stand() -> None:
    generator = torch.Generator().manual_seed(0)
    items = torch.randn(1001, 16, generator=generator) / 4
    items[[500, 999, 1000]] = items[3].clone()
    read = torch.randint(0, 1001, (70, 5), generator=generator)
    mixture = InterestMixture(items, read, torch.full((70, 5), 0.2), torch.full((70, 1), 4.5), torch.full((70, 1), 9.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", 1)
        found = Users(torch.randn(70, 16, generator=generator), mixture).match(items)
    assert all(torch.equal(found[:, 3], found[:, same]) for same in (500, 999, 1000))


def test_a_product_that_queries_share_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    users, items = draw(1, num_queries=50)
    contrast = torch.full((50, 1), 2.0).double()
    same = Users(users.vectors, dataclasses.replace(users.interests, contrast=contrast))
    rows, whole = [], torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: rows.append(a.shape) or whole(a, b))
    same.match(items)
    assert [tuple(shape) for shape in rows] == [(6, 3), (50, 6)], "six distinct items, and weights"


def test_points_lie_around_each_interest() -> None:
    users, items = draw(2)
    points, own = users.points(), users.interests
    assert points.shape == (7, 4, 3)
    torch.testing.assert_close(points[3, 2], users.vectors[3] + own.scale[3] * items[own.read[3, 2]])
    assert torch.equal(Users(users.vectors).points(), users.vectors[:, None])


def test_without_interests_the_match_is_a_product() -> None:
    users, items = draw(3)
    plain = Users(users.vectors)
    assert torch.equal(plain.match(items), users.vectors @ items.T)
    torch.testing.assert_close(plain.match_some(items.expand(7, -1, -1)), users.vectors @ items.T)
    assert plain[2:4].match(items).shape == (2, 23)
    assert plain[:0].match(items).shape == users[:0].match(items).shape == (0, 23)
