"""GRU4Rec on text embeddings (Hidasi et al., ICLR 2016; appendix C.2 of the paper)."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor, nn

from prerec_pyro.models.baselines.base import BaselineConfig
from prerec_pyro.models.baselines.item_network import ItemNetwork
from prerec_pyro.models.baselines.text_sequence import TextSequenceModel
from prerec_pyro.models.transformer import Dropout


class GRU4RecConfig(BaselineConfig):
    """Shapes of GRU4Rec; plain JSON, saved with a model."""

    num_layers: int = Field(2, ge=1, le=16, description="GRU layers")
    text_hidden: int = Field(512, ge=0, description="width of the MLP from texts to items; 0 is a linear map")
    dropout: float = Field(0.1, ge=0, lt=1)
    carry: bool = Field(True, description="add the last item to the output of the units")


class GRUEncoder(nn.Module):
    """Gated recurrent units over the history, followed by a linear map.

    The paper leaves open, and this class decides: dropout before, between and after the units; inputs times √B,
    because items have unit length. Beyond the paper, `carry` adds the last item times a learned length to the output,
    which starts small: before training U has the direction of the last item. Without it the units first have to learn
    to remember the last item.

    Parameters
    ----------
    latent_dim
        B.
    num_layers
        Number of GRU layers.
    dropout
        Share of numbers dropped before, between and after the units.
    carry
        Whether the last item is added to the output.
    """

    def __init__(self, latent_dim: int, *, num_layers: int, dropout: float, carry: bool) -> None:
        super().__init__()
        self.scale = latent_dim**0.5
        self.dropout = Dropout(dropout)
        between = dropout if num_layers > 1 else 0.0
        self.gru = nn.GRU(latent_dim, latent_dim, num_layers, batch_first=True, dropout=between)
        self.out = nn.Linear(latent_dim, latent_dim)
        self.log_length = nn.Parameter(torch.tensor(math.log(10.0))) if carry else None
        if carry:
            nn.init.normal_(self.out.weight, std=0.1 / self.scale)
            nn.init.zeros_(self.out.bias)

    def forward(self, history: Tensor, positions: Tensor) -> Tensor:
        """Return U, ``(num_queries, B)``; see `BaselineModel.users` for the arguments."""
        state, _ = self.gru(self.dropout(self.scale * history))  # (num_sequences, length, B)
        U = self.out(self.dropout(state.flatten(0, 1)[positions]))  # (num_queries, B)
        if self.log_length is None:
            return U
        return U + self.log_length.exp() * history.flatten(0, 1)[positions]


def gru4rec(config: GRU4RecConfig, text_dim: int) -> TextSequenceModel:
    """Return an untrained GRU4Rec for text embeddings of length `text_dim`."""
    f_seq = GRUEncoder(config.latent_dim, num_layers=config.num_layers, dropout=config.dropout, carry=config.carry)
    f_e = ItemNetwork(text_dim, config.latent_dim, hidden=config.text_hidden, dropout=config.dropout)
    return TextSequenceModel(f_e, f_seq, text_dim)
