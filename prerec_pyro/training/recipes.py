"""Recipes of training for PreRec: pre-training, fine-tuning, and fine-tuning on few queries.

`TrainConfig` holds the settings that a person chooses. Its field ``recipe`` holds the constants, a `Recipe`. Each of
the three recipes below is one value, read from top to bottom; docs/decisions has the measurements behind it.
"""

from __future__ import annotations

from pydantic import Field

from prerec_pyro.training.loop_config import LoopConfig, LoopRecipe

FEW_QUERIES = 100_000
"""Training queries below which a domain is fine-tuned by `FEW_SHOT`."""


class Recipe(LoopRecipe):
    """Constants of a training run of PreRec; plain JSON, saved with a model.

    Rates are Adam's and decay linearly to zero. A rule scales a rate by a power of r, the training queries of the
    largest domain divided by the number that the rule names, at most 1. None switches a rule off.

    >>> Recipe(min_steps=1).domain_rate
    0.0003
    """

    popularity_rate: float = Field(
        3e-3, ge=0, description="of f_pop, W_z and W_d, and of parameters that a graph of one's own adds"
    )
    repeat_rate: float = Field(1e-1, ge=0, description="of w_h, the effect of a repeat in training")
    domain_rate: float = Field(3e-4, ge=0, description="of D")
    effect_scale_rate: float = Field(3e-2, ge=0, description="of S, where it is free")
    scale_rate: float = Field(3e-2, ge=0, description="of random scales of priors, in e-folds")
    full_learning_rate_queries: int | None = Field(
        FEW_QUERIES, ge=1, description="queries from which learning_rate is whole; below, it is scaled by r^1.5"
    )
    full_item_rate_queries: int | None = Field(
        None, ge=1, description="queries from which text_rate and item_rate are whole; below, they are scaled by r^0.5"
    )
    full_popularity_rate_queries: int | None = Field(
        None,
        ge=1,
        description="queries from which popularity_rate is whole where popularity was learnt before; below, it is "
        "scaled by r^1.5",
    )
    hold_effect_scales_below: int | None = Field(
        None,
        ge=1,
        description="queries below which fine-tuning holds w_h at 0 and U at its first length; both are estimated "
        "from the log afterwards",
    )


class TrainConfig(LoopConfig):
    """The settings of training PreRec. Learning rates are Adam's and decay linearly to zero.

    The defaults are `PRE_TRAINING`.

    >>> TrainConfig(epochs=2).learning_rate
    5e-05
    >>> TrainConfig() == PRE_TRAINING
    True
    """

    learning_rate: float = Field(5e-5, ge=0, description="of f_seq and f_item")
    text_rate: float = Field(1e-5, ge=0, description="of f_e")
    item_rate: float = Field(3e-4, ge=0, description="of the item offsets, in units of V")
    recipe: Recipe = Field(Recipe(), description="constants of the recipe")

    def for_queries(self, num_queries: int) -> TrainConfig:
        """Return the settings with the rates for that many training queries, by the rules of the recipe.

        A few rows at large steps undo what pre-training knew. A sequence network learns few rows by heart long before
        they teach it anything, so its rate falls faster. So does the rate of popularity: which items are popular is
        known, and how much popularity counts is S, which is estimated from the log.
        """

        def share(queries: int | None) -> float:
            return 1.0 if queries is None else min(1.0, num_queries / queries)

        recipe = self.recipe
        items = share(recipe.full_item_rate_queries) ** 0.5
        popularity_rate = share(recipe.full_popularity_rate_queries) ** 1.5 * recipe.popularity_rate
        return self.model_copy(
            update={
                "learning_rate": share(recipe.full_learning_rate_queries) ** 1.5 * self.learning_rate,
                "text_rate": items * self.text_rate,
                "item_rate": items * self.item_rate,
                "recipe": recipe.model_copy(update={"popularity_rate": popularity_rate}),
            }
        )


PRE_TRAINING = TrainConfig(
    epochs=5,  # early stopping decides
    patience=4,
    batch_tokens=2048,
    num_negatives=256,  # an exact softmax ranked no better zero-shot
    learning_rate=5e-5,  # the sequences of small sources are not those of the target: f_seq stays near its start,
    text_rate=1e-5,  # and f_e near the principal directions of the texts
    item_rate=3e-4,
    k_percent=0.5,
    recipe=Recipe(
        source_exponent=0.5,
        min_steps=20,  # small sources are repeated
        validation_queries=1500,
        popularity_rate=3e-3,  # small sources do teach how much popularity counts,
        repeat_rate=1e-1,  # and how much a repeat does
        domain_rate=3e-4,
        effect_scale_rate=3e-2,
        scale_rate=3e-2,
        full_learning_rate_queries=FEW_QUERIES,  # f_seq of smaller sources did not carry over
        full_item_rate_queries=None,  # zero-shot ranked worse where these rates fell too
        full_popularity_rate_queries=None,  # nothing is known of popularity before
        hold_effect_scales_below=None,
    ),
)
"""Pre-training for zero-shot use, the default of `PreRec`; chosen on validation users.

To train from scratch on one large domain for its own sake, use `FINE_TUNING`.
"""

FINE_TUNING = TrainConfig(
    epochs=10,
    patience=4,
    batch_tokens=2048,
    num_negatives=8192,  # few negatives miss the close rivals: the softmax is exact up to 8,192 items
    learning_rate=2e-3,  # there is enough to learn the target's own sequences,
    text_rate=2e-3,  # texts
    item_rate=3e-3,  # and items from
    k_percent=0.5,
    recipe=Recipe(
        source_exponent=0.5,
        min_steps=20,
        validation_queries=1500,
        popularity_rate=3e-3,
        repeat_rate=1e-1,
        domain_rate=3e-4,
        effect_scale_rate=3e-2,
        scale_rate=3e-2,
        full_learning_rate_queries=None,
        full_item_rate_queries=None,
        full_popularity_rate_queries=None,
        hold_effect_scales_below=None,
    ),
)
"""Fine-tuning on 100,000 training queries or more."""

FEW_SHOT = TrainConfig(
    epochs=10,
    patience=4,
    batch_tokens=2048,
    num_negatives=8192,
    learning_rate=2e-3,
    text_rate=2e-3,
    item_rate=3e-3,
    k_percent=0.5,
    recipe=Recipe(
        source_exponent=0.5,
        min_steps=20,
        validation_queries=1500,
        popularity_rate=3e-3,
        repeat_rate=1e-1,
        domain_rate=3e-4,
        effect_scale_rate=3e-2,
        scale_rate=3e-2,
        full_learning_rate_queries=FEW_QUERIES,  # a sequence network learns few rows by heart,
        full_item_rate_queries=FEW_QUERIES,  # texts and items less so
        full_popularity_rate_queries=FEW_QUERIES,  # the sources taught popularity, and a few rows would undo it
        hold_effect_scales_below=FEW_QUERIES,  # where w_h rules out seen items, U·V learns nothing from them
    ),
)
"""Fine-tuning on fewer than 100,000 training queries. With more, its rules have no effect, and it is `FINE_TUNING`."""


def fine_tuning_recipe(num_queries: int) -> TrainConfig:
    """Return the recipe for fine-tuning on that many training queries: `FINE_TUNING`, or `FEW_SHOT` for few.

    >>> fine_tuning_recipe(100_000) is FINE_TUNING
    True
    >>> fine_tuning_recipe(99_999) is FEW_SHOT
    True
    """
    return FEW_SHOT if num_queries < FEW_QUERIES else FINE_TUNING
