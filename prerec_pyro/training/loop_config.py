"""Settings of the training loop that every method shares: length, batches, precision and early stopping."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from prerec_pyro.training.precision import Precision


class LoopRecipe(BaseModel):
    """Constants of the training loop that every method shares; plain JSON, saved with a model.

    >>> LoopRecipe().min_steps
    20
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    source_exponent: float = Field(
        0.5,
        ge=0,
        le=1,
        description="a source of n queries gives a share of the batches proportional to n to this power: 1 is by size, "
        "0 is alike; no effect where a step reads all sources",
    )
    min_steps: int = Field(20, ge=1, description="least steps on each source in an epoch; small sources are repeated")
    validation_queries: int = Field(
        1500,
        ge=1,
        description="validation queries of each domain that rate an epoch, about; more after a long training, fewer of "
        "each where there are more than three domains",
    )


class LoopConfig(BaseModel):
    """The settings of training that every method shares; plain JSON, saved with a model."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: int = Field(
        5, ge=0, description="most epochs; an epoch has as many batches as the training queries of all sources fill"
    )
    patience: int = Field(4, ge=1, description="epochs without a better validation r-NDCG before training stops")
    batch_tokens: int = Field(2048, ge=1, description="padded positions in a batch")
    accumulate: int = Field(
        1, ge=1, description="batches of each process that a step averages; several processes multiply it"
    )
    num_negatives: int = Field(
        256,
        ge=1,
        description="negatives that a batch shares, uniform in the domain; a smaller domain gives all its items",
    )
    precision: Precision = Field(
        "auto", description="of matrix products: float32, bfloat16, or bfloat16 where it is faster (auto)"
    )
    k_percent: float = Field(0.5, gt=0, le=100, description="K% of the validation r-NDCG; at least one item")
    seed: int = Field(0, ge=0, lt=2**32, description="same seed, same model")
    recipe: LoopRecipe = Field(LoopRecipe(), description="constants of the recipe")
