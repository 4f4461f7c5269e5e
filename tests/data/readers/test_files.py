from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prerec_pyro.data.readers import files
from prerec_pyro.data.readers.files import check_utf8, parse_delimited, read_bytes
from prerec_pyro.errors import InputError

PATH = Path("log.csv")


def parse(text: str | bytes, **options: object) -> files.FileTable:
    data = text if isinstance(text, bytes) else text.encode()
    return parse_delimited(PATH, data, **{"delimiter": ",", **options})


def test_values_are_strings_exactly_as_written() -> None:
    table = parse('a,b\n007,NA\n1.0,\n null ,"x,""y"""\n').table
    assert table.to_pydict() == {"a": ["007", "1.0", " null "], "b": ["NA", "", 'x,"y"']}


def test_byte_order_mark_and_windows_line_ends() -> None:
    table = parse(b"\xef\xbb\xbfa,b\r\n1,2\r\n").table
    assert table.to_pydict() == {"a": ["1"], "b": ["2"]}


def test_lines_count_quoted_line_breaks_and_blank_lines() -> None:
    file = parse('a,b\n1,"x\ny"\n\n2,z\n"3\n\n",w\n4,v\n')
    assert file.table["a"].to_pylist() == ["1", "2", "3\n\n", "4"]
    assert file.lines(np.array([0, 1, 2, 3])).tolist() == [2, 5, 6, 9]
    assert file.lines(np.array([2])).tolist() == [6]


def test_quotes_are_letters_where_the_format_has_none() -> None:
    file = parse('a\tb\n1\t"Hello\n2\tx"y"\n', delimiter="\t", quotes=False)
    assert file.table["b"].to_pylist() == ['"Hello', 'x"y"']
    assert file.lines(np.array([1])).tolist() == [3]


_cell = st.text(st.characters(codec="utf-8", exclude_characters="\r\0\ufeff"), max_size=6)


@given(st.lists(st.tuples(_cell, st.just("end")), max_size=8))
def test_what_csv_writes_is_read_back(rows: list[tuple[str, str]]) -> None:
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("a", "b"), *rows])
    assert parse(file.getvalue()).table["a"].to_pylist() == [cell for cell, _ in rows]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "log.csv: empty; expected a header line"),
        ("\n \n", "log.csv: empty"),
        ("a,b,a\n1,2,3\n", "line 1: two columns are called 'a'"),
        ("a,b,c\n1,2,3\n4,5\n", "log.csv: line 3 has 2 fields, the header has 3"),
        ('a,b\n"1\n1",2\n\n4,5,6\n7\n', "line 5 has 3 fields; line 6 has 1 fields, the header has 2"),
        (
            "a,b\n" + "1,2,3\n" * 9,
            r"line 2 has 3 fields; line 3 .*; line 4 has 3 fields \(9 such rows in all\)",
        ),
        ('a,b\n1,2\n3,"4\n5,6\n7,8\n', "line 3: a quote .* is opened and never closed"),
        ('a,b\n1,2\n"3,4\n5,6\n', "line 3 has 1 fields"),
    ],
)
def test_malformed_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(text)


def test_a_value_larger_than_a_block_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_BLOCK_BYTES", 64)
    with pytest.raises(InputError, match=r"a quote that is never closed"):
        parse('a,b\n1,"2\n' + "3,4\n" * 100)


def test_bytes_that_are_not_utf8_are_located() -> None:
    data = "a,b\n1,x\n2,£\n".encode("latin-1")
    with pytest.raises(InputError, match=r"log.csv, line 3 \(byte 10 of the file\): not UTF-8 \(0xa3\); save"):
        check_utf8(data, PATH)
    with pytest.raises(InputError, match=r"line 1 .byte 0"):
        parse("a,b\n1,2\n".encode("utf-16"))


def test_gzip_is_unpacked_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.gz"
    packed = gzip.compress(b"a,b\n" + bytes(range(48, 123)) * 40, mtime=0)
    path.write_bytes(packed)
    assert read_bytes(path).startswith(b"a,b\n")
    broken = packed[:20] + bytes([packed[20] ^ 255]) + packed[21:]
    for data in (packed[:-12], packed[: len(packed) // 2], b"a,b\n1,2\n", broken):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"log\.csv\.gz: the gzip data are truncated or damaged"):
            read_bytes(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.csv: no such file"):
        read_bytes(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match=r"is a folder, expected a file"):
        read_bytes(tmp_path)
