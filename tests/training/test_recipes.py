"""The recipes: their numbers, where they meet, and the rules that scale rates."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from prerec_pyro.inference.guides.map_guide import NonCenteredModel, map_guide
from prerec_pyro.training import recipes
from prerec_pyro.training.objective import graph_rate, optimizers
from prerec_pyro.training.recipes import (
    FEW_QUERIES,
    FEW_SHOT,
    FINE_TUNING,
    PRE_TRAINING,
    Recipe,
    TrainConfig,
    fine_tuning_recipe,
)
from tests.support.models import EveryPath, prerec, small_domain, small_encoded, small_graph, small_sources, training

# The settings of version 0.1.0, by the names that they had.
OLD_PRE_TRAINING = {
    "epochs": 5,
    "patience": 4,
    "min_steps": 20,
    "batch_tokens": 2048,
    "accumulate": 1,
    "num_negatives": 256,
    "precision": "auto",
    "k_percent": 0.5,
    "validation_queries": 1500,
    "seed": 0,
    "learning_rate": 5e-5,
    "text_rate": 1e-5,
    "popularity_rate": 3e-3,
    "repeat_rate": 1e-1,
    "domain_rate": 3e-4,
    "strength_rate": 3e-2,
    "scale_rate": 3e-2,
    "item_rate": 3e-4,
    "learning_rate_at": 100_000,
    "rates_at": None,
    "popularity_at": None,
    "strengths_at": None,
}
OLD_FINE_TUNING = OLD_PRE_TRAINING | {
    "epochs": 10,
    "num_negatives": 8192,
    "learning_rate": 2e-3,
    "text_rate": 2e-3,
    "item_rate": 3e-3,
    "rates_at": 100_000,
    "popularity_at": 100_000,
    "strengths_at": 100_000,
}
RENAMED = {
    "effect_scale_rate": "strength_rate",
    "full_learning_rate_queries": "learning_rate_at",
    "full_item_rate_queries": "rates_at",
    "full_popularity_rate_queries": "popularity_at",
    "hold_effect_scales_below": "strengths_at",
}
RULES = ("learning_rate_at", "rates_at", "popularity_at", "strengths_at")


def by_old_names(config: TrainConfig) -> dict:
    numbers = config.model_dump(exclude={"recipe"}) | config.recipe.model_dump(exclude={"source_exponent"})
    return {RENAMED.get(name, name): value for name, value in numbers.items()}


def test_the_numbers_are_those_of_version_0_1_0() -> None:
    assert {one.recipe.source_exponent for one in (PRE_TRAINING, FEW_SHOT, FINE_TUNING)} == {0.5}, "a new setting"
    assert by_old_names(PRE_TRAINING) == OLD_PRE_TRAINING
    assert by_old_names(FEW_SHOT) == OLD_FINE_TUNING
    assert by_old_names(FINE_TUNING) == OLD_FINE_TUNING | dict.fromkeys(RULES)


def test_the_defaults_are_pre_training() -> None:
    assert TrainConfig() == PRE_TRAINING
    assert prerec(training=None).training == PRE_TRAINING


@pytest.mark.parametrize("number", [100_000, 100_001, 5_000_000])
def test_from_100_000_queries_on_few_shot_is_fine_tuning(number: int) -> None:
    few, many = FEW_SHOT.for_queries(number), FINE_TUNING.for_queries(number)
    assert few.model_dump(exclude={"recipe"}) == many.model_dump(exclude={"recipe"})
    assert few.recipe.popularity_rate == many.recipe.popularity_rate
    assert fine_tuning_recipe(number) is FINE_TUNING
    assert not number < FEW_SHOT.recipe.hold_effect_scales_below


def test_below_100_000_queries_rates_fall() -> None:
    assert fine_tuning_recipe(99_999) is FEW_SHOT
    few = FEW_SHOT.for_queries(FEW_QUERIES // 4)
    assert few.learning_rate == pytest.approx(2e-3 / 8)
    assert (few.text_rate, few.item_rate) == pytest.approx((1e-3, 1.5e-3))
    assert few.recipe.popularity_rate == pytest.approx(3e-3 / 8)
    pre = PRE_TRAINING.for_queries(FEW_QUERIES // 4)
    assert (pre.learning_rate, pre.text_rate) == (pytest.approx(5e-5 / 8), 1e-5)


def test_fine_tuning_picks_the_recipe_by_the_queries_that_it_trains_on(monkeypatch: pytest.MonkeyPatch) -> None:
    model, target = prerec(training=training(epochs=0, seed=4)).fit([small_domain("a")]), small_encoded("c", seed=5)
    assert model.fine_tune(target).training == FEW_SHOT.model_copy(update={"seed": 4})
    monkeypatch.setattr(recipes, "FEW_QUERIES", 20)
    assert model.fine_tune(target).training == FINE_TUNING.model_copy(update={"seed": 4})
    assert model.fine_tune(target, num_samples=19).training == FEW_SHOT.model_copy(update={"seed": 4})


def test_a_recipe_cannot_change_and_has_no_other_names() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PRE_TRAINING.recipe.min_steps = 1
    for name in ("learning_rate_at", "strength_rate", "learning_rate"):
        with pytest.raises(ValidationError, match="Extra inputs"):
            Recipe(**{name: 1})
    with pytest.raises(ValidationError, match="Extra inputs"):
        TrainConfig(min_steps=1)


class OwnGraph(EveryPath):
    """A graph with parameters of its own, one of which begins like a network's name."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self.price = nn.Linear(1, 1)
        self.f_extra = nn.Parameter(torch.zeros(2))


def test_parameters_of_a_graph_of_ones_own_move_at_the_rate_of_popularity() -> None:
    graph = small_graph(graph=OwnGraph)
    config = training(learning_rate=0.1, text_rate=0.2, popularity_rate=0.3, repeat_rate=0.4)
    program = NonCenteredModel(graph, ("D",))
    guide = map_guide(program, 12, ("D",))
    guide(small_sources(small_encoded())[0].first_batch(config))
    rates = {
        id(p): group["lr"] for group in optimizers(program, guide, config)[0].param_groups for p in group["params"]
    }
    found = {name: rates[id(parameter)] for name, parameter in graph.named_parameters()}
    assert {name for name, rate in found.items() if rate == 0.3} == {
        *("W_d", "W_z", "f_pop.linear.weight", "f_pop.linear.bias"),
        *(f"f_pop.others.{window}.{part}" for window in range(3) for part in ("weight", "bias")),
        *("interests.log_fading", "interests.log_contrast", "interests.growth"),
        *("price.weight", "price.bias", "f_extra"),
    }
    assert {name.split(".")[0] for name, rate in found.items() if rate == 0.1} == {"f_seq", "f_item"}
    assert {name for name, rate in found.items() if rate == 0.4} == {"likelihood.w_h"}
    assert graph_rate("f_e.linear.weight", config) == 0.2
