"""(row, item) pairs as tensors."""

from __future__ import annotations

import numpy as np
import torch

from prerec_pyro.ranking.pairs import as_tensors


def test_pairs_index_a_matrix() -> None:
    scores = torch.zeros(2, 5)
    scores[as_tensors((np.array([0, 0, 1], np.int32), np.array([2, 1, 4], np.int32)), scores.device)] = 1.0
    assert scores.nonzero().tolist() == [[0, 1], [0, 2], [1, 4]]


def test_no_pairs_are_an_empty_set() -> None:
    scores = torch.zeros(2, 5)
    scores[as_tensors(None, scores.device)] = 1.0
    assert not scores.any()
