from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import fractional_matrix_power

from prerec_pyro.data.text.whitening import whiten


def drawn(num_items: int = 50, dim: int = 4) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.normal(size=(num_items, dim)) @ np.diag([5, 2, 1, 0.2]) + 3).float()


def test_strength_0_changes_nothing():
    texts = drawn()
    assert whiten(texts, 0) is texts


@pytest.mark.parametrize("strength", [0.25, 1.0])
def test_whitening_follows_the_formula(strength):
    texts = drawn()
    X = texts.double().numpy()
    X = X - X.mean(0)
    sigma = X.T @ X / len(X)
    share = 4 / 54
    sigma = (1 - share) * sigma + share * np.trace(sigma) / 4 * np.eye(4)
    expected = X @ fractional_matrix_power(sigma, -strength / 2).real
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(whiten(texts, strength).numpy(), expected, atol=1e-5)


def test_all_directions_vary_more_alike():
    before, after = (torch.linalg.eigvalsh(torch.cov(x.T)) for x in (drawn(2000), whiten(drawn(2000), 0.5)))
    assert after[-1] / after[0] < before[-1] / before[0] / 3


@given(st.integers(1, 5), st.integers(1, 4), st.floats(0.01, 1))
def test_few_items_and_equal_texts_give_numbers(num_items, dim, strength):
    for texts in (torch.ones(num_items, dim), torch.randn(num_items, dim)):
        found = whiten(texts, strength)
        assert found.shape == texts.shape
        assert torch.isfinite(found).all()


def test_the_order_of_items_does_not_matter():
    texts, order = drawn(), torch.randperm(50, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(whiten(texts, 0.5)[order], whiten(texts[order], 0.5))
