"""SASRec on text embeddings (Kang and McAuley, ICDM 2018; appendix C.2 of the paper)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from prerec_pyro.data.batching.windows import MAX_HISTORY
from prerec_pyro.models.baselines.base import BaselineConfig
from prerec_pyro.models.baselines.item_network import ItemNetwork
from prerec_pyro.models.baselines.text_sequence import TextSequenceModel
from prerec_pyro.models.transformer import Block, Dropout


class SASRecConfig(BaselineConfig):
    """Shapes of SASRec; plain JSON, saved with a model."""

    num_layers: int = Field(2, ge=1, le=16, description="transformer layers")
    num_heads: int = Field(2, ge=1, description="attention heads")
    feedforward: int = Field(4, ge=1, le=16, description="width of the feed-forward layers in units of B")
    text_hidden: int = Field(0, ge=0, description="width of the MLP from texts to items; 0 is a linear map")
    dropout: float = Field(0.1, ge=0, lt=1)


class SelfAttentionEncoder(nn.Module):
    """A causal transformer over the history: learned positions and dropout before it, a layer norm after it.

    From the paper: inputs times √B, pre-norm layers with dropout after each part, a norm at the end, scores U·V with
    the same V that the history reads. Left open or changed here: GELU and a feed-forward width of ``4 B`` (the paper:
    ReLU, ``B``); the outputs of the layers start small, so that before training U has the direction of the last item.

    Parameters
    ----------
    latent_dim
        B.
    num_layers, num_heads
        Transformer layers, and attention heads of each.
    feedforward
        Width of the feed-forward layers in units of B.
    dropout
        Share of numbers dropped from the inputs and after each part of a layer.
    """

    def __init__(self, latent_dim: int, *, num_layers: int, num_heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.scale = latent_dim**0.5  # items have unit length; the layers read unit variance
        self.position = nn.Parameter(0.02 * torch.randn(MAX_HISTORY, latent_dim))
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(latent_dim, num_heads, feedforward * latent_dim, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(latent_dim)

    def forward(self, history: Tensor, positions: Tensor) -> Tensor:
        """Return U, ``(num_queries, B)``; see `BaselineModel.users` for the arguments."""
        x = self.dropout(self.scale * history + self.position[: history.shape[-2]])  # (num_sequences, length, B)
        for block in self.blocks:
            x = block(x)
        return self.norm(x.flatten(0, 1)[positions])  # (num_queries, B)


def sasrec(config: SASRecConfig, text_dim: int) -> TextSequenceModel:
    """Return an untrained SASRec for text embeddings of length `text_dim`."""
    f_seq = SelfAttentionEncoder(
        config.latent_dim,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        feedforward=config.feedforward,
        dropout=config.dropout,
    )
    f_e = ItemNetwork(text_dim, config.latent_dim, hidden=config.text_hidden, dropout=config.dropout)
    return TextSequenceModel(f_e, f_seq, text_dim)
