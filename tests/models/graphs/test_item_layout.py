"""Rows of V, per item and per item and slot: against loops."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch, catalogue_batch
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.models.graphs.item_layout import ItemLayout, PerItem, PerItemAndSlot
from tests.support.graphs import all_windows, as_double, make_batch

DIM = 3
SETTINGS = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DRAWS = pytest.mark.parametrize("draws", [(), (2,)], ids=str)


@pytest.fixture(params=["training", "catalogue"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def batch_of(timed: EncodedDomain, kind: str, seed: int, num_negatives: int) -> Batch:
    """Return a batch of several slots whose items have a covariate and, in training, candidates drawn twice."""
    if kind == "training":
        found = make_batch(timed, num_negatives=num_negatives, seed=seed)
    else:
        found, _ = catalogue_batch(timed, all_windows(timed))
    assert len(found.candidate_level) > 2
    return dataclasses.replace(as_double(found), covariates={"price": torch.arange(len(found.items)).double()})


def rows_by_loops(batch: Batch) -> list[tuple[int, int]]:
    """Return (row of the batch, level) of each row of V: candidates slot by slot, then the targets."""
    candidates = range(len(batch.items)) if batch.negatives is None else batch.negatives.tolist()
    found = [(item, int(level)) for slot in batch.candidate_level for item, level in zip(candidates, slot, strict=True)]
    if batch.negatives is None:
        return found
    return found + list(zip(batch.targets.tolist(), batch.target_level.tolist(), strict=True))


@DRAWS
@SETTINGS
@given(seed=st.integers(0, 2**31), num_negatives=st.integers(1, 30))
def test_a_row_for_each_item_and_slot(
    timed: EncodedDomain, kind: str, draws: tuple[int, ...], seed: int, num_negatives: int
) -> None:
    batch = batch_of(timed, kind, seed, num_negatives)
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(len(batch.items), DIM, generator=generator)
    Z = torch.randn(*draws, len(batch.factors), DIM, generator=generator)
    rows, expected = PerItemAndSlot().rows(text, Z, batch), rows_by_loops(batch)
    assert PerItemAndSlot().index(batch).tolist() == [item for item, _ in expected]
    assert torch.equal(rows.text, torch.stack([text[item] for item, _ in expected]))
    assert rows.Z is Z, "of all levels"
    assert rows.level.tolist() == [level for _, level in expected]
    assert rows.covariates["price"].tolist() == [float(item) for item, _ in expected]
    if batch.prior_weight is None:
        assert rows.prior_weight is None
        return
    occurs = torch.tensor([item for item, _ in expected]).bincount(minlength=len(batch.items)).tolist()
    shared = [float(batch.prior_weight[item]) / occurs[item] for item, _ in expected]
    torch.testing.assert_close(rows.prior_weight, torch.tensor(shared).double())
    total = sum(weight for weight, n in zip(batch.prior_weight.tolist(), occurs, strict=True) if n)
    assert float(rows.prior_weight.sum()) == pytest.approx(total), "an item counts as often as before"


def match_by_loops(U: Tensor, V: Tensor, batch: Batch, layout: ItemLayout) -> tuple[Tensor, Tensor | None]:
    """Return U·V query by query and candidate by candidate, of one draw, and that of the targets."""
    index = layout.index(batch)
    num_slots, num_candidates = batch.candidate_level.shape
    candidates, targets = torch.empty(batch.num_queries, num_candidates).double(), []
    for query in range(batch.num_queries):
        for candidate in range(num_candidates):
            row = candidate if batch.negatives is None else int(batch.negatives[candidate])
            if index is not None:
                row = int(batch.slot[query]) * num_candidates + candidate
            candidates[query, candidate] = U[query] @ V[row]
        if batch.negatives is not None:
            row = int(batch.targets[query]) if index is None else num_slots * num_candidates + query
            targets.append(U[query] @ V[row])
    return candidates, torch.stack(targets) if targets else None


@DRAWS
@pytest.mark.parametrize("layout", [PerItem(), PerItemAndSlot()], ids=lambda one: type(one).__name__)
@SETTINGS
@given(seed=st.integers(0, 2**31), num_negatives=st.integers(1, 12))
def test_a_query_is_matched_with_the_items_of_its_own_slot(
    timed: EncodedDomain, kind: str, draws: tuple[int, ...], layout: ItemLayout, seed: int, num_negatives: int
) -> None:
    batch = batch_of(timed, kind, seed, num_negatives)
    index = layout.index(batch)
    generator = torch.Generator().manual_seed(seed)
    U = torch.randn(*draws, batch.num_queries, DIM, generator=generator).double()
    V = torch.randn(*draws, len(batch.items) if index is None else len(index), DIM, generator=generator).double()
    found = layout.match(U, V, batch)
    assert found.candidates.shape == (*draws, batch.num_queries, batch.candidate_level.shape[1])
    assert (found.target is None) == (batch.negatives is None)
    for draw in range(draws[0]) if draws else [...]:
        candidates, target = match_by_loops(U[draw], V[draw], batch, layout)
        torch.testing.assert_close(found.candidates[draw], candidates)
        if target is not None:
            torch.testing.assert_close(found.target[draw], target)


def test_without_the_edge_the_rows_are_those_of_the_batch(timed: EncodedDomain, kind: str) -> None:
    batch = batch_of(timed, kind, 0, 7)
    text = torch.randn(len(batch.items), DIM)
    rows = PerItem().rows(text, torch.randn(len(batch.factors), DIM), batch)
    assert PerItem().index(batch) is None
    assert rows.text is text
    assert rows.Z is None and rows.level is None, "V does not depend on it"
    assert rows.prior_weight is batch.prior_weight
    assert rows.covariates is batch.covariates
