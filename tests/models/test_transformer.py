"""The transformer layer: dropout against its distribution, and attention in training against inference."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from prerec_pyro.models.transformer import Block, Dropout


@settings(max_examples=25, deadline=None)
@given(p=st.floats(0.01, 0.95), rows=st.integers(1, 7), columns=st.integers(1, 5), seed=st.integers(0, 99))
def test_elements_and_gradients_are_dropped_or_scaled(p, rows, columns, seed):
    torch.manual_seed(seed)
    x = torch.randn(rows, columns, requires_grad=True)
    y = Dropout(p)(x)
    y.sum().backward()
    kept = x.grad != 0
    torch.testing.assert_close(x.grad[kept], torch.full_like(x.grad[kept], 1 / (1 - p)))
    torch.testing.assert_close(y, x * x.grad)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_dropped_share_is_p(p):
    torch.manual_seed(0)
    ones = torch.ones(1000, 1003)
    dropped = (Dropout(p)(ones) == 0).double().mean()
    spread = (p * (1 - p) / ones.numel()) ** 0.5
    assert abs(dropped - p) < 5 * spread + 2**-17


def test_neighbours_are_dropped_independently():
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(2_000_000)) != 0).double() - 0.5
    for lag in (1, 2, 3, 4, 8):
        assert abs((kept[lag:] * kept[:-lag]).mean() / 0.25) < 5 / len(kept) ** 0.5


def test_the_seed_decides_what_is_dropped():
    def drop(seed):
        torch.manual_seed(seed)
        return Dropout(0.5)(torch.ones(64))

    assert torch.equal(drop(0), drop(0))
    assert not torch.equal(drop(0), drop(1))


def test_outside_training_and_at_zero_nothing_is_dropped():
    x = torch.randn(3, 4)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)


def test_a_view_with_gaps_keeps_its_shape_and_numbers():
    torch.manual_seed(0)
    x = torch.arange(1.0, 25.0).view(4, 6).t()[::2]
    y = Dropout(0.5)(x)
    assert y.shape == x.shape and bool(((y == 0) | (y == 2 * x)).all())


def test_bfloat16_stays_bfloat16():
    assert Dropout(0.3)(torch.ones(5, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("only_last", [False, True])
def test_attention_in_training_equals_attention_in_inference(only_last):
    torch.manual_seed(0)
    block = Block(32, 4, 64, 0.0)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    x = torch.randn(5, 17, 32)
    trained = block(x, only_last=only_last)
    with torch.no_grad():
        used = block(x, only_last=only_last)
    torch.testing.assert_close(trained, used, rtol=1e-5, atol=1e-5)


def test_a_layer_reads_no_later_item():
    torch.manual_seed(0)
    block, x = Block(32, 4, 64, 0.0), torch.randn(2, 9, 32)
    changed = x.clone()
    changed[:, 5:] += 1.0
    torch.testing.assert_close(block(changed)[:, :5], block(x)[:, :5])


def test_a_layer_can_compute_its_last_position_alone() -> None:
    torch.manual_seed(0)
    block, x = Block(8, 2, 16, 0.0).double(), torch.randn(3, 6, 8).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.4)
    torch.testing.assert_close(block(x, only_last=True), block(x)[:, -1:], rtol=1e-9, atol=1e-9)
