"""A small trained model in which popularity matters, and domains to measure on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prerec_pyro.data.domain import Domain
from prerec_pyro.recommenders.prerec import PreRec
from tests.support.models import prerec, shaken, small_domain


@pytest.fixture(scope="session")
def trained_shop() -> Domain:
    return small_domain("a", num_items=15, num_users=40, seed=1)


@pytest.fixture(scope="session")
def new_shop() -> Domain:
    return small_domain("new", num_items=20, num_users=60, seed=3)


def popular(model: PreRec) -> PreRec:
    """Return the model with higher scores for popular items, whatever its short training learned."""
    with torch.no_grad():
        model.graph.f_pop.linear.weight.abs_()
        model.graph.W_z.abs_().add_(0.5)
    return model


@pytest.fixture(scope="session")
def model(trained_shop: Domain) -> PreRec:
    return popular(shaken(prerec().fit([trained_shop, small_domain("b", num_items=9, seed=2)])))


@pytest.fixture(scope="session")
def model_with_edge(trained_shop: Domain) -> PreRec:
    """One in which Z moves V too."""
    return popular(shaken(prerec("paper").fit([trained_shop])))


@pytest.fixture(scope="session")
def everybody(new_shop: Domain) -> np.ndarray:
    return np.arange(new_shop.num_users)
