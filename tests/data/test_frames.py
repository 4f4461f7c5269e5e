from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from prerec_pyro.data.frames import Origin, id_strings, missing_rows, quoted, text_strings
from prerec_pyro.errors import InputError

TABLE = Origin("events")
FILE = Origin("log.csv", columns={"user_id": "who"}, lines=lambda rows: rows * 2 + 2)


@pytest.mark.parametrize(
    ("origin", "rows", "text"),
    [
        (TABLE, [0], "row 1"),
        (TABLE, [4, 0], "rows 1 and 5"),
        (TABLE, [0, 1, 2], "rows 1, 2 and 3"),
        (TABLE, list(range(1200)), "rows 1, 2 and 3 (1,200 in all)"),
        (FILE, [3], "line 8"),
        (FILE, [0, 1], "lines 2 and 4"),
    ],
)
def test_rows_are_numbered_as_in_the_source(origin: Origin, rows: list[int], text: str) -> None:
    assert origin.rows(np.array(rows)) == text


def test_columns_are_named_as_in_the_file() -> None:
    assert FILE.column("user_id") == "column 'who' (user_id)"
    assert FILE.column("item_id") == "column 'item_id'"


def test_three_values_are_shown() -> None:
    assert quoted(["a", 1]) == "'a', '1'"
    assert quoted(np.arange(4)) == "'0', '1', '2', …"


def test_missing_is_null_or_blank() -> None:
    assert missing_rows(pa.array(["a", None, " \t", ""], pa.large_string())).tolist() == [1, 2, 3]
    assert missing_rows(pa.array([1, None])).tolist() == [1]


def test_large_numbers_keep_every_digit() -> None:
    big = [2**63 - 1, -(2**63)]
    assert id_strings(pa.array(big), "user_id", TABLE).to_pylist() == [str(number) for number in big]
    assert id_strings(pa.array([2.0**53 - 1]), "user_id", TABLE).to_pylist() == ["9007199254740991"]
    with pytest.raises(InputError, match="digits may already be lost"):
        id_strings(pa.array([2.0**53]), "user_id", TABLE)


def test_texts_keep_their_blanks_and_nulls_become_empty() -> None:
    texts = pa.array([" pie ", None, "3"], pa.large_string())
    assert text_strings(texts, "text", TABLE).to_pylist() == [" pie ", "", "3"]
