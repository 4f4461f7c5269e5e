"""The table of prior sensitivity against the models that it compares."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from prerec_pyro.errors import InputError
from prerec_pyro.models.priors import Normal
from prerec_pyro.recommenders.prior_sensitivity import (
    Predictions,
    PriorSensitivity,
    differences,
    prior_sensitivity,
)
from tests.support.models import PRIORS, prerec, small_domain, training

A, B = small_domain("a", seed=1, num_users=40), small_domain("b", num_items=15, num_users=30, seed=2)
NEW = small_domain("new", num_items=10, seed=3, num_users=30)
FAST = training(epochs=14, popularity_rate=0.05, domain_rate=0.02)
NARROW = dataclasses.replace(PRIORS, D=Normal(1e-4), W_z=Normal(1e-3))


@pytest.fixture(scope="module")
def found() -> PriorSensitivity:
    same = dataclasses.replace(PRIORS)
    return prior_sensitivity([A, B], {"same": same, "narrow": NARROW}, model=prerec(training=FAST), targets=[NEW], k=5)


def row(found: PriorSensitivity, prior: str, domain: str) -> pd.Series:
    return found.table.set_index(["prior", "domain"]).loc[(prior, domain)]


def test_the_table_has_a_row_for_each_prior_and_domain_with_the_default_first(found: PriorSensitivity) -> None:
    assert list(found.table["prior"]) == [p for p in ("default", "same", "narrow") for _ in range(3)]
    assert list(found.table["domain"]) == ["a", "b", "new"] * 3
    assert (found.table.groupby("domain")["num_queries"].nunique() == 1).all()
    assert set(found.models) == {"default", "same", "narrow"}
    assert list(found.summary().index) == ["default", "same", "narrow"]


def test_the_same_prior_gives_no_difference(found: PriorSensitivity) -> None:
    for domain in ("a", "b", "new"):
        one, other = row(found, "default", domain), row(found, "same", domain)
        pd.testing.assert_series_equal(one, other, check_names=False)
        assert one["overlap"] == one["first_same"] == 1.0
        assert one["score_correlation"] == one["score_slope"] == pytest.approx(1.0)


def test_the_numbers_are_those_of_the_models(found: PriorSensitivity) -> None:
    default, narrow = found.models["default"], found.models["narrow"]
    one = row(found, "narrow", "b")
    D, first = narrow.sources.nodes["D"][1], default.sources.nodes["D"][1]
    assert one["D_norm"] == pytest.approx(float(D.norm()))
    assert one["D_cosine"] == pytest.approx(float(torch.cosine_similarity(D, first, dim=0)), abs=1e-5)
    assert one["W_z_norm"] == pytest.approx(float(narrow.sources.nodes["W_z"].norm()))
    assert row(found, "default", "b")["W_z_norm"] == pytest.approx(float(default.graph.W_z.detach().norm()))
    assert [name for name in found.table if name.startswith("S_")] == [
        *("S_match", "S_popularity", "S_repeat", "S_background", "S_fading", "S_contrast")
    ]
    S = narrow.sources.nodes["S"][1] * narrow.graph.likelihood.spread
    assert one["S_popularity"] == pytest.approx(float(S[1]), abs=1e-6)
    assert row(found, "narrow", "new")[["D_norm", "S_match"]].isna().all()


def test_a_narrow_prior_shrinks_its_node(found: PriorSensitivity) -> None:
    narrow, default = row(found, "narrow", "a"), row(found, "default", "a")
    assert narrow["D_norm"] < 0.5 * default["D_norm"]
    assert narrow["W_z_norm"] < 0.5 * default["W_z_norm"]
    assert 0 <= narrow["overlap"] < 1


def predictions(lists: list[list[int]], scores: list[float]) -> Predictions:
    return Predictions(torch.tensor(lists), torch.tensor(scores), torch.tensor([3.0, 4.0]), None, None)


def test_differences_by_hand() -> None:
    first = predictions([[1, 2, 3], [4, 5, 6]], [0.0, 1.0, 5.0])
    other = predictions([[2, 1, 9], [4, 7, 8]], [1.0, 3.0, 11.0])
    found = differences(other, first)
    assert found["overlap"] == pytest.approx((2 + 1) / 6)
    assert found["first_same"] == 0.5
    assert found["score_slope"] == pytest.approx(2.0)
    assert found["score_correlation"] == pytest.approx(1.0)
    uneven = differences(predictions([[1]], [0.0, 2.0, 1.0]), predictions([[1]], [0.0, 1.0, 5.0]))
    assert uneven["score_correlation"] == pytest.approx(np.corrcoef([0, 2, 1], [0, 1, 5])[0, 1])
    assert uneven["score_slope"] == pytest.approx(np.polyfit([0, 1, 5], [0, 2, 1], 1)[0])


def test_the_plot_has_a_row_for_each_prior(found: PriorSensitivity) -> None:
    left, right = found.plot()
    assert [text.get_text() for text in left.get_yticklabels()] == ["default", "same", "narrow"]
    assert right.get_xlabel() == "share of the lists in common with default"
    assert left.get_xlabel() == "validation r-NDCG"
    assert found.plot("recall")[0].get_xlabel() == "validation Recall"


def test_without_confounders_there_is_no_score_to_compare() -> None:
    model = prerec("unconfounded", training=FAST)
    table = prior_sensitivity([A], {"wide": dataclasses.replace(model.priors, V=Normal(1.0))}, model=model).table
    assert table[["D_norm", "W_z_norm", "score_slope", "S_match"]].isna().all().all()
    assert table["overlap"].between(0, 1).all()


def test_invalid_arguments_are_refused() -> None:
    model = prerec(training=FAST)
    with pytest.raises(InputError, match="name one set of priors or more"):
        prior_sensitivity([A], {}, model=model)
    with pytest.raises(InputError, match="name one set of priors or more"):
        prior_sensitivity([A], {"default": PRIORS}, model=model)
    with pytest.raises(InputError, match="share a name"):
        prior_sensitivity([A], {"narrow": NARROW}, model=model, targets=[A])
    assert model._graph is None
