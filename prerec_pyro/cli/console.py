"""How things are said: errors, interruptions, log lines, progress and tables."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

INTERRUPTED = 130  # what a shell reports of a program that Ctrl-C ended
SECONDS_BETWEEN_LINES = 10.0
SECONDS_TO_SPEAK = 2.0
logger = logging.getLogger(__name__)
_PACKAGE_LOGGER = logging.getLogger("prerec_pyro")
_CHOSEN = "prerec_pyro.verbosity"
_LEVELS = {"verbose": logging.DEBUG, None: logging.INFO, "quiet": logging.WARNING}


class _Refused(click.ClickException):
    exit_code = 2

    def show(self, file: Any = None) -> None:
        if is_first():
            super().show(file)


def is_first() -> bool:
    """Return whether this process speaks: of those that `torchrun` or `accelerate launch` started, the first alone."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


@contextlib.contextmanager
def conversation(ctx: click.Context) -> Iterator[None]:
    """Run a command: log lines go to stderr, and each kind of end has its exit status.

    - `InputError`: its message on stderr, status 2.
    - Ctrl-C: one word on stderr, status 130.
    - The reader of our output has gone (``| head``): nothing more is said, status 1; that is click's doing.
    - Any other exception is a bug and keeps its traceback, status 1.
    """
    handler = _StderrHandler()
    if is_first():
        _PACKAGE_LOGGER.addHandler(handler)
    _PACKAGE_LOGGER.setLevel(_LEVELS[ctx.meta.get(_CHOSEN)])
    try:
        yield
    except InputError as error:
        _tell_launcher(error)
        raise _Refused(str(error)) from error
    except KeyboardInterrupt:
        click.echo("\nInterrupted.", err=True)
        ctx.exit(INTERRUPTED)
    except EOFError as error:  # click would take it for an interruption and hide where it came from
        raise RuntimeError("a file ended too early, unnoticed by what reads it") from error
    finally:
        _PACKAGE_LOGGER.removeHandler(handler)
        _PACKAGE_LOGGER.setLevel(logging.NOTSET)


def _tell_launcher(error: InputError) -> None:
    """Leave to `torchrun` what a process that does not speak met; it may have met it alone."""
    if is_first():
        return
    if "TORCHELASTIC_ERROR_FILE" in os.environ:
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler

        get_error_handler().record_exception(error)
    time.sleep(SECONDS_TO_SPEAK)  # when one process ends, the launcher ends them all


def verbosity(function: F) -> F:
    """Return `function`, the body of a command, with the options ``--verbose`` and ``--quiet`` (for decorating)."""
    for name, flag, help_text in (
        ("quiet", "-q", "Say nothing but results, warnings and errors."),
        ("verbose", "-v", "Say more, each line with its time and origin."),
    ):
        option = click.option(
            f"--{name}", flag, is_flag=True, expose_value=False, callback=_choose_verbosity, help=help_text
        )
        function = option(function)
    return function


def _choose_verbosity(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if not value:
        return
    chosen = ctx.meta.setdefault(_CHOSEN, parameter.name)  # `meta` is one for a command and the groups above it
    if chosen != parameter.name:
        raise click.UsageError("--verbose and --quiet exclude each other; give one")
    _PACKAGE_LOGGER.setLevel(_LEVELS[chosen])


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    """Say under ``--verbose`` how long the block took."""
    start = time.perf_counter()
    yield
    logger.debug("%s: %.2f s", what, time.perf_counter() - start)


class _StderrHandler(logging.Handler):
    """Writes records to today's ``sys.stderr``, above a progress bar where one is drawn."""

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
    """How far a long task is: a bar where stderr is a terminal, log lines elsewhere, nothing under ``--quiet``.

    Iterate over it, or open it with ``with`` and call `update`. See `progress`.
    """

    def __init__(self, work: Iterable[T] | int, desc: str, *, total: int | None = None, unit: str = "steps") -> None:
        if isinstance(work, int):
            self._iterable, self.total = None, work
        else:
            self._iterable, self.total = work, len(work) if total is None and isinstance(work, Sized) else total
        self.desc, self.unit, self.done = desc, unit, 0
        self._facts = ""
        self._start = self._said = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress[T]:
        self._start = self._said = time.monotonic()
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
            self._say(f"{self.done:,} {self.unit} in {_clock(time.monotonic() - self._start)}")

    def __iter__(self) -> Iterator[T]:
        if self._iterable is None:
            raise TypeError("a progress made of a number is opened with `with` and moved by `update`")
        with self:
            for item in self._iterable:
                yield item
                self.update()

    def update(self, steps: int = 1, **facts: object) -> None:
        """Move on by `steps`; `facts` such as ``loss=0.31`` are shown until others are given."""
        self.done += steps
        if facts:
            self._facts = ", ".join(f"{key} {_cell(value)}" for key, value in facts.items())
        if self._bar is not None:
            if facts:
                self._bar.set_postfix_str(self._facts, refresh=False)
            self._bar.update(steps)
            return
        now = time.monotonic()
        if now - self._said < SECONDS_BETWEEN_LINES:
            return
        self._said, elapsed = now, now - self._start
        text = f"{self.done:,} {self.unit}"
        if self.total and 0 < self.done <= self.total:
            left = elapsed * (self.total - self.done) / self.done
            text = f"{self.done:,} of {self.total:,} {self.unit} ({self.done / self.total:.0%}), {_clock(left)} left"
        self._say(text)

    def _say(self, text: str) -> None:
        logger.info("%s: %s%s", self.desc, text, f", {self._facts}" if self._facts else "")


def progress(work: Iterable[T] | int, desc: str, *, total: int | None = None, unit: str = "steps") -> Progress[T]:
    """Return the `Progress` of a task, to iterate over or to open with ``with``.

    ``for batch in progress(batches, "scoring", unit="batches")``, or
    ``with progress(num_steps, "training") as bar: bar.update(5, loss=0.31)``.

    Parameters
    ----------
    work
        What to iterate over, or the number of steps.
    desc
        The task, as in ``"scoring: 120 of 3,000 batches (4%), 2:10 left"``.
    total
        Number of steps where `work` does not know its length.
    unit
        What a step is called, in the plural.
    """
    return Progress(work, desc, total=total, unit=unit)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def print_table(frame: pd.DataFrame, *, index: bool = True) -> None:
    """Print `frame` on stdout; see `table_text`."""
    say(table_text(frame, index=index))


def say(text: str) -> None:
    """Print a result on stdout; what its encoding cannot write becomes ``?``."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "replace").decode(encoding))


def table_text(frame: pd.DataFrame, *, index: bool = True) -> str:
    """Return `frame` as lines of aligned plain text: numbers to the right, words to the left, ``-`` where none is.

    Whole numbers get thousands separators. Fractions of one column get the same number of decimals, or four digits
    where they differ much in size.

    Parameters
    ----------
    frame
        A row a line.
    index
        Whether the index is the first column.
    """
    named = [(str(name), frame.iloc[:, i].tolist()) for i, name in enumerate(frame.columns)]
    if index:
        named.insert(0, ("" if frame.index.name is None else str(frame.index.name), frame.index.tolist()))
    columns = []
    for i, (head, values) in enumerate(named):
        numbers = [value for value in values if _is_number(value)]
        decimals = _decimals(numbers)
        cells = [head, *(_cell(value, decimals) for value in values)]
        width = max(map(_width, cells))
        right = bool(numbers) and not (index and i == 0)
        columns.append([_padded(cell, width, right) for cell in cells])
    return "\n".join("  ".join(row).rstrip() for row in zip(*columns, strict=True))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _decimals(numbers: list[float]) -> int | None:
    """Four, if the numbers are fractions that four decimals show well; else None."""
    sizes = [abs(number) for number in numbers if number]
    if not all(isinstance(number, float) for number in numbers) or not sizes:
        return None
    return 4 if min(sizes) >= 0.001 and max(sizes) < 1000 else None


def _cell(value: Any, decimals: int | None = None) -> str:
    if hasattr(value, "item"):  # a number of numpy or torch
        value = value.item()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float) and value == value:
        if decimals is not None:
            return f"{value:.{decimals}f}"
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"
    if isinstance(value, str):
        return " ".join(value.split())
    text = str(value)
    return "-" if text in ("None", "nan", "NaT", "<NA>") else text


def _width(text: str) -> int:
    """Columns of a terminal that `text` takes: letters of East Asia take two, accents put over a letter none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _padded(cell: str, width: int, right: bool) -> str:
    blank = " " * (width - _width(cell))
    return blank + cell if right else cell + blank
