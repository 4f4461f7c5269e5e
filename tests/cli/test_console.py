from __future__ import annotations

import io
import logging
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from prerec_pyro.cli import console
from prerec_pyro.cli.console import Progress, progress, table_text
from prerec_pyro.errors import InputError

logger = logging.getLogger("prerec_pyro.some.module")


class Talk(click.Group):
    """Stands in for the group of `main`."""

    def invoke(self, ctx: click.Context) -> Any:
        with console.conversation(ctx):
            return super().invoke(ctx)


@click.group(cls=Talk)
@console.verbosity
def talk() -> None:
    pass


@talk.command()
@console.verbosity
def speak() -> None:
    logger.debug("a detail")
    logger.info("read %d rows", 3)
    logger.warning("the clock is wrong")
    console.say("result")


@talk.command()
@click.argument("number", type=int)
@console.verbosity
def count(number: int) -> None:
    for _ in progress(range(number), "counting", unit="sheep"):
        logger.debug("one")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(talk, list(arguments), catch_exceptions=False)


class Terminal(io.StringIO):
    """A stderr that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time that `console` reads; set its only element."""
    now = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    yield now


# ------------------------------------------------------------------------------------------- log lines


def test_results_go_to_stdout_and_the_talk_to_stderr() -> None:
    result = run("speak")
    assert result.stdout == "result\n"
    assert result.stderr == "read 3 rows\nWarning: the clock is wrong\n"


@pytest.mark.parametrize("arguments", [("-q", "speak"), ("speak", "--quiet"), ("-q", "speak", "-q")])
def test_quiet_leaves_results_and_warnings(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.stdout, result.stderr) == ("result\n", "Warning: the clock is wrong\n")


@pytest.mark.parametrize("arguments", [("-v", "speak"), ("speak", "--verbose")])
def test_verbose_adds_details_times_and_origins(arguments: tuple[str, ...]) -> None:
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


def test_a_command_leaves_no_trace_in_logging() -> None:
    package = logging.getLogger("prerec_pyro")
    handlers = list(package.handlers)
    run("-v", "speak")
    assert (package.level, package.handlers) == (logging.NOTSET, handlers)


def test_a_logged_exception_keeps_its_traceback() -> None:
    @talk.command("fail")
    def _fail() -> None:
        try:
            raise KeyError("lost")
        except KeyError:
            logger.exception("went on without")

    lines = run("fail").stderr.splitlines()
    assert lines[0] == "Error: went on without"
    assert lines[-1] == "KeyError: 'lost'"


def test_what_the_encoding_of_stdout_lacks_does_not_end_the_program() -> None:
    code = "from prerec_pyro.cli import console; console.say('caf\\u00e9 \\u5e97')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, env={"PYTHONIOENCODING": "ascii"}
    )
    assert (done.returncode, done.stdout) == (0, b"caf? ?\n")


# ------------------------------------------------------------------------------------------- ends


@pytest.mark.parametrize("message", ["a.csv, line 3: wrong; mend it", "店.csv: 100% wrong {x} %s"])
def test_input_errors_are_said_as_they_are(message: str) -> None:
    @talk.command("refuse")
    def _refuse() -> None:
        raise InputError(message)

    result = run("refuse")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"Error: {message}\n")


SLEEPER = """
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
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=30)
    assert (program.returncode, said) == (130, b"\nInterrupted.\n")


CHATTER = SLEEPER.replace("time.sleep(60)", "[click.echo('x' * 1000) for _ in range(10_000)]")


def test_a_reader_that_leaves_early_is_no_error_to_talk_about() -> None:
    with subprocess.Popen([sys.executable, "-c", CHATTER], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.readline()
        program.stdout.close()
        said = program.stderr.read()
        program.wait(timeout=30)
    assert (program.returncode, said) == (1, b"")


# ------------------------------------------------------------------------------------------- progress


def test_progress_yields_all_and_says_one_line_of_a_short_task() -> None:
    assert run("count", "3").stderr == "counting: 3 sheep in 0:00\n"
    assert run("count", "3", "-q").stderr == ""


def test_progress_of_a_long_task_is_a_line_now_and_then(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="prerec_pyro")
    for item in progress(iter(range(4000)), "scoring", total=4000, unit="batches"):
        clock[0] += 1.0 if item < 30 else 0.001
    assert caplog.messages == [
        "scoring: 10 of 4,000 batches (0%), 1:06:30 left",
        "scoring: 20 of 4,000 batches (0%), 1:06:20 left",
        "scoring: 30 of 4,000 batches (1%), 1:06:10 left",
        "scoring: 4,000 batches in 0:34",
    ]


def test_progress_without_a_total_counts(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="prerec_pyro")
    for _ in progress((n for n in range(2)), "reading", unit="rows"):
        clock[0] += 10.0
    assert caplog.messages == ["reading: 1 rows", "reading: 2 rows", "reading: 2 rows in 0:20"]


def test_progress_is_moved_by_hand_and_shows_facts(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="prerec_pyro")
    with progress(100, "training") as bar:
        bar.update(5, loss=np.float32(0.3125))
        clock[0] += 60
        bar.update(45)
    assert caplog.messages == [
        "training: 50 of 100 steps (50%), 1:00 left, loss 0.3125",
        "training: 50 steps in 1:00, loss 0.3125",
    ]


def test_a_task_that_failed_is_not_said_to_be_done(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="prerec_pyro")
    with pytest.raises(ZeroDivisionError), progress(3, "training"):
        raise ZeroDivisionError
    for _ in progress(range(3), "training"):
        break
    assert caplog.messages == []


def test_a_number_cannot_be_iterated_over() -> None:
    with pytest.raises(TypeError, match="opened with `with`"):
        next(iter(progress(3, "training")))


def test_a_terminal_gets_a_bar_and_log_lines_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with click.Context(talk) as ctx, console.conversation(ctx):
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


# ------------------------------------------------------------------------------------------- tables


def test_a_table_is_aligned_by_kind() -> None:
    frame = pd.DataFrame(
        {
            "#Items": [4223, 12],
            "recall": [0.0672, 0.5],
            "when": ["2010", None],
            "seen": [True, False],
            "loss": [1e-9, float("nan")],
        },
        index=pd.Index(["online-retail", "office"], name="Domain"),
    )
    assert table_text(frame).splitlines() == [
        "Domain         #Items  recall  when  seen   loss",
        "online-retail   4,223  0.0672  2010  yes   1e-09",
        "office             12  0.5000  -     no        -",
    ]
    assert table_text(frame[["recall"]], index=False).splitlines() == ["recall", "0.0672", "0.5000"]


def test_a_table_of_one_column_of_mixed_kinds() -> None:
    frame = pd.DataFrame({"shop": pd.Series({"items": 1234567, "time": "order", "gini": 0.25, "mean": 12345.6})})
    assert table_text(frame).splitlines() == [
        "            shop",
        "items  1,234,567",
        "time       order",
        "gini        0.25",
        "mean      12,346",
    ]


def test_words_that_look_like_nothing_are_words() -> None:
    assert table_text(pd.DataFrame({"id": ["nan", "None", "a\nb", None, pd.NaT]}), index=False).splitlines() == [
        *("id", "nan", "None", "a b", "-", "-")
    ]


def test_an_empty_table_is_its_head() -> None:
    assert table_text(pd.DataFrame({"a": [], "bc": []}), index=False) == "a  bc"


def _columns(line: str) -> int:
    marks = sum(bool(unicodedata.combining(letter)) for letter in line)
    return len(line) - marks + sum(unicodedata.east_asian_width(letter) in "WF" for letter in line)


@given(
    st.lists(
        st.tuples(
            st.text(alphabet="ab é\u0301店ﾃ", min_size=1, max_size=8),
            st.integers(-(10**12), 10**12) | st.floats() | st.none() | st.booleans(),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_lines_of_any_table_end_in_one_column(rows: list[tuple[str, object]]) -> None:
    frame = pd.DataFrame(rows, columns=["name", "value"], dtype=object)
    frame["end"] = "|"
    lines = table_text(frame, index=False).splitlines()
    assert len(lines) == len(rows) + 1
    assert len({_columns(line[: line.rindex("|")]) for line in lines[1:]} | {_columns(lines[0][:-3])}) == 1
