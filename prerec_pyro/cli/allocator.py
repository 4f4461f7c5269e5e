"""Settings of this process's memory: malloc, oneDNN's cache and the garbage collector."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Parameters of mallopt, from glibc's malloc.h.
_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1
_LARGE = 64 << 20  # bytes: larger than a tensor of one training step, smaller than a table of items


def keep_freed_memory() -> bool:
    """Make glibc keep the memory of freed tensors for later ones; return whether it does.

    By default, glibc returns a large block to the system when it is freed, and the kernel clears the next block page
    by page. If each step allocates tensors of tens of megabytes, that costs as much as the computation. The setting
    holds for the whole process, so a program should call this, not a library. Without glibc it has no effect.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # With one arena, the threads of the backward pass reuse the memory that the forward pass freed.
    settings = ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, 4 * _LARGE))
    return all([mallopt(name, value) for name, value in settings])


def limit_onednn_cache() -> None:
    """Limit the cache of oneDNN, which multiplies in bfloat16, to a few matrix shapes instead of about a thousand.

    Batches rarely have the same shape, and the cache grows by hundreds of megabytes in an epoch. Call this before the
    first matrix product. An existing setting in the environment is kept.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8")


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Disable garbage collection in the block, and exempt the objects made there for the rest of the process.

    Importing libraries makes hundreds of thousands of objects, and none of them is garbage.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
