"""Public names of `prerec_pyro.plots`: loaded on first use, each with an example that runs."""

from __future__ import annotations

import doctest

import matplotlib.pyplot as plt
import pytest

from prerec_pyro import plots
from tests.support.examples import loaded_by, modules_of, run_examples


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_importing_the_package_loads_nothing_else():
    assert loaded_by("prerec_pyro.plots") == {"prerec_pyro", "prerec_pyro._version", "prerec_pyro.plots"}


def test_every_public_name_resolves():
    assert dir(plots) == sorted(plots._MODULES) == sorted(plots.__all__)
    for name in plots.__all__:
        assert getattr(plots, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = plots.missing


@pytest.mark.parametrize("name", plots.__all__)
def test_every_public_name_has_an_example(name):
    assert doctest.DocTestParser().get_examples(getattr(plots, name).__doc__)


@pytest.mark.parametrize("module", modules_of("prerec_pyro.plots"))
def test_the_examples_run(module):
    run_examples(module)
