"""Where the memory of a command's tensors comes from."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Settings of mallopt, from glibc's malloc.h.
_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1
_LARGE = 64 << 20  # bytes: more than a tensor of a step, less than a table of items


def keep_freed_memory() -> bool:
    """Let this process keep the memory of freed tensors for the next ones; return whether it will.

    glibc hands a large block back to the system when it is freed, and the next one is then cleared page by page. With
    tensors of tens of megabytes in each step that costs as much as what is computed in them. It holds for everything
    in the process, so a program that owns its process says it, and a library does not. Without glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # One arena: the threads of the backward pass then reuse what the forward pass freed.
    settings = ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, 4 * _LARGE))
    return all([mallopt(name, value) for name, value in settings])


def forget_products() -> None:
    """Let oneDNN, which multiplies in bfloat16, remember the last few shapes and not a thousand.

    Hardly two batches have the same shape, and what it keeps of each adds up to hundreds of megabytes in an epoch. To
    be called before the first product; a setting of the environment is left as it is.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8")


@contextmanager
def kept() -> Iterator[None]:
    """What is made within stays as long as the process: neither now nor later is it searched for garbage.

    Libraries make hundreds of thousands of objects when they are imported, and none of them is garbage.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
