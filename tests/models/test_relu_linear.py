"""`relu_linear` against PyTorch's own layer."""

from __future__ import annotations

import pytest
import torch

from prerec_pyro.models.relu_linear import BLOCK, relu_linear


@pytest.mark.parametrize("rows", [0, 1, BLOCK, 2 * BLOCK + 7])
def test_value_and_gradient_are_those_of_the_two_steps(rows: int) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(rows, 5, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    effect = torch.randn(rows, 3, dtype=torch.float64)
    found = []
    for layer in (relu_linear, lambda x, weight: (x @ weight.mT).relu()):
        own = weight.clone().requires_grad_()
        value = layer(x, own)
        (gradient,) = torch.autograd.grad((value * effect).sum(), own)
        found.append((value.detach(), gradient))
    torch.testing.assert_close(found[0], found[1])


def test_inputs_get_their_gradient_too() -> None:
    x, weight = torch.randn(4, 5, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    inputs = (x.requires_grad_(), weight.requires_grad_())
    assert torch.autograd.gradcheck(relu_linear, inputs)


def test_layer_works_under_vmap() -> None:
    x, weight = torch.randn(2, 4, 5), torch.randn(3, 5)
    found = torch.func.vmap(relu_linear, in_dims=(0, None))(x, weight)
    torch.testing.assert_close(found, (x @ weight.mT).relu())
