"""`pooled_products` against the same formula differentiated by PyTorch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from prerec_pyro.inference.calibration.pooling import pooled_products


def by_formula(fading: Tensor, contrast: Tensor, products: Tensor, is_interest: Tensor) -> Tensor:
    logits = (-fading * torch.arange(products.shape[1])).masked_fill(~is_interest, -torch.inf)
    return (logits.log_softmax(1)[..., None] + contrast * products).logsumexp(1) / contrast


@pytest.mark.parametrize("contrast", [0.05, 4.5, 400.0])
def test_value_and_gradient_are_those_of_the_formula(contrast: float) -> None:
    torch.manual_seed(0)
    products = torch.randn(6, 4, 7, dtype=torch.float64).clamp(-1, 1)
    is_interest = torch.arange(4) < torch.tensor([1, 2, 3, 4, 4, 1])[:, None]
    products = products.where(is_interest[..., None], products[:, :1])
    effect, found = torch.randn(6, 7, dtype=torch.float64), []
    for pooled in (pooled_products, by_formula):
        settings = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.3, contrast)]
        value = pooled(*settings, products, is_interest)
        found.append((value.detach(), *torch.autograd.grad((effect * value).sum(), settings)))
    torch.testing.assert_close(found[0], found[1])
