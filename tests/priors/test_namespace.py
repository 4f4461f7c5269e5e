"""The public namespace `prerec_pyro.priors`: complete, lazy, and the same objects as in `models.priors`."""

from __future__ import annotations

import subprocess
import sys

import pytest

import prerec_pyro.priors
from prerec_pyro.models import priors as home


def test_every_public_name_is_the_one_of_its_module() -> None:
    assert dir(prerec_pyro.priors) == sorted(prerec_pyro.priors.__all__) == sorted(prerec_pyro.priors._HOME)
    for name in prerec_pyro.priors.__all__:
        assert getattr(prerec_pyro.priors, name) is getattr(home, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'prerec_pyro.priors' has no attribute 'Gamma'"):
        prerec_pyro.priors.Gamma  # noqa: B018


def test_importing_it_loads_nothing_else() -> None:
    code = "import sys, prerec_pyro.priors; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "prerec_pyro.priors" in loaded
    assert not {"torch", "pyro", "prerec_pyro.models"} & set(loaded)
