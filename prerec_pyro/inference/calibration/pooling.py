"""The mixture of a history's interests as a function of two numbers, with its derivatives by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def pooled_products(fading: Tensor, contrast: Tensor, products: Tensor, is_interest: Tensor) -> Tensor:
    """Return ``log Σ_a w_a exp(β P_a) / β`` with ``w_a ∝ exp(-fading · a)``, ``(num_queries, num_rivals)``.

    Its two derivatives are small, and are computed with it. So the gradient needs none of the many numbers in between.

    Parameters
    ----------
    fading, contrast
        Scalars: the rate, and β.
    products
        P, ``(num_queries, num_interests, num_rivals)``, the latest interest first, and in place of one that there is
        not the latest again.
    is_interest
        ``(num_queries, num_interests)`` bool, True for the first at least.

    Examples
    --------
    >>> products = torch.tensor([[[1.0], [0.0]]])
    >>> pooled_products(torch.tensor(0.0), torch.tensor(1.0), products, torch.tensor([[True, True]])).round(decimals=3)
    tensor([[0.6200]])
    """
    found: Tensor = _Pooled.apply(fading, contrast, products, is_interest)
    return found


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, fading: Tensor, contrast: Tensor, products: Tensor, is_interest: Tensor) -> Tensor:
        age = torch.arange(products.shape[1], dtype=products.dtype)
        logits = (-fading * age).expand(is_interest.shape).masked_fill(~is_interest, -torch.inf)
        weights = logits.softmax(1)[:, None]  # (num_queries, 1, num_interests)
        older = weights * ((weights * age).sum(-1, keepdim=True) - age)  # their derivative by the rate
        highest = contrast * products.amax(1, keepdim=True)  # (num_queries, 1, num_rivals)
        powers = (contrast * products).sub_(highest).exp_()  # (num_queries, num_interests, num_rivals)
        total, by_fading = (torch.cat([weights, older], 1) @ powers).unbind(1)  # each (num_queries, num_rivals)
        by_contrast = (weights @ powers.mul_(products)).squeeze(1)
        total.clamp_min_(torch.finfo(total.dtype).tiny)
        found = (total.log() + highest[:, 0]) / contrast
        ctx.save_for_backward(by_fading / total / contrast, (by_contrast / total - found) / contrast)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        by_fading, by_contrast = ctx.saved_tensors
        return (gradient * by_fading).sum(), (gradient * by_contrast).sum(), None, None
