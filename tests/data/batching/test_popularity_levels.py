from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.batching.popularity_levels import _numbered


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=40), st.integers(31, 400))
def test_keys_are_numbered_as_by_sorting_them(keys: list[int], limit: int) -> None:
    """Few possible keys are marked in a table, many are sorted; the result is the same."""
    level, row = _numbered(np.array(keys, np.int64), limit)
    expected, expected_row = np.unique(np.array(keys, np.int64), return_inverse=True)
    assert level.tolist() == expected.tolist()
    assert row.tolist() == expected_row.tolist()
