"""Shapes of the graphs, as configurations that are saved with a model."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class GraphConfig(BaseModel):
    """Shapes of the networks that every graph has; plain JSON. The base of the configuration of each graph."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    latent_dim: int = Field(256, ge=2, description="B, the length of D, Z, V and U")
    num_layers: int = Field(2, ge=1, le=16, description="transformer layers of f_seq")
    num_heads: int = Field(2, ge=1, description="attention heads of f_seq; a divisor of latent_dim")
    feedforward: int = Field(4, ge=1, le=16, description="width of the feed-forward layers in units of B")
    dropout: float = Field(0.5, ge=0, lt=1, description="share dropped after attention and feed-forward")
    history_dropout: float = Field(0.3, ge=0, lt=1, description="share dropped of the vectors of a history")
    sharpness: float = Field(10.0, gt=0, description="length of U before training: how sharply U·V tells items apart")

    def shapes(self) -> dict[str, Any]:
        """Return the settings that all graphs share, by name: those of f_seq."""
        return {name: getattr(self, name) for name in GraphConfig.model_fields}

    @model_validator(mode="after")
    def _check_heads(self) -> GraphConfig:
        if self.latent_dim % self.num_heads:
            raise ValueError(f"latent_dim {self.latent_dim} is no multiple of num_heads {self.num_heads}")
        return self


class PaperConfig(GraphConfig):
    """Configuration of `PaperGraph`: Fig. 1 and eqs. 1–3 of the paper.

    >>> PaperConfig(latent_dim=64).num_heads
    2
    """


class ExtendedConfig(GraphConfig):
    """Configuration of `ExtendedGraph`, the default: the paper's graph and what ranks better on validation data.

    A history is read by its interests, and f_seq corrects what they say: one small layer does that as well as two large
    ones on stores that took part in nothing, in half the time.

    >>> ExtendedConfig(latent_dim=64).num_layers
    1
    """

    num_layers: int = Field(1, ge=1, le=16, description="transformer layers of f_seq")
    feedforward: int = Field(1, ge=1, le=16, description="width of the feed-forward layers in units of B")
    num_interests: int = Field(20, ge=1, le=64, description="last items of a history that each are an interest")
    popularity_windows: bool = Field(True, description="whether popularity counts in several windows")


class UnconfoundedConfig(GraphConfig):
    """Configuration of `UnconfoundedGraph`: the paper's PreRec_n, without D and Z.

    >>> UnconfoundedConfig().latent_dim
    256
    """
