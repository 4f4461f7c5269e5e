"""``python -m prerec_pyro`` is ``prerec-pyro``."""

from __future__ import annotations

from prerec_pyro.cli.main import main

if __name__ == "__main__":
    main(prog_name="prerec-pyro")
