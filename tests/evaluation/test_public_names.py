"""Public names of `prerec_pyro.evaluation`: loaded on first use, each with an example that runs."""

from __future__ import annotations

import doctest

import pytest

from prerec_pyro import evaluation
from tests.support.examples import loaded_by, modules_of, run_examples


def test_importing_the_package_loads_nothing_else():
    assert loaded_by("prerec_pyro.evaluation") == {"prerec_pyro", "prerec_pyro._version", "prerec_pyro.evaluation"}


def test_every_public_name_resolves():
    assert dir(evaluation) == sorted(evaluation._MODULES) == sorted(evaluation.__all__)
    for name in evaluation.__all__:
        assert getattr(evaluation, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = evaluation.missing


@pytest.mark.parametrize("name", evaluation.__all__)
def test_every_public_name_has_an_example(name):
    assert doctest.DocTestParser().get_examples(getattr(evaluation, name).__doc__)


@pytest.mark.parametrize("module", modules_of("prerec_pyro.evaluation"))
def test_the_examples_run(module):
    run_examples(module)
