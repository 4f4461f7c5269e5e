"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prerec_pyro.data.encoded import EncodedDomain
from tests.support.graphs import make_encoded

_REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real logs (`PREREC_DATA`, or ``../shared/data``); skips where there is none."""
    folder = Path(os.environ.get("PREREC_DATA", _REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real logs are not at {folder}; point PREREC_DATA at them")
    return folder


@pytest.fixture(scope="session")
def timed() -> EncodedDomain:
    """Ten users, twelve items, forty days."""
    return make_encoded("timed")


@pytest.fixture(scope="session")
def untimed() -> EncodedDomain:
    """Ten users, twelve items, and only the order of events."""
    return make_encoded("untimed", timed=False, seed=1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the README, a minute or two in one test: the others then go on beside it."""
    items.sort(key=lambda item: item.path.name != "test_readme.py")
