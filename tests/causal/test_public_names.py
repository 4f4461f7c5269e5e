"""Public names of `prerec_pyro.causal`: loaded on first use, each with an example that runs."""

from __future__ import annotations

import doctest

import pytest

from prerec_pyro import causal
from tests.support.examples import loaded_by, modules_of, run_examples


def test_importing_the_package_loads_nothing_else():
    assert loaded_by("prerec_pyro.causal") == {"prerec_pyro", "prerec_pyro._version", "prerec_pyro.causal"}


def test_every_public_name_resolves():
    assert dir(causal) == sorted(causal._MODULES) == sorted(causal.__all__)
    for name in causal.__all__:
        assert getattr(causal, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = causal.missing


@pytest.mark.parametrize("name", causal.__all__)
def test_every_public_name_has_an_example(name):
    assert doctest.DocTestParser().get_examples(getattr(causal, name).__doc__)


@pytest.mark.parametrize("module", modules_of("prerec_pyro.causal"))
def test_the_examples_run(module):
    run_examples(module)
