"""Data frames as aligned text."""

from __future__ import annotations

import unicodedata

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from prerec_pyro.cli.tables import table_text


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


def test_strings_that_look_missing_are_kept() -> None:
    assert table_text(pd.DataFrame({"id": ["nan", "None", "a\nb", None, pd.NaT]}), index=False).splitlines() == [
        *("id", "nan", "None", "a b", "-", "-")
    ]


def test_an_empty_table_has_a_head() -> None:
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
def test_columns_of_any_table_line_up(rows: list[tuple[str, object]]) -> None:
    frame = pd.DataFrame(rows, columns=["name", "value"], dtype=object)
    frame["end"] = "|"
    lines = table_text(frame, index=False).splitlines()
    assert len(lines) == len(rows) + 1
    assert len({_columns(line[: line.rindex("|")]) for line in lines[1:]} | {_columns(lines[0][:-3])}) == 1
