"""Where results go: checked before the work begins, written beside, put in place when whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prerec_pyro.errors import InputError


def check_out_folder(out: Path, replaceable: Callable[[Path], bool], sources: Iterable[Path] = ()) -> None:
    """Check that `out` may become a new folder, so that hours of work are not lost at the end.

    Parameters
    ----------
    out
        What the user gave as ``--out``.
    replaceable
        Says of an existing folder whether it holds nothing but an earlier result, which may be replaced whole.
    sources
        What is read; none may lie in `out`, since it would go with it.

    Raises
    ------
    InputError
        Naming ``--out`` and what is in the way.
    """
    if out.name in ("", ".."):
        raise InputError(f"--out {out}: name a folder to make, not one that you are in")
    try:
        if out.exists() and not out.is_dir():
            raise InputError(f"--out {out}: is a file, expected a folder to make; name another one")
        if out.exists() and not replaceable(out):
            raise InputError(
                f"--out {out}: exists and is neither empty nor an earlier result of this command, so it is left "
                "alone; name another folder"
            )
        parent = next(folder for folder in out.absolute().parents if folder.exists())
    except OSError as error:
        raise InputError(f"--out {out}: cannot be looked at ({error.strerror or error}); name another folder") from None
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        why = "may not be written to" if parent.is_dir() else "is a file"
        raise InputError(f"--out {out}: cannot be made, since {parent} {why}; name another folder")
    for source in sources:
        if source.resolve().is_relative_to(out.resolve()):
            raise InputError(f"--out {out}: would replace {source}, which is read; name another folder")


@contextlib.contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """Yield a new, empty folder beside `out` that takes its place, whole, when the block ends without an error.

    Raises
    ------
    InputError
        If it cannot be written or put in place.
    """
    mark = uuid.uuid4().hex
    beside, old = (out.parent / f".{out.name}.{mark}.{end}" for end in ("partial", "old"))
    try:
        beside.mkdir(parents=True)
        yield beside
        if out.exists():
            out.rename(old)
        beside.rename(out)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror or error}); name another folder") from error
    finally:
        if old.exists() and not out.exists():  # stopped between the two renames
            old.rename(out)
        for folder in (beside, old):
            shutil.rmtree(folder, ignore_errors=True)


def check_out_file(out: Path, suffixes: Iterable[str], sources: Iterable[Path] = (), *, option: str = "--out") -> None:
    """Check that `out` may become a new file, so that hours of work are not lost at the end.

    Parameters
    ----------
    out
        What the user gave as ``--out``; a file that is there is replaced.
    suffixes
        How its name may end, such as ``.csv``.
    sources
        Files and folders that are read; `out` may neither be one nor lie in one.
    option
        What the user gave it as.

    Raises
    ------
    InputError
        Naming the option and what is in the way.
    """
    suffixes = list(suffixes)
    if out.suffix.lower() not in suffixes:
        raise InputError(f"{option} {out}: the name must end in {', '.join(suffixes)}; its ending decides the format")
    try:
        if out.is_dir():
            raise InputError(f"{option} {out}: is a folder, expected a file to write; name another one")
        parent = next(folder for folder in out.absolute().parents if folder.exists())
    except OSError as error:
        raise InputError(
            f"{option} {out}: cannot be looked at ({error.strerror or error}); name another file"
        ) from None
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        why = "may not be written to" if parent.is_dir() else "is a file"
        raise InputError(f"{option} {out}: cannot be made, since {parent} {why}; name another file")
    for source in sources:
        if out.resolve().is_relative_to(source.resolve()):
            raise InputError(
                f"{option} {out}: would be written over or into {source}, which is read; name another file"
            )


@contextlib.contextmanager
def staged_file(out: Path, *, option: str = "--out") -> Iterator[Path]:
    """Yield a path beside `out`; what is written there becomes `out` when the block ends without an error.

    Folders that are missing are made, and removed again where the block fails.

    Raises
    ------
    InputError
        If it cannot be written or put in place.
    """
    beside = out.parent / f".{out.name}.{uuid.uuid4().hex}.partial"
    missing = [folder for folder in out.absolute().parents if not folder.exists()]  # innermost first
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        beside.replace(out)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
            for folder in missing:
                folder.rmdir()
        if isinstance(error, OSError):
            why = error.strerror or error
            raise InputError(f"{option} {out}: cannot be written ({why}); name another file") from error
        raise
