"""The public names of `prerec_pyro.data`: loaded on first use, documented, with examples that run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import prerec_pyro.data
from prerec_pyro.data.domain import Domain

MODULES = [
    module.name
    for module in pkgutil.walk_packages(prerec_pyro.data.__path__, "prerec_pyro.data.")
    if not module.name.endswith("word_vectors")  # a program
]
WITH_EXAMPLES = {
    *("domain", "encoded", "popularity", "splits", "statistics", "subsets"),
    *("batching.histories", "simulation.simulate", "text.whitening"),
}


def test_every_name_is_there_and_documented() -> None:
    for name in prerec_pyro.data.__all__:
        value = getattr(prerec_pyro.data, name)
        assert value.__name__ == name
        assert value.__doc__
    assert dir(prerec_pyro.data) == sorted(prerec_pyro.data.__all__)
    assert set(prerec_pyro.data._HOME) == set(prerec_pyro.data.__all__)
    assert prerec_pyro.data.Domain is Domain


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match=r"module 'prerec_pyro\.data' has no attribute 'nothing'"):
        _ = prerec_pyro.data.nothing
    from prerec_pyro.data import times  # a module of the package is still found

    assert times.SECONDS_PER_DAY == 86_400


def test_the_package_imports_nothing_at_first() -> None:
    program = (
        "import sys; import prerec_pyro.data; assert 'Domain' in dir(prerec_pyro.data)\n"
        "heavy = {'numpy', 'pandas', 'torch', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert not [name for name in sys.modules if name.startswith('prerec_pyro.data.')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module)
    assert result.failed == 0
    assert (result.attempted > 0) == (name.removeprefix("prerec_pyro.data.") in WITH_EXAMPLES)
