from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prerec_pyro.data.frames import Origin
from prerec_pyro.data.times import positions, seconds
from prerec_pyro.errors import InputError

WHEN = 1_443_531_900  # 2015-09-29 13:05 UTC
DAY = 1_443_484_800  # 2015-09-29
ORIGIN = Origin("log.csv", columns={"timestamp": "when"}, lines=lambda rows: rows + 2)


def read(values: Any) -> list[int]:
    column = values if isinstance(values, pa.Array) else pa.array(values)
    if pa.types.is_string(column.type):
        column = column.cast(pa.large_string())
    result, _ = seconds(column, "timestamp", ORIGIN)
    assert result.dtype == np.int64
    return result.tolist()


@pytest.mark.parametrize(
    "values",
    [
        [WHEN],
        [float(WHEN) + 0.75],
        [WHEN * 1000 + 999],
        [WHEN * 10**6],
        [WHEN * 10**9],
        [str(WHEN)],
        [f" {WHEN}.0 "],
        ["1.4435319e9"],
        [str(WHEN * 1000)],
        ["2015-09-29 13:05:00"],
        ["2015-09-29T13:05"],
        ["2015-09-29T13:05:00.25Z"],
        ["2015-09-29T15:05:00+02:00"],
        [datetime.datetime(2015, 9, 29, 13, 5)],
        [datetime.datetime(2015, 9, 29, 15, 5, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))],
        pa.array(pd.Series(["2015-09-29 15:05"], dtype="datetime64[ns]").dt.tz_localize("Europe/Berlin")),
        pl.Series([datetime.datetime(2015, 9, 29, 13, 5)], dtype=pl.Datetime("ms")).to_arrow(),
    ],
)
def test_common_formats_give_the_same_second(values: Any) -> None:
    assert read(values) == [WHEN]


@pytest.mark.parametrize(
    "values",
    [
        ["2015-09-29"],
        [datetime.date(2015, 9, 29)],
        [20150929],
        ["20150929"],
        pa.array([DAY * 1000], pa.date64()),
    ],
)
def test_dates_are_midnight_utc(values: Any) -> None:
    assert read(values) == [DAY]


def test_dates_and_times_may_be_mixed() -> None:
    assert read(["2015-09-29", "2015-09-29T13:05:00", "2015-09-29 13:05:00+00:00"]) == [DAY, WHEN, WHEN]


def test_dates_as_numbers_are_noted_and_seconds_of_1970_are_not_dates() -> None:
    _, notes = seconds(pa.array([20150929, 20151001]), "timestamp", ORIGIN)
    assert "20150929 were read as dates" in notes[0]
    assert read([20150929, 20151399]) == [20150929, 20151399]  # there is no 13th month, so these are seconds


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["2015-09-29", ""], r"log.csv, column 'when' \(timestamp\): line 3: no time, although other rows have one"),
        ([WHEN, None], "line 3: no time"),
        (
            ["2015-09-29", "yesterday", "29/09/2015"],
            r"lines 3 and 4: 'yesterday', '29/09/2015' cannot be read; expected",
        ),
        (["2015-09-29", "2015-02-30"], "line 3: '2015-02-30' cannot be read"),
        (["2015-09-29", str(WHEN), "2015-09-30"], f"line 3: '{WHEN}' cannot be read"),
        (
            [WHEN, WHEN * 1000, WHEN],
            f"line 3: '{WHEN * 1000}' is in another unit than the rest, .* like seconds",
        ),
        ([str(WHEN * 1000), str(WHEN), str(WHEN * 1000)], "line 3: .* looks like milliseconds"),
        ([0, WHEN], "line 2: '0' lies before 1970-01-02 or after 2099"),
        ([-5, WHEN], "line 2: '-5' lies before"),
        ([1, 2, 3, 4], r"lines 2, 3 and 4 \(4 in all\).*a position belongs in a column named 'order'"),
        (["2015-09-29", "2101-01-01"], "line 3: '2101-01-01' lies before 1970-01-02 or after 2099"),
        (["1969-07-20"], "lies before"),
        ([4_102_444_800], "after 2099"),
        ([True], "values of type bool are no times"),
        ([datetime.time(13, 5)], "are no times"),
        ([float("inf")], "line 2: 'inf'"),
        (["9" * 40], "line 2: '9999999"),
    ],
)
def test_unusable_times_are_refused(values: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(values)


@given(st.lists(st.integers(86_400, 4_102_444_799), min_size=1, max_size=20))
def test_any_second_survives_as_a_date_in_text(times: list[int]) -> None:
    written = [datetime.datetime.fromtimestamp(time, tz=datetime.UTC).isoformat() for time in times]
    assert read(written) == times


# Before 1973-03-03, milliseconds are as small as seconds of a distant year; later, the units differ clearly.
@given(
    st.lists(st.integers(10**8, 4_102_444_799), min_size=1, max_size=20),
    st.sampled_from([1, 10**3, 10**6, 10**9]),
)
def test_the_magnitude_tells_the_unit(times: list[int], unit: int) -> None:
    assert read([time * unit for time in times]) == times


def test_positions_are_numbers_of_any_kind() -> None:
    assert positions(pa.array([3, 1]), "order", ORIGIN).tolist() == [3, 1]
    assert positions(pa.array([0.5, -1]), "order", ORIGIN).tolist() == [0.5, -1]
    strings = pa.array(["+10", " 9 "], pa.large_string())
    assert positions(strings, "order", ORIGIN).tolist() == [10, 9]
    assert positions(pa.array(["1.5", "2"], pa.large_string()), "order", ORIGIN).tolist() == [1.5, 2]
    big = pa.array([str(2**60 + 1), str(2**60)], pa.large_string())
    assert np.argsort(positions(big, "order", ORIGIN)).tolist() == [1, 0]
