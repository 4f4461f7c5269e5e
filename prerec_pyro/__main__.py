"""``python -m prerec_pyro`` is ``prerec-pyro``."""

from __future__ import annotations

from prerec_pyro.cli.entry_point import run

if __name__ == "__main__":
    run()
