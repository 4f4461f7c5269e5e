"""UniSRec (Hou et al., KDD 2022): contrastive pre-training on several domains, then fine-tuning on the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.baselines.contrastive_loss import contrast_items, contrast_sequences, drop_items, ends
from prerec_pyro.models.baselines.sasrec import SelfAttention
from prerec_pyro.models.baselines.text_sequence import offsets_of, sampled_softmax
from prerec_pyro.models.baselines.whitening_experts import WhiteningExperts


class UniSRecConfig(BaseModel):
    """Shapes and losses of UniSRec; plain JSON, saved with a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latent_dim: int = Field(256, ge=2, description="B")
    num_layers: int = Field(2, ge=1, le=16, description="transformer layers")
    num_heads: int = Field(2, ge=1, description="attention heads")
    feedforward: int = Field(4, ge=1, le=16, description="width of the feed-forward layers in units of B")
    dropout: float = Field(0.1, ge=0, lt=1, description="of the sequence encoder")
    num_experts: int = Field(8, ge=1, description="experts of the item network")
    expert_dropout: float = Field(0.2, ge=0, lt=1, description="of the texts that an expert reads")
    temperature: float = Field(0.07, gt=0, description="of the cosine of user and item")
    sequence_weight: float = Field(1e-3, ge=0, description="of the sequence-sequence loss, λ")
    drop_ratio: float = Field(0.2, ge=0, lt=1, description="share of items dropped from an augmented sequence")
    tuning: Literal["inductive", "transductive"] = Field(
        "inductive", description="fine-tune on texts alone, or with a vector for each item"
    )
    tune_encoder: bool = Field(True, description="fine-tune the sequence encoder too")


class UniSRec(nn.Module):
    """Scores cos(U, V) / τ; items by experts that whiten their texts, users by self-attention.

    Pre-training reads a batch of every source in each step and contrasts a query with its next item, among the next
    items of all queries of all domains, and, with weight λ, a sequence with the same one short of some items.
    Fine-tuning freezes the attention layers and positions, as in its paper, and minimises the cross-entropy of the next
    item; ``"transductive"`` adds a vector for each item, read and scored.

    Left open, or changed here: the encoder is SASRec's of this package (pre-norm; the paper's code: post-norm); the
    history reads V at unit length; each position of a sequence is a query, and a sequence is contrasted once; words
    are not dropped, for that needs the sentence encoder in each step; a same target elsewhere in the batch is left out
    of the denominator (the code puts it at similarity 0); item vectors start at 0; the fine-tuning softmax is sampled
    in the domain, as in all methods here, where the code ranks the whole catalogue.

    Parameters
    ----------
    config
        Shapes and losses.
    text_dim
        Length of X_j.
    num_rows
        Items of the domain that is fine-tuned on.
    tuned
        Whether this is the model that is fine-tuned, or was.
    """

    def __init__(self, config: UniSRecConfig, text_dim: int, num_rows: int, *, tuned: bool) -> None:
        super().__init__()
        self.config = config
        self.tuned = tuned
        self.f_e = WhiteningExperts(
            text_dim, config.latent_dim, num_experts=config.num_experts, dropout=config.expert_dropout
        )
        self.f_seq = SelfAttention(
            config.latent_dim,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            feedforward=config.feedforward,
            dropout=config.dropout,
        )
        self.table: nn.Embedding | None = None
        if tuned and config.tuning == "transductive":
            self.table = nn.Embedding(num_rows, config.latent_dim, sparse=True)
            nn.init.zeros_(self.table.weight)
        if tuned and not config.tune_encoder:
            self.f_seq.position.requires_grad_(False)
            self.f_seq.blocks.requires_grad_(False)

    @property
    def together(self) -> bool:
        """Whether a step reads a batch of every source: in pre-training."""
        return not self.tuned

    def start_from(self, texts: Sequence[Tensor]) -> None:
        """Start the experts near the principal directions of the domains' texts; see `WhiteningExperts`."""
        self.f_e.start_from(texts)

    def items(self, texts: Tensor, rows: Tensor) -> Tensor:
        """Return V, ``(num_rows, B)`` of unit length, of X and the items' rows in the table, -1 for none."""
        V = self.f_e(texts)
        if self.table is not None:
            V = V + offsets_of(self.table, rows)
        return F.normalize(V, dim=-1)

    def users(self, history: Tensor, positions: Tensor) -> Tensor:
        """Return U / τ, ``(num_queries, B)``, U of unit length; see `SelfAttention`."""
        return F.normalize(self.f_seq(history, positions), dim=-1) / self.config.temperature

    def forward(self, *batches: Batch) -> Tensor:
        """Return the loss of this stage, a scalar in nats a query."""
        return self._next_item(*batches) if self.tuned else self._contrastive(*batches)

    def _next_item(self, *batches: Batch) -> Tensor:
        losses = []
        for batch in batches:
            V = self.items(batch.texts, batch.item_rows)  # (num_rows, B)
            losses.append(sampled_softmax(self.users(V[batch.history], batch.positions), V, batch))
        return torch.stack(losses).mean()

    def _contrastive(self, *batches: Batch) -> Tensor:
        users, items, targets, whole, short, last_targets = [], [], [], [], [], []
        first = 0  # items of different domains are different
        for batch in batches:
            V = self.items(batch.texts, batch.item_rows)  # (num_rows, B)
            U = self.users(V[batch.history], batch.positions)  # (num_queries, B)
            users.append(U)
            items.append(V)
            targets.append(batch.targets + first)
            first += len(V)
            if self.config.sequence_weight:
                last = ends(batch)  # (num_sequences,)
                dropped = drop_items(batch, self.config.drop_ratio)
                whole.append(U[last])
                short.append(self.users(V[dropped.history], dropped.positions))
                last_targets.append(targets[-1][last])
        loss = contrast_items(torch.cat(users), torch.cat(items), torch.cat(targets))
        if not self.config.sequence_weight:
            return loss
        unit = self.config.temperature * torch.cat(short)  # both are divided by τ; one of them is enough
        alike = contrast_sequences(torch.cat(whole), unit, torch.cat(last_targets))
        return loss + self.config.sequence_weight * alike
