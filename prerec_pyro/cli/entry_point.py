"""Entry point of the ``prerec-pyro`` program."""

from __future__ import annotations

import atexit
import os
import sys

from prerec_pyro.cli.main import main

BROKEN_OUTPUT = 120
"""Exit status if the last output could not be flushed, the same as Python's own."""


def run() -> None:
    """Run ``prerec-pyro`` and end the process without freeing its objects one by one.

    Functions registered with `atexit` still run. Python would then free about a million objects of the libraries, which
    takes longer than making a list of recommendations.
    """
    status = 1  # of a bug; the command sets its own below

    def leave() -> None:
        final = status
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):  # the reader has closed the pipe
                final = final or BROKEN_OUTPUT
        os._exit(final)

    atexit.register(leave)  # registered first, so it runs last
    try:
        main(prog_name="prerec-pyro")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
