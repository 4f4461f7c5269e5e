"""The examples in the docstrings of a package, and the imports that it makes."""

from __future__ import annotations

import doctest
import pkgutil
import subprocess
import sys
from importlib import import_module


def modules_of(package: str) -> list[str]:
    """Return the names of a package and all modules within it."""
    found = pkgutil.walk_packages(import_module(package).__path__, f"{package}.")
    return [package, *(module.name for module in found)]


def run_examples(module: str) -> int:
    """Run the examples of a module and return their number; fail where one prints something else."""
    result = doctest.testmod(import_module(module))
    assert result.failed == 0, f"{result.failed} examples of {module} failed"
    return result.attempted


def loaded_by(package: str) -> set[str]:
    """Return the modules of prerec_pyro and the heavy libraries that ``import package`` loads."""
    code = f"import sys, {package}; print(*sys.modules)"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return {
        name for name in names if name.partition(".")[0] in ("prerec_pyro", "numpy", "torch", "matplotlib", "pandas")
    }
