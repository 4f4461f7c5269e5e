from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from prerec_pyro.data.readers import lines
from prerec_pyro.data.readers.lines import read_lines
from prerec_pyro.errors import InputError


def test_lines_keep_their_numbers_and_lose_their_line_ends(tmp_path: Path) -> None:
    content = "\ufeff a b \r\n\n \t\nçé\nlast".encode()
    plain, packed = tmp_path / "a.txt", tmp_path / "a.txt.gz"
    plain.write_bytes(content)
    packed.write_bytes(gzip.compress(content[:20]) + gzip.compress(content[20:]))  # two gzip members
    for path in (plain, packed):
        assert list(read_lines(path)) == [(1, "a b"), (4, "çé"), (5, "last")]


def test_a_file_is_read_only_as_far_as_needed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"first\n" + bytes(range(48, 123)) * 100_000)[:-10])
    assert next(read_lines(path)) == (1, "first")  # the damage comes later


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.txt: empty; expected one record on each line"),
        (b"\n \n", r"a\.txt: empty"),
        (b"fine\ncaf\xe9 au lait\n", r"a\.txt, line 2 \(byte 3 of the line\): not UTF-8 \(0xe9\); save the file"),
        ("one\n".encode("utf-16"), r"line 1 \(byte 0"),
        (b"fine\n" + b"x" * 65, r"a\.txt, line 2: longer than 64 bytes; .* missing line ends"),
    ],
)
def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str) -> None:
    monkeypatch.setattr(lines, "_LONGEST", 64)
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_lines(path))


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    whole = gzip.compress(b"a line\n" * 100)
    for data in (whole[:-9], whole[:15], b"a line\n"):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"a\.txt\.gz: the gzip data are truncated or damaged"):
            list(read_lines(path))
    with pytest.raises(InputError, match=r"nowhere: no such file"):
        list(read_lines(tmp_path / "nowhere"))
