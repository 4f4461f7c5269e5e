"""The examples in the docstrings of the priors run as they are printed."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = ("families", "hyperpriors", "mixture", "node_priors", "parsing", "serialization")


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name: str) -> None:
    results = doctest.testmod(import_module(f"prerec_pyro.models.priors.{name}"))
    assert results.attempted > 0
    assert results.failed == 0
