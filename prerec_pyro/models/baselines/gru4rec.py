"""GRU4Rec on text embeddings (Hidasi et al., ICLR 2016; appendix C.2 of the paper)."""

from __future__ import annotations

import math

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from prerec_pyro.models.baselines.item_network import TextItems
from prerec_pyro.models.baselines.text_sequence import TextSequenceModel
from prerec_pyro.models.transformer import Dropout


class GRU4RecConfig(BaseModel):
    """Shapes of GRU4Rec; plain JSON, saved with a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latent_dim: int = Field(256, ge=2, description="B")
    num_layers: int = Field(2, ge=1, le=16, description="GRU layers")
    text_hidden: int = Field(512, ge=0, description="width of the MLP from texts to items; 0 is a linear map")
    dropout: float = Field(0.1, ge=0, lt=1)
    carry: bool = Field(True, description="add the last item to the output of the units")


class GatedRecurrence(nn.Module):
    """Gated recurrent units over the history, and a linear map of their output.

    Left open: dropout before, between and after the units; inputs times √B, as items have length one. Beyond the
    paper, with `carry`, the last item times a learnt length is added to the output, which starts small: before training
    U is the direction of the last item. Without it the units first have to learn to remember what came last.
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
        """Return U, ``(num_queries, B)``, of items ``(num_sequences, length, B)``; see `TextSequenceModel`."""
        state, _ = self.gru(self.dropout(self.scale * history))  # (num_sequences, length, B)
        U = self.out(self.dropout(state.flatten(0, 1)[positions]))  # (num_queries, B)
        if self.log_length is None:
            return U
        return U + self.log_length.exp() * history.flatten(0, 1)[positions]


def gru4rec(config: GRU4RecConfig, text_dim: int) -> TextSequenceModel:
    """Return an untrained GRU4Rec."""
    f_seq = GatedRecurrence(config.latent_dim, num_layers=config.num_layers, dropout=config.dropout, carry=config.carry)
    f_e = TextItems(text_dim, config.latent_dim, hidden=config.text_hidden, dropout=config.dropout)
    return TextSequenceModel(f_e, f_seq)
