"""The network from texts to items of GRU4Rec, SASRec and ZESRec, which their papers leave open."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from prerec_pyro.models.networks import TextEncoder
from prerec_pyro.models.transformer import Dropout


class ItemNetwork(nn.Module):
    """V = W X + an MLP of X that starts at zero.

    A linear map alone cannot separate items with nearly equal texts. The MLP can, and it needs no item id either.

    Parameters
    ----------
    text_dim, latent_dim
        Length of X_j, and B.
    hidden
        Width of the MLP; 0 leaves it out.
    dropout
        Share of numbers dropped in the MLP.
    """

    def __init__(self, text_dim: int, latent_dim: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.linear = TextEncoder(text_dim, latent_dim)
        self.scale = text_dim**0.5  # texts have unit length; the MLP reads unit variance
        self.expand = nn.Linear(text_dim, hidden) if hidden else None
        self.contract = nn.Linear(hidden, latent_dim, bias=False) if hidden else None
        self.dropout = Dropout(dropout)
        if self.contract is not None:
            nn.init.zeros_(self.contract.weight)

    def start_from(self, texts: Sequence[Tensor]) -> None:
        """Start W at the principal directions of the domains' texts; see `TextEncoder.start_from`."""
        self.linear.start_from(texts)

    def forward(self, texts: Tensor) -> Tensor:
        """Return V, ``(num_rows, B)``, from X, ``(num_rows, text_dim)``."""
        V = self.linear(texts)
        if self.expand is None or self.contract is None:
            return V
        return V + self.contract(self.dropout(F.gelu(self.expand(self.scale * texts))))
