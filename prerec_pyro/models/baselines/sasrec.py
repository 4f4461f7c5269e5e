"""SASRec on text embeddings (Kang and McAuley, ICDM 2018; appendix C.2 of the paper)."""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from prerec_pyro.data.batching.windows import MAX_HISTORY
from prerec_pyro.models.baselines.item_network import TextItems
from prerec_pyro.models.baselines.text_sequence import TextSequenceModel
from prerec_pyro.models.transformer import Block, Dropout


class SASRecConfig(BaseModel):
    """Shapes of SASRec; plain JSON, saved with a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latent_dim: int = Field(256, ge=2, description="B")
    num_layers: int = Field(2, ge=1, le=16, description="transformer layers")
    num_heads: int = Field(2, ge=1, description="attention heads")
    feedforward: int = Field(4, ge=1, le=16, description="width of the feed-forward layers in units of B")
    text_hidden: int = Field(0, ge=0, description="width of the MLP from texts to items; 0 is a linear map")
    dropout: float = Field(0.1, ge=0, lt=1)


class SelfAttention(nn.Module):
    """A causal transformer between two of its usual steps: learned positions and dropout, and a last layer norm.

    From the paper: inputs times √B, pre-norm layers with dropout after each part, a norm at the end, scores U·V with
    the same V that is read. Left open or changed here: GELU and a feed-forward width of ``4 B`` (the paper: ReLU,
    ``B``); the layers' outputs start small, so that before training U is the direction of the last item.
    """

    def __init__(self, latent_dim: int, *, num_layers: int, num_heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.scale = latent_dim**0.5  # items have length one; inside, unit variance
        self.position = nn.Parameter(0.02 * torch.randn(MAX_HISTORY, latent_dim))
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(latent_dim, num_heads, feedforward * latent_dim, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(latent_dim)

    def forward(self, history: Tensor, positions: Tensor) -> Tensor:
        """Return U, ``(num_queries, B)``, of items ``(num_sequences, length, B)``; see `TextSequenceModel`."""
        x = self.dropout(self.scale * history + self.position[: history.shape[-2]])  # (num_sequences, length, B)
        for block in self.blocks:
            x = block(x)
        return self.norm(x.flatten(0, 1)[positions])  # (num_queries, B)


def sasrec(config: SASRecConfig, text_dim: int) -> TextSequenceModel:
    """Return an untrained SASRec."""
    f_seq = SelfAttention(
        config.latent_dim,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        feedforward=config.feedforward,
        dropout=config.dropout,
    )
    f_e = TextItems(text_dim, config.latent_dim, hidden=config.text_hidden, dropout=config.dropout)
    return TextSequenceModel(f_e, f_seq)
