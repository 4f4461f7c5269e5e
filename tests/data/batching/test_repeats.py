from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.batching.repeats import (
    repeat_counts,
    repeated_targets,
    repeats_among,
    repeats_in_catalogue,
    seen_items,
)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 4), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_pairs_and_counts_belong_to_the_prefix(num_sequences: int, length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    history = rng.integers(0, 6, (num_sequences, length))
    positions = np.sort(rng.choice(history.size, rng.integers(1, history.size + 1), replace=False))
    negatives, targets = rng.integers(0, 8, 5), rng.integers(0, 8, len(positions))
    prefixes = [set(history[p // length, : p % length + 1].tolist()) for p in positions]

    pairs = list(zip(*(part.tolist() for part in repeats_in_catalogue(history, positions)), strict=True))
    assert pairs == sorted({(q, item) for q, prefix in enumerate(prefixes) for item in prefix})
    pairs = list(zip(*(part.tolist() for part in repeats_among(history, positions, negatives)), strict=True))
    assert pairs == [(q, c) for q, prefix in enumerate(prefixes) for c, n in enumerate(negatives) if n in prefix]
    repeated = repeated_targets(history, positions, targets)
    assert repeated.tolist() == [t in prefix for t, prefix in zip(targets.tolist(), prefixes, strict=True)]
    reads = [history[p // length, : p % length + 1].tolist() for p in positions]
    repeated_events = [sum(item in read[:step] for step, item in enumerate(read)) for read in reads]
    counts = repeat_counts(history, positions)
    assert counts.tolist() == [[a, len(read) - 1 - a] for a, read in zip(repeated_events, reads, strict=True)]
    seen = seen_items(history, positions)
    assert list(zip(seen.rows, seen.items, strict=True)) == sorted({(q, i) for q, p in enumerate(prefixes) for i in p})
    assert np.array_equal(seen.counts, counts)
