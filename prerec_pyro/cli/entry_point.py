"""The command as a process of its own."""

from __future__ import annotations

import atexit
import os
import sys

from prerec_pyro.cli.main import main


def run() -> None:
    """Run ``prerec-pyro``, and end the process when the last word is said.

    What was registered to happen at the end happens. But objects are not freed one by one, as Python would do at last:
    with the libraries there are a million of them, and that takes longer than a list.
    """
    status = 1  # unless the command says otherwise

    def leave() -> None:
        left = status
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):  # nobody reads any more
                left = left or 120  # as Python has it
        os._exit(left)

    atexit.register(leave)  # the first that is registered is the last that is called
    try:
        main(prog_name="prerec-pyro")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
