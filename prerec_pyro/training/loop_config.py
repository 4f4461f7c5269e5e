"""How long the training loop runs, on batches of what size, and what stops it: the same for every method."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from prerec_pyro.training.precision import Precision


class LoopConfig(BaseModel):
    """The part of a training configuration that every method shares; plain JSON, saved with a model."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: int = Field(5, ge=0, description="most passes over the largest source domain")
    patience: int = Field(4, ge=1, description="epochs without a better validation r-NDCG before stopping")
    min_steps: int = Field(20, ge=1, description="steps on each source in an epoch, at least: small sources repeat")
    batch_tokens: int = Field(2048, ge=1, description="padded positions in a batch")
    accumulate: int = Field(
        1, ge=1, description="batches of each process whose mean gradient a step takes; several processes multiply it"
    )
    num_negatives: int = Field(
        256,
        ge=1,
        description="shared by a batch, uniform in the domain; all its items where they are no more than that",
    )
    precision: Precision = Field(
        "auto", description="of products of matrices: float32, bfloat16, or the latter where it is fast (auto)"
    )
    k_percent: float = Field(0.5, gt=0, le=100, description="K% of the validation r-NDCG, at least one item")
    validation_queries: int = Field(
        1500,
        ge=1,
        description="validation queries of each domain that judge an epoch, about; more after a long training",
    )
    seed: int = Field(0, ge=0, lt=2**32)
