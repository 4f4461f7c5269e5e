"""Overlap of lists, and the summary of affected users, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from prerec_pyro.causal.measurement import affected_users
from prerec_pyro.causal.measurement.affected_users import overlap, user_summary


@pytest.mark.parametrize("chunk", [1, 2, 1 << 14])
def test_overlap_of_lists(monkeypatch, chunk):
    monkeypatch.setattr(affected_users, "_CHUNK", chunk)
    one = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    other = np.array([[3, 1, 2], [4, 9, 8], [1, 2, 3]])
    assert overlap(one, other) == pytest.approx([1, 1 / 3, 0])


def test_the_summary_counts_users():
    users = pd.DataFrame({"overlap": [0.2, 0.5, 1.0, 1.0], "r_ndcg_change": [-0.1, 0.0, 0.3, 0.2]})
    found = user_summary(users)
    assert found["mean_overlap"] == pytest.approx(0.675)
    assert (found["share_unchanged"], found["share_half_changed"]) == (0.5, 0.5)
    assert (found["share_better"], found["share_worse"]) == (0.5, 0.25)
