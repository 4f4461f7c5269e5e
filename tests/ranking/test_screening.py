"""Cheap probabilities against the scores that they stand for, and the bound on their error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.models.likelihoods.repeat_mixture import MixtureLogOdds, mixture_log_probs
from prerec_pyro.ranking import screening as module
from prerec_pyro.ranking.screening import SMALLEST, Screening, tolerance


def draw(seed: int, num_queries: int, num_items: int, *, sharpness: float = 4.0, seen: float = 0.2) -> Screening:
    """Return a mixture of random numbers; each query has seen an item or more."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))

    match, background = sharpness * normal(num_queries, num_items), normal(3, num_items)
    slot = torch.from_numpy(rng.integers(0, 3, num_queries))
    known = rng.random((num_queries, num_items)) < seen
    known[np.arange(num_queries), rng.integers(0, num_items, num_queries)] = True
    repeats = torch.from_numpy(np.stack(np.nonzero(known)))
    odds = MixtureLogOdds(normal(num_queries, 1), normal(num_queries if seed % 2 else 1, 1))

    def exact(rows: torch.Tensor) -> torch.Tensor:
        scores = mixture_log_probs(match.clone(), background[slot], odds, repeats)
        return scores[rows]

    return Screening(match, background, slot, odds, repeats, exact)


def probabilities(screening: Screening) -> torch.Tensor:
    return torch.cat([found for _, found in screening.blocks()])


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 9),
    st.integers(1, 70),
    st.sampled_from([0.1, 4.0, 30.0]),
    st.sampled_from([0.0, 0.4, 1.0]),
    st.sampled_from([1, 100, 1 << 18]),
)
def test_they_are_the_exponentials_of_the_scores(seed, num_queries, num_items, sharpness, seen, block) -> None:
    screening = draw(seed, num_queries, num_items, sharpness=sharpness, seen=seen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        found = probabilities(screening)
    scores = screening.exact(torch.arange(num_queries))
    assert found.shape == scores.shape
    large = found > SMALLEST
    assert ((found.log() - scores).abs() <= tolerance(found) / 2)[large].all(), "half the bound on a difference of two"
    assert (scores[~large] < -60.0).all()


def test_rows_of_blocks_are_all_queries_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 3 * 20)
    screening = draw(1, 8, 20)
    assert [(rows.start, len(found)) for rows, found in screening.blocks()] == [(0, 3), (3, 3), (6, 2)]
    torch.testing.assert_close(probabilities(screening).sum(1), torch.ones(8))


def test_what_is_no_number_is_no_probability() -> None:
    screening = draw(2, 4, 20)
    screening.match[1, 7] = torch.nan
    is_number = ~probabilities(screening).isnan()
    assert is_number[[0, 2, 3]].all()
    assert not is_number[1].all()
