"""The mixture of new items from given normalisers, against the mixture written out."""

from __future__ import annotations

import pytest
import torch

from prerec_pyro.ranking.mixture import new_item_log_probs


@pytest.mark.parametrize("repeat", [None, torch.tensor([0.3, -1.0, 2.0]).double()])
@pytest.mark.parametrize("omega", [None, -2.0, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_softmaxes_are_mixed(repeat: torch.Tensor | None, omega: float | None, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    scores, background = torch.randn(3, 7, dtype=dtype), torch.randn(3, 7, dtype=dtype)
    found = new_item_log_probs(
        scores,
        background,
        scores.double().logsumexp(1),
        background.double().logsumexp(1),
        repeat=repeat,
        background_odds=omega,
    )
    share = torch.sigmoid(torch.tensor(-torch.inf if omega is None else omega).double())
    expected = (1 - share) * scores.double().softmax(1) + share * background.double().softmax(1)
    if repeat is not None:
        expected = expected * (1 - repeat.sigmoid())[:, None]
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected.log(), rtol=1e-5, atol=1e-5)


def test_items_that_are_not_new_stay_at_minus_infinity() -> None:
    scores = torch.tensor([[-torch.inf, 1.0], [-torch.inf, -torch.inf]])
    background = torch.zeros(2, 2)
    found = new_item_log_probs(
        scores, background, scores.double().logsumexp(1), torch.zeros(2).double(), repeat=None, background_odds=0.0
    )
    assert torch.equal(found.isneginf(), scores.isneginf())
    assert not found.isnan().any()
