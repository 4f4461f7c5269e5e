"""Memory settings of the process."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

from prerec_pyro.cli.allocator import limit_onednn_cache, without_garbage_collection

PROGRAM = """
import resource, sys
import numpy as np
from prerec_pyro.cli.allocator import keep_freed_memory

if sys.argv[1] == "keep" and not keep_freed_memory():
    raise SystemExit("no glibc")
np.ones(6 << 20)  # 48 MiB, freed at once
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(6 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")
def test_the_next_array_reuses_freed_pages() -> None:
    faults = {}
    for how in ("keep", "plain"):
        done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=False)
        if "no glibc" in done.stderr:
            pytest.skip("no glibc")
        assert done.returncode == 0, done.stderr
        faults[how] = int(done.stdout)
    assert faults["keep"] < 100 < faults["plain"]


def test_a_setting_of_the_environment_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", raising=False)
    limit_onednn_cache()
    assert 0 < int(os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"]) < 1024
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "7")
    limit_onednn_cache()
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "7"


def test_objects_of_the_block_are_frozen_and_later_garbage_is_collected() -> None:
    before = gc.get_freeze_count()
    try:
        with without_garbage_collection():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
        cycle: list = []
        cycle.append(cycle)
        del cycle
        assert gc.collect() >= 1
    finally:
        gc.unfreeze()


def test_the_garbage_collector_is_on_again_after_a_failed_import() -> None:
    try:
        with pytest.raises(ImportError), without_garbage_collection():
            raise ImportError
        assert gc.isenabled()
    finally:
        gc.unfreeze()
