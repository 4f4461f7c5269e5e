"""The item network of UniSRec: parametric whitening by several experts, weighted by a gate (sec. 2.1 of its paper)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prerec_pyro.models.networks import TextEncoder
from prerec_pyro.models.transformer import Dropout


class WhiteningExperts(nn.Module):
    """Σ_k g_k · (x - b_k) W_k, gates g = softmax(x·W_g + δ), in training with noise δ = ε · (softplus(x·W_δ) + 0.01).

    From the paper: whitening with a learned bias and map for each expert, gating with Gaussian noise over all experts
    (none is left out), gates that start equal. Left open by the paper, or changed here: texts have unit length, so the
    gates read x times √text_dim; each expert starts at the principal directions of the texts, a little apart from the
    others.

    Parameters
    ----------
    text_dim, latent_dim
        Length of X_j, and B.
    num_experts
        Number of experts, 8 in the paper.
    dropout
        Share of the text embedding that is dropped before the experts read it.
    """

    def __init__(self, text_dim: int, latent_dim: int, *, num_experts: int, dropout: float) -> None:
        super().__init__()
        self.text_scale = text_dim**0.5
        self.dropout = Dropout(dropout)
        self.bias = nn.Parameter(torch.zeros(num_experts, text_dim))
        self.weight = nn.Parameter(torch.empty(num_experts, text_dim, latent_dim))
        self.gate = nn.Parameter(torch.zeros(text_dim, num_experts))
        self.noise = nn.Parameter(torch.zeros(text_dim, num_experts))
        self._scatter(TextEncoder(text_dim, latent_dim))

    def start_from(self, texts: Sequence[Tensor]) -> None:
        """Start every expert near the principal directions of the domains' texts, ``(num_items, text_dim)`` each."""
        text_dim, latent_dim = self.weight.shape[1:]
        base = TextEncoder(text_dim, latent_dim)
        base.start_from(texts)
        self._scatter(base)

    def gates(self, texts: Tensor) -> Tensor:
        """Return g, ``(num_rows, num_experts)``, from X, ``(num_rows, text_dim)``; in training with noise."""
        x = self.text_scale * texts
        logits = x @ self.gate
        if self.training:
            logits = logits + torch.randn_like(logits) * (F.softplus(x @ self.noise) + 1e-2)
        return logits.softmax(-1)

    def forward(self, texts: Tensor) -> Tensor:
        """Return item vectors, ``(num_rows, B)``, from X, ``(num_rows, text_dim)``."""
        gates, x = self.gates(texts), self.dropout(texts)
        # Σ_k g_k (x W_k - b_k W_k): the maps of all experts are one product.
        whitened = x @ self.weight.transpose(0, 1).flatten(1)  # (num_rows, num_experts * B)
        shift = (self.bias[:, None] @ self.weight).squeeze(1)  # (num_experts, B)
        whitened = whitened.unflatten(-1, shift.shape) - shift  # (num_rows, num_experts, B)
        return (gates[:, None] @ whitened).squeeze(1)  # (num_rows, B)

    @torch.no_grad()
    def _scatter(self, base: TextEncoder) -> None:
        """Start each expert at the map of `base` plus a tenth of its spread as noise."""
        near = base.linear.weight.mT  # (text_dim, B)
        self.weight.copy_(near + 0.1 * near.std() * torch.randn_like(self.weight))
