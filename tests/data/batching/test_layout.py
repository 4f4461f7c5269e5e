from __future__ import annotations

import numpy as np

from prerec_pyro.data.batching.layout import lay_out
from prerec_pyro.data.batching.windows import Windows


def test_windows_are_padded_with_their_last_event() -> None:
    windows = Windows(np.array([0, 10]), np.array([3, 2]), np.array([3, 1]))
    layout = lay_out(windows)
    assert layout.events.tolist() == [[0, 1, 2], [10, 11, 11]]
    assert layout.flat.tolist() == [0, 1, 2, 4]
    assert layout.target_events.tolist() == [1, 2, 3, 12]
