"""Output files and folders: checked before the work, written to a temporary path, renamed when complete."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from prerec_pyro.errors import InputError


def check_out_folder(out: Path, replaceable: Callable[[Path], bool], sources: Iterable[Path] = ()) -> None:
    """Check that the command can make the folder `out`, before hours of work depend on it.

    Parameters
    ----------
    out
        Path that the user gave as ``--out``.
    replaceable
        Function that returns whether an existing folder is empty or an earlier result, which may be replaced.
    sources
        Paths that the command reads. None may lie in `out`, because replacing `out` would delete it.

    Raises
    ------
    InputError
        If `out` cannot be made; the message names ``--out`` and the reason.
    """
    if out.name in ("", ".."):
        raise InputError(f"--out {out}: expected the path of a new folder; name a folder to make")
    try:
        if out.exists() and not out.is_dir():
            raise InputError(f"--out {out}: is a file, expected a folder; name another folder")
        if out.exists() and not replaceable(out):
            raise InputError(
                f"--out {out}: exists and is neither empty nor an earlier result of this command, so it is not "
                "replaced; name another folder"
            )
    except OSError as error:
        raise InputError(f"--out {out}: cannot be read ({error.strerror or error}); name another folder") from None
    _check_parent(out, "--out", "folder")
    for source in sources:
        if source.resolve().is_relative_to(out.resolve()):
            raise InputError(f"--out {out}: would replace {source}, which this command reads; name another folder")


def check_out_file(out: Path, suffixes: Iterable[str], sources: Iterable[Path] = (), *, option: str = "--out") -> None:
    """Check that the command can write the file `out`, before hours of work depend on it.

    Parameters
    ----------
    out
        Path that the user gave. An existing file is replaced.
    suffixes
        Allowed endings of its name, such as ``.csv``.
    sources
        Files and folders that the command reads. `out` may neither be one of them nor lie in one.
    option
        Name of the option that gave `out`.

    Raises
    ------
    InputError
        If `out` cannot be written; the message names the option and the reason.
    """
    suffixes = list(suffixes)
    if out.suffix.lower() not in suffixes:
        raise InputError(f"{option} {out}: the name must end in {', '.join(suffixes)}; the ending sets the format")
    try:
        if out.is_dir():
            raise InputError(f"{option} {out}: is a folder, expected a file; name another file")
    except OSError as error:
        raise InputError(f"{option} {out}: cannot be read ({error.strerror or error}); name another file") from None
    _check_parent(out, option, "file")
    for source in sources:
        if out.resolve().is_relative_to(source.resolve()):
            place = "is the same as" if out.resolve() == source.resolve() else "lies in"
            raise InputError(f"{option} {out}: {place} {source}, which this command reads; name another file")


def _check_parent(out: Path, option: str, kind: str) -> None:
    """Check that the nearest existing parent of `out` is a folder that this process may write to."""
    try:
        parent = next(folder for folder in out.absolute().parents if folder.exists())
    except OSError as error:
        raise InputError(f"{option} {out}: cannot be read ({error.strerror or error}); name another {kind}") from None
    if not parent.is_dir():
        raise InputError(f"{option} {out}: cannot be made because {parent} is a file; name another {kind}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"{option} {out}: cannot be made because {parent} is not writable; name another {kind}")


@contextlib.contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """Yield a new, empty folder beside `out`; it replaces `out` when the block ends without an error.

    Parameters
    ----------
    out
        Folder to make or replace.

    Raises
    ------
    InputError
        If the folder cannot be written or renamed.
    """
    mark = uuid.uuid4().hex
    partial, old = (out.parent / f".{out.name}.{mark}.{end}" for end in ("partial", "old"))
    try:
        partial.mkdir(parents=True)
        yield partial
        if out.exists():
            out.rename(old)
        partial.rename(out)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror or error}); name another folder") from error
    finally:
        if old.exists() and not out.exists():  # the run stopped between the two renames
            old.rename(out)
        for folder in (partial, old):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def staged_file(out: Path, *, option: str = "--out") -> Iterator[Path]:
    """Yield a path beside `out`; the file written there replaces `out` when the block ends without an error.

    Missing parent folders are made, and removed again if the block fails.

    Parameters
    ----------
    out
        File to write or replace.
    option
        Name of the option that gave `out`.

    Raises
    ------
    InputError
        If the file cannot be written or renamed.
    """
    partial = out.parent / f".{out.name}.{uuid.uuid4().hex}.partial"
    missing = [folder for folder in out.absolute().parents if not folder.exists()]  # innermost first
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(out)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
            for folder in missing:
                folder.rmdir()
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise InputError(f"{option} {out}: cannot be written ({reason}); name another file") from error
        raise


def json_text(value: Any) -> str:
    """Return `value` as indented JSON with a final newline.

    Raises
    ------
    ValueError
        If a number is NaN or infinite, which JSON has no value for.
    """
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
