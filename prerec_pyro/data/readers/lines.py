"""Text files line by line, so that files of any size can be read."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from pathlib import Path

from prerec_pyro.data.readers.files import open_bytes
from prerec_pyro.errors import InputError

_LONGEST = 1 << 24  # bytes; parsing a line takes a multiple of its length
_BUFFER = 1 << 17


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, text without blanks at its ends) of each line that is not blank.

    Parameters
    ----------
    path
        File in UTF-8, with or without a byte order mark; unpacked while it is read if its name ends in ``.gz``.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged, not UTF-8, or has a line of more than 16 MiB.
    """
    some = False
    with open_bytes(path) as file:
        read = functools.partial(io.BufferedReader(file, _BUFFER).readline, _LONGEST + 1)
        for number, data in enumerate(iter(read, b""), start=1):
            line = _text(data, path, number).strip()
            if line:
                some = True
                yield number, line
    if not some:
        raise InputError(f"{path}: empty; expected one record on each line, so copy the file again")


def _text(data: bytes, path: Path, number: int) -> str:
    if len(data) > _LONGEST:
        raise InputError(
            f"{path}, line {number}: longer than {_LONGEST:,} bytes; expected one record on each line, so look for "
            "missing line ends"
        )
    try:
        return data.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}, line {number} (byte {error.start} of the line): not UTF-8 ({data[error.start]:#04x}); save the "
            "file as UTF-8"
        ) from None
