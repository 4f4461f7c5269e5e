"""Console output: errors and exit statuses, log lines, progress and results."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import click

from prerec_pyro.cli.tables import cell_text, table_text
from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

INTERRUPTED = 130
"""Exit status after Ctrl-C, by the convention of shells."""
SECONDS_BETWEEN_LINES = 10.0
"""Least time between two log lines of a `Progress`."""
SECONDS_TO_REPORT = 2.0
"""Time that a failed process gives the first process to print its own error."""
logger = logging.getLogger(__name__)
_PACKAGE_LOGGER = logging.getLogger("prerec_pyro")
_VERBOSITY = "prerec_pyro.verbosity"
_LEVELS = {"verbose": logging.DEBUG, None: logging.INFO, "quiet": logging.WARNING}


class _BadInput(click.ClickException):
    """An `InputError`, printed without a traceback by the first process only."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        if is_first():
            super().show(file)


def is_first() -> bool:
    """Return whether this process prints: the first of those that `torchrun` or `accelerate launch` started."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


@contextlib.contextmanager
def conversation(ctx: click.Context) -> Iterator[None]:
    """Run a command with log lines on stderr, and give each kind of end its exit status.

    - `InputError`: its message on stderr, status 2.
    - Ctrl-C: ``Interrupted.`` on stderr, status 130.
    - A closed pipe (``| head``): no message, status 1; click does this.
    - Any other exception is a bug and keeps its traceback, status 1.

    Parameters
    ----------
    ctx
        Context of the command group.
    """
    handler = _StderrHandler()
    if is_first():
        _PACKAGE_LOGGER.addHandler(handler)
    _PACKAGE_LOGGER.setLevel(_LEVELS[ctx.meta.get(_VERBOSITY)])
    try:
        yield
    except InputError as error:
        _report_to_launcher(error)
        raise _BadInput(str(error)) from error
    except KeyboardInterrupt:
        click.echo("\nInterrupted.", err=True)
        ctx.exit(INTERRUPTED)
    except EOFError as error:  # click would treat it as Ctrl-C and hide its traceback
        raise RuntimeError("a file ended early and its reader did not report it") from error
    finally:
        _PACKAGE_LOGGER.removeHandler(handler)
        _PACKAGE_LOGGER.setLevel(logging.NOTSET)


def _report_to_launcher(error: InputError) -> None:
    """Record the error of a process that does not print for `torchrun`: no other process may have met it."""
    if is_first():
        return
    if "TORCHELASTIC_ERROR_FILE" in os.environ:
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler

        get_error_handler().record_exception(error)
    time.sleep(SECONDS_TO_REPORT)  # the launcher stops all processes when one ends


def verbosity(function: F) -> F:
    """Return a command function with the options ``--verbose`` and ``--quiet``; a decorator."""
    for name, flag, help_text in (
        ("quiet", "-q", "Print only results, warnings and errors."),
        ("verbose", "-v", "Print debug messages too, with time and module."),
    ):
        option = click.option(
            f"--{name}", flag, is_flag=True, expose_value=False, callback=_choose_verbosity, help=help_text
        )
        function = option(function)
    return function


def _choose_verbosity(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if not value:
        return
    chosen = ctx.meta.setdefault(_VERBOSITY, parameter.name)  # a command shares `meta` with the groups above it
    if chosen != parameter.name:
        raise click.UsageError("--verbose and --quiet exclude each other; give one of them")
    _PACKAGE_LOGGER.setLevel(_LEVELS[chosen])


@contextlib.contextmanager
def timed(step: str) -> Iterator[None]:
    """Log the duration of the block, under ``--verbose``.

    Parameters
    ----------
    step
        Name of the step, such as ``"imports"``.
    """
    start = time.perf_counter()
    yield
    logger.debug("%s: %.2f s", step, time.perf_counter() - start)


class _StderrHandler(logging.Handler):
    """Writes log records to the current ``sys.stderr``, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            text = f"{record.levelname.capitalize()}: {text}"
        if _PACKAGE_LOGGER.level <= logging.DEBUG:
            text = f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {record.name}: {text}"
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        if "tqdm" in sys.modules:
            sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
        else:
            click.echo(text, err=True)


class Progress(Generic[T]):
    """Progress of a long task: a bar if stderr is a terminal, log lines otherwise, nothing under ``--quiet``.

    Iterate over it, or open it with ``with`` and call `update`. See `progress`.
    """

    def __init__(self, work: Iterable[T] | int, desc: str, *, total: int | None = None, unit: str = "steps") -> None:
        self._iterable: Iterable[T] | None = None if isinstance(work, int) else work
        if isinstance(work, int):
            total = work
        elif total is None and isinstance(work, Sized):
            total = len(work)
        self.total, self.desc, self.unit, self.done = total, desc, unit, 0
        self._facts = ""
        self._start = self._logged = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress[T]:
        self._start = self._logged = time.monotonic()
        if is_first() and sys.stderr.isatty() and logger.isEnabledFor(logging.INFO):
            from tqdm import tqdm

            self._bar = tqdm(
                total=self.total, desc=self.desc, unit=f" {self.unit}", file=sys.stderr, dynamic_ncols=True
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elif kind is None:
            self._log(f"{self.done:,} {self.unit} in {_clock(time.monotonic() - self._start)}")

    def __iter__(self) -> Iterator[T]:
        if self._iterable is None:
            raise TypeError("a progress of a number of steps has no items: open it with `with` and call `update`")
        with self:
            for item in self._iterable:
                yield item
                self.update()

    def update(self, steps: int = 1, **facts: object) -> None:
        """Advance the progress.

        Parameters
        ----------
        steps
            Number of finished steps.
        facts
            Values to show, such as ``loss=0.31``, until the next call that gives some.
        """
        self.done += steps
        if facts:
            self._facts = ", ".join(f"{key} {cell_text(value)}" for key, value in facts.items())
        if self._bar is not None:
            if facts:
                self._bar.set_postfix_str(self._facts, refresh=False)
            self._bar.update(steps)
            return
        now = time.monotonic()
        if now - self._logged < SECONDS_BETWEEN_LINES:
            return
        self._logged, elapsed = now, now - self._start
        text = f"{self.done:,} {self.unit}"
        if self.total and 0 < self.done <= self.total:
            left = elapsed * (self.total - self.done) / self.done
            text = f"{self.done:,} of {self.total:,} {self.unit} ({self.done / self.total:.0%}), {_clock(left)} left"
        self._log(text)

    def _log(self, text: str) -> None:
        logger.info("%s: %s%s", self.desc, text, f", {self._facts}" if self._facts else "")


@overload
def progress(work: int, desc: str, *, unit: str = "steps") -> Progress[None]: ...


@overload
def progress(work: Iterable[T], desc: str, *, total: int | None = None, unit: str = "steps") -> Progress[T]: ...


def progress(work: Iterable[T] | int, desc: str, *, total: int | None = None, unit: str = "steps") -> Progress[T]:
    """Return the `Progress` of a task, to iterate over or to open with ``with``.

    ``for batch in progress(batches, "scoring", unit="batches")``, or
    ``with progress(num_steps, "training") as bar: bar.update(5, loss=0.31)``.

    Parameters
    ----------
    work
        Items to iterate over, or the number of steps.
    desc
        Name of the task, as in ``"scoring: 120 of 3,000 batches (4%), 2:10 left"``.
    total
        Number of items, if `work` does not know its length.
    unit
        Plural name of a step.
    """
    return Progress(work, desc, total=total, unit=unit)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def print_table(frame: pd.DataFrame, *, index: bool = True) -> None:
    """Print `frame` on stdout, as `table_text` formats it.

    Parameters
    ----------
    frame
        Table; each row becomes one line.
    index
        Whether the index becomes the first column.
    """
    say(table_text(frame, index=index))


def say(text: str) -> None:
    """Print a result on stdout; characters that its encoding lacks become ``?``."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "replace").decode(encoding))
