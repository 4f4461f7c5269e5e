"""The program as a process: exit status, output and functions registered with `atexit`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import atexit, sys
import prerec_pyro.cli.entry_point as process

def command(prog_name):
    atexit.register(print, "registered")
    sys.stdout.write("said")
    {ending}

process.main = command
process.run()
"""


def ended(ending: str, **how) -> subprocess.CompletedProcess:
    program = PROGRAM.format(ending=ending)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, **how)


@pytest.mark.parametrize(
    ("ending", "status"),
    [("sys.exit()", 0), ("sys.exit(0)", 0), ("sys.exit(2)", 2), ("sys.exit('no')", 1), ("raise ValueError('bug')", 1)],
)
def test_the_status_and_the_output_of_the_command_are_kept(ending: str, status: int) -> None:
    done = ended(ending)
    assert done.returncode == status
    assert done.stdout == "saidregistered\n"
    assert ("bug" in done.stderr) == ("bug" in ending)


def test_unread_output_is_a_failure() -> None:
    program = PROGRAM.format(ending="sys.exit(0)")
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", program], env=buffered, **pipes) as one:
        one.stdout.close()
        assert one.wait(60) == 120


def test_the_module_runs_and_rejects_bad_usage_with_status_2() -> None:
    for asked, status in ((["--version"], 0), (["infer"], 2), (["nothing"], 2)):
        done = subprocess.run([sys.executable, "-m", "prerec_pyro", *asked], capture_output=True, text=True, timeout=60)
        assert done.returncode == status
        assert "prerec-pyro" in done.stdout + done.stderr
