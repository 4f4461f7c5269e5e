"""Shapes of the graph, and which of its parts are switched on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class GraphConfig(BaseModel):
    """Shapes of the graph and which of its parts are switched on; plain JSON, saved with a model."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    latent_dim: int = Field(256, ge=2, description="B")
    num_layers: int = Field(2, ge=1, le=16, description="transformer layers of f_seq")
    num_heads: int = Field(2, ge=1, description="attention heads of f_seq")
    feedforward: int = Field(4, ge=1, le=16, description="width of the feed-forward layers in units of B")
    dropout: float = Field(0.5, ge=0, lt=1, description="share dropped after attention and feed-forward")
    history_dropout: float = Field(0.3, ge=0, lt=1, description="share dropped of the vectors of a history")
    sharpness: float = Field(10.0, gt=0, description="length of U before training: how sharply U·V tells items apart")
    confounders: bool = Field(True, description="nodes D and Z; off is PreRec_n")
    domain_to_item: bool = Field(False, description="the edge D → V of Fig. 1")
    popularity_to_item: bool = Field(False, description="the edge Z → V of Fig. 1")
    item_to_user: bool = Field(
        True,
        description="the edge V → U: a history is read as the vectors of its items, and not as f_e of their texts; "
        "not in Fig. 1, and off under Z → V",
    )
    repeats: bool = Field(
        True, description="the effect of H on R: was an item met before, and how often such were taken"
    )
    wandering: bool = Field(True, description="some choices do not follow the history; not in eq. 2")
    strengths: bool = Field(True, description="node S: how much the effects weigh in a domain; not in Fig. 1")
