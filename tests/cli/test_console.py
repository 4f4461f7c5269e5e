"""Console output: log lines, exit statuses and progress."""

from __future__ import annotations

import io
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from prerec_pyro.cli import console
from prerec_pyro.cli.console import Progress, progress
from prerec_pyro.errors import InputError

logger = logging.getLogger("prerec_pyro.some.module")


class Group(click.Group):
    """A command group with error handling, as `main` is."""

    def invoke(self, ctx: click.Context) -> Any:
        with console.conversation(ctx):
            return super().invoke(ctx)


@click.group(cls=Group)
@console.verbosity
def group() -> None:
    pass


@group.command()
@console.verbosity
def speak() -> None:
    logger.debug("a detail")
    logger.info("read %d rows", 3)
    logger.warning("the clock is wrong")
    console.say("result")


@group.command()
@click.argument("number", type=int)
@console.verbosity
def count(number: int) -> None:
    for _ in progress(range(number), "counting", unit="rows"):
        logger.debug("one")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(group, list(arguments), catch_exceptions=False)


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """A list of one number, the time that `console` reads."""
    now = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    yield now


# ------------------------------------------------------------------------------------------- log lines


def test_results_go_to_stdout_and_log_lines_to_stderr() -> None:
    result = run("speak")
    assert result.stdout == "result\n"
    assert result.stderr == "read 3 rows\nWarning: the clock is wrong\n"


@pytest.mark.parametrize("arguments", [("-q", "speak"), ("speak", "--quiet"), ("-q", "speak", "-q")])
def test_quiet_keeps_results_and_warnings(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.stdout, result.stderr) == ("result\n", "Warning: the clock is wrong\n")


@pytest.mark.parametrize("arguments", [("-v", "speak"), ("speak", "--verbose")])
def test_verbose_adds_debug_lines_times_and_modules(arguments: tuple[str, ...]) -> None:
    lines = run(*arguments).stderr.splitlines()
    assert [line[9:] for line in lines] == [
        "prerec_pyro.some.module: a detail",
        "prerec_pyro.some.module: read 3 rows",
        "prerec_pyro.some.module: Warning: the clock is wrong",
    ]
    assert all(line[2] == line[5] == ":" for line in lines)


@pytest.mark.parametrize("arguments", [("-v", "speak", "-q"), ("speak", "-v", "-q")])
def test_quiet_and_verbose_exclude_each_other(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "--verbose and --quiet exclude each other" in result.stderr


def test_a_command_restores_the_logging_setup() -> None:
    package = logging.getLogger("prerec_pyro")
    handlers = list(package.handlers)
    run("-v", "speak")
    assert (package.level, package.handlers) == (logging.NOTSET, handlers)


def test_a_logged_exception_keeps_its_traceback() -> None:
    @group.command("fail")
    def _fail() -> None:
        try:
            raise KeyError("lost")
        except KeyError:
            logger.exception("went on without")

    lines = run("fail").stderr.splitlines()
    assert lines[0] == "Error: went on without"
    assert lines[-1] == "KeyError: 'lost'"


def test_characters_that_stdout_cannot_encode_are_replaced() -> None:
    code = "from prerec_pyro.cli import console; console.say('caf\\u00e9 \\u5e97')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, env={"PYTHONIOENCODING": "ascii"}
    )
    assert (done.returncode, done.stdout) == (0, b"caf? ?\n")


# ------------------------------------------------------------------------------------------- exit statuses


@pytest.mark.parametrize("message", ["a.csv, line 3: wrong; mend it", "店.csv: 100% wrong {x} %s"])
def test_an_input_error_is_printed_unchanged(message: str) -> None:
    @group.command("refuse")
    def _refuse() -> None:
        raise InputError(message)

    result = run("refuse")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"Error: {message}\n")


SLEEPING_PROGRAM = """
import sys, time, types, click
from prerec_pyro.cli.main import COMMANDS, main
@click.command()
def command():
    print("ready", flush=True)
    time.sleep(60)
COMMANDS["sleep"] = "Sleep."
sys.modules["prerec_pyro.cli.commands.sleep"] = types.SimpleNamespace(command=command)
main(["sleep"])
"""


def test_ctrl_c_on_the_real_program() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPING_PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        program.stdout.readline()
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=30)
    assert (program.returncode, said) == (130, b"\nInterrupted.\n")


PRINTING_PROGRAM = SLEEPING_PROGRAM.replace("time.sleep(60)", "[click.echo('x' * 1000) for _ in range(10_000)]")


def test_a_closed_pipe_prints_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PRINTING_PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.readline()
        program.stdout.close()
        said = program.stderr.read()
        program.wait(timeout=30)
    assert (program.returncode, said) == (1, b"")


# ------------------------------------------------------------------------------------------- progress


def test_progress_of_a_short_task_is_one_line() -> None:
    assert run("count", "3").stderr == "counting: 3 rows in 0:00\n"
    assert run("count", "3", "-q").stderr == ""


def test_progress_of_a_long_task_is_a_line_every_ten_seconds(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="prerec_pyro")
    for item in progress(iter(range(4000)), "scoring", total=4000, unit="batches"):
        clock[0] += 1.0 if item < 30 else 0.001
    assert caplog.messages == [
        "scoring: 10 of 4,000 batches (0%), 1:06:30 left",
        "scoring: 20 of 4,000 batches (0%), 1:06:20 left",
        "scoring: 30 of 4,000 batches (1%), 1:06:10 left",
        "scoring: 4,000 batches in 0:34",
    ]


def test_progress_without_a_total_counts_steps(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="prerec_pyro")
    for _ in progress((n for n in range(2)), "reading", unit="rows"):
        clock[0] += 10.0
    assert caplog.messages == ["reading: 1 rows", "reading: 2 rows", "reading: 2 rows in 0:20"]


def test_progress_is_updated_by_hand_and_shows_facts(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="prerec_pyro")
    with progress(100, "training") as bar:
        bar.update(5, loss=np.float32(0.3125))
        clock[0] += 60
        bar.update(45)
    assert caplog.messages == [
        "training: 50 of 100 steps (50%), 1:00 left, loss 0.3125",
        "training: 50 steps in 1:00, loss 0.3125",
    ]


def test_a_failed_task_is_not_logged_as_done(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="prerec_pyro")
    with pytest.raises(ZeroDivisionError), progress(3, "training"):
        raise ZeroDivisionError
    for _ in progress(range(3), "training"):
        break
    assert caplog.messages == []


def test_a_number_cannot_be_iterated_over() -> None:
    with pytest.raises(TypeError, match="open it with `with`"):
        next(iter(progress(3, "training")))


def test_a_terminal_shows_a_bar_with_log_lines_above(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with click.Context(group) as ctx, console.conversation(ctx):
        bar: Progress[int]
        with progress(4, "training") as bar:
            bar.update(2, loss=0.5)
            logger.info("a line")
            bar.update(2)
    drawn = terminal.getvalue()
    assert "a line\n" in drawn
    assert "training: 100%" in drawn
    assert "4/4" in drawn
    assert "loss 0.5" in drawn
