"""UniSRec (Hou et al., KDD 2022): contrastive pre-training on several domains, then fine-tuning on the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.baselines.base import BaselineConfig, BaselineModel, targets_of
from prerec_pyro.models.baselines.contrastive_loss import (
    drop_items,
    item_contrastive_loss,
    last_queries,
    sequence_contrastive_loss,
)
from prerec_pyro.models.baselines.sasrec import SelfAttentionEncoder
from prerec_pyro.models.baselines.text_sequence import item_offsets, next_item_loss
from prerec_pyro.models.baselines.whitening_experts import WhiteningExperts


class UniSRecConfig(BaselineConfig):
    """Shapes and losses of UniSRec; plain JSON, saved with a model."""

    num_layers: int = Field(2, ge=1, le=16, description="transformer layers")
    num_heads: int = Field(2, ge=1, description="attention heads")
    feedforward: int = Field(4, ge=1, le=16, description="width of the feed-forward layers in units of B")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout of the sequence encoder")
    num_experts: int = Field(8, ge=1, description="experts of the item network")
    expert_dropout: float = Field(0.2, ge=0, lt=1, description="dropout of the texts that an expert reads")
    temperature: float = Field(0.07, gt=0, description="temperature of the cosine of user and item")
    sequence_weight: float = Field(1e-3, ge=0, description="weight λ of the sequence-sequence loss")
    drop_ratio: float = Field(0.2, ge=0, lt=1, description="share of items dropped from an augmented sequence")
    tuning: Literal["inductive", "transductive"] = Field(
        "inductive", description="fine-tune on texts alone, or with a vector for each item"
    )
    tune_encoder: bool = Field(True, description="fine-tune the sequence encoder too")


class UniSRec(BaselineModel):
    """Scores cos(U, V) / τ, with V from experts that whiten the texts and U from self-attention.

    Pre-training reads a batch of every source in each step. It contrasts a query with its next item, among the next
    items of all queries of all domains, and, with weight λ, a sequence with the same sequence without some items.
    Fine-tuning minimises the cross-entropy of the next item; ``tune_encoder=False`` freezes the attention layers and
    positions, as in the paper; ``"transductive"`` adds a vector for each item, read and scored.

    Left open by the paper, or changed here: the encoder is that of SASRec in this package (pre-norm; the paper's code:
    post-norm); the history reads V at unit length; each position of a sequence is a query, and a sequence is
    contrasted once; words are not dropped, because that needs the sentence encoder in each step; an equal target
    elsewhere in the batch is left out of the denominator (the code sets its similarity to 0); item vectors start at 0;
    the fine-tuning softmax is sampled in the domain, as for all methods here, while the code ranks the whole
    catalogue.

    Parameters
    ----------
    config
        Shapes and losses.
    text_dim
        Length of X_j.
    num_rows
        Number of items of the domain to fine-tune on.
    tuned
        Whether the model is to be fine-tuned, or was.
    """

    def __init__(self, config: UniSRecConfig, text_dim: int, num_rows: int, *, tuned: bool) -> None:
        super().__init__(text_dim, joint_sources=not tuned)
        self.config = config
        self.tuned = tuned
        self.f_e = WhiteningExperts(
            text_dim, config.latent_dim, num_experts=config.num_experts, dropout=config.expert_dropout
        )
        self.f_seq = SelfAttentionEncoder(
            config.latent_dim,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            feedforward=config.feedforward,
            dropout=config.dropout,
        )
        if tuned and config.tuning == "transductive":
            self.table = nn.Embedding(num_rows, config.latent_dim, sparse=True)
            nn.init.zeros_(self.table.weight)
        if tuned and not config.tune_encoder:
            self.f_seq.position.requires_grad_(False)
            self.f_seq.blocks.requires_grad_(False)

    def start_from(self, texts: Sequence[Tensor]) -> None:
        """Start the experts near the principal directions of the domains' texts; see `WhiteningExperts`."""
        self.f_e.start_from(texts)

    def items(self, texts: Tensor, rows: Tensor) -> Tensor:
        """Return V, ``(num_rows, B)`` of unit length, from X and the rows of the items in the table, -1 for none."""
        V = self.f_e(texts)
        if self.table is not None:
            V = V + item_offsets(self.table, rows)
        return F.normalize(V, dim=-1)

    def users(self, history: Tensor, positions: Tensor) -> Tensor:
        """Return U / τ, ``(num_queries, B)``, with U of unit length."""
        return F.normalize(self.f_seq(history, positions), dim=-1) / self.config.temperature

    def forward(self, *batches: Batch) -> Tensor:
        """Return the loss of pre-training or of fine-tuning, a scalar in nats per query."""
        if self.tuned:
            return torch.stack([next_item_loss(self, batch) for batch in batches]).mean()
        return self._contrastive(*batches)

    def _contrastive(self, *batches: Batch) -> Tensor:
        users, items, targets = [], [], []
        sequences, augmented, next_items = [], [], []
        first = 0  # items of different domains are different
        for batch in batches:
            V = self.items(batch.texts, batch.item_rows)  # (num_rows, B)
            U = self.users(V[batch.history], batch.positions)  # (num_queries, B)
            users.append(U)
            items.append(V)
            targets.append(targets_of(batch) + first)
            first += len(V)
            if self.config.sequence_weight:
                last = last_queries(batch)  # (num_sequences,)
                dropped = drop_items(batch, self.config.drop_ratio)
                sequences.append(U[last])
                augmented.append(self.users(V[dropped.history], dropped.positions))
                next_items.append(targets[-1][last])
        loss = item_contrastive_loss(torch.cat(users), torch.cat(items), torch.cat(targets))
        if not self.config.sequence_weight:
            return loss
        unit = self.config.temperature * torch.cat(augmented)  # only one side is divided by τ
        between = sequence_contrastive_loss(torch.cat(sequences), unit, torch.cat(next_items))
        return loss + self.config.sequence_weight * between
