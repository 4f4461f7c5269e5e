"""A linear layer with ReLU on very many short rows, computed a block of rows at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 1024
"""Rows computed at a time: with 256 outputs they stay in the CPU cache."""


def relu_linear(x: Tensor, weight: Tensor) -> Tensor:
    """Return ``relu(x @ weight.mT)``, ``(num_rows, num_outputs)``, with the same gradients.

    In training on a CPU, the time of such a layer goes into memory: each pass over an output of tens of megabytes
    costs more than the product. Here product, activation and their gradients share a pass. Elsewhere, and where `x`
    needs a gradient, PyTorch computes both steps.

    Parameters
    ----------
    x
        ``(num_rows, num_inputs)``.
    weight
        ``(num_outputs, num_inputs)``.

    Examples
    --------
    >>> relu_linear(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
    tensor([[3., 0.]])
    """
    is_trained = torch.is_grad_enabled() and weight.requires_grad and not x.requires_grad
    if x.device.type != "cpu" or not is_trained or x.dtype != weight.dtype:
        return (x @ weight.mT).relu_()
    return _ReluLinear.apply(x, weight)


class _ReluLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        found = x.new_empty(len(x), len(weight))
        for rows, out in zip(x.split(BLOCK), found.split(BLOCK), strict=True):
            torch.mm(rows, weight.mT, out=out).relu_()
        ctx.save_for_backward(x, weight, found)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        x, weight, found = ctx.saved_tensors
        total = torch.zeros_like(weight)
        own = gradient.new_empty(min(BLOCK, len(x)), len(weight))
        for rows, out, above in zip(x.split(BLOCK), found.split(BLOCK), gradient.split(BLOCK), strict=True):
            part = torch.ops.aten.threshold_backward.grad_input(above, out, 0, grad_input=own[: len(rows)])
            total.addmm_(part.mT, rows)
        return None, total
