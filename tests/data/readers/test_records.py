from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prerec_pyro.data.readers import records
from prerec_pyro.data.readers.records import parse_records

_texts = st.text(st.characters(codec="utf-8"), max_size=8)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_records = st.lists(st.dictionaries(_texts, _values, max_size=4), max_size=3)


@given(_records)
def test_json_and_python_literals_give_the_same_objects(written: list[dict[str, Any]]) -> None:
    for line in (json.dumps(written), json.dumps(written, ensure_ascii=False), repr(written)):
        assert repr(parse_records(line)) == repr(written)  # repr, since NaN is not equal to itself


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"a": 1}', [{"a": 1}]),
        ("[]", []),
        ('[null, {"a": "x\ty"}]', [{"a": "x\ty"}]),
        ("[None, {'a': True, 'b': null, 'c': false}]", [{"a": True, "b": None, "c": False}]),
        (r"{'a': 'it\'s \d', 'b': (1, -2.5)}", [{"a": r"it's \d", "b": (1, -2.5)}]),
    ],
)
def test_lines_of_either_kind(line: str, expected: list[dict[str, Any]]) -> None:
    assert parse_records(line) == expected


@pytest.mark.parametrize("line", ['{"a": NaN}', "{'a': nan}", "{'a': NaN, 'b': None}"])
def test_nan_by_any_name(line: str) -> None:
    assert math.isnan(parse_records(line)[0]["a"])


@pytest.mark.parametrize(
    "line",
    [
        "ratings",
        "{'a': 1",
        '{"a": 1} {"b": 2}',
        "{'a': __import__('os').system('true')}",
        "{'a': open}",
        "{'a': 1 if True else 2}",
        "{[]: 1}",
        "{'a': 'x\0y'}",
        "{'a': '\\ud800",
        '{"a": 1' + "0" * 5000 + "}",
        "[" * 100_000,
        "-" * 200_000 + "1",
    ],
)
def test_what_is_no_literal_is_refused_and_not_executed(line: str) -> None:
    with pytest.raises(ValueError, match=r"neither JSON \(.*\) nor a Python literal"):
        parse_records(line)


def test_a_literal_is_refused_where_parsing_it_would_take_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_LONGEST_LITERAL", 20)
    assert parse_records("{'a': '0123456789'}") == [{"a": "0123456789"}]
    assert parse_records('{"a": "0123456789abcdef"}') == [{"a": "0123456789abcdef"}]  # JSON may be longer
    with pytest.raises(ValueError, match=r"nor a Python literal of at most 20 characters"):
        parse_records("{'a': '0123456789ab'}")


@pytest.mark.parametrize("line", ["1", '"text"', "[1]", "[[{}]]", "{'a', 'b'}"])
def test_what_holds_no_objects_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="neither an object nor a list of objects"):
        parse_records(line)
