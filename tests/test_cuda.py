"""The same program on a CUDA device; skipped, with the reason, where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from prerec_pyro.data.batching.repeats import SeenItems
from prerec_pyro.ranking.exact import ScoreFactors, StreamingTopK
from prerec_pyro.ranking.users import Users
from prerec_pyro.recommenders.prerec import PreRec
from tests.support.models import prerec, small_domain, training

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device here"),
]


def test_trains_on_cuda_and_ranks_alike_on_the_cpu(tmp_path: Path) -> None:
    sources, target = [small_domain("a"), small_domain("b", seed=1)], small_domain("c", seed=2)
    model = prerec(training=training(epochs=2), device="cuda").fit(sources)
    assert all(parameter.is_cuda for parameter in model.graph.parameters())
    assert all(np.isfinite(row["loss"]) for row in model.history)
    model.save(tmp_path / "model")
    there, here = (PreRec.load(tmp_path / "model", device=device) for device in ("cuda", "cpu"))
    ours, theirs = (one.recommend(target, k=5) for one in (there, here))
    np.testing.assert_allclose(ours["score"], theirs["score"], rtol=1e-3, atol=1e-4)


def test_lists_made_block_by_block_on_cuda_equal_those_on_the_cpu() -> None:
    generator = torch.Generator().manual_seed(0)
    users, items = torch.randn(8, 16, generator=generator), torch.randn(3000, 16, generator=generator)
    popularity = torch.randint(0, 4, (3000,), generator=generator).float()
    seen = SeenItems(np.arange(8), np.arange(8) * 100, np.ones((8, 2), np.float32))
    lists = [
        StreamingTopK(ScoreFactors(items.to(device), popularity.to(device), -1.0, -1.0))(
            Users(users.to(device)), 20, seen=seen, hidden=seen[:2]
        )
        for device in ("cpu", "cuda")
    ]
    assert torch.equal(lists[0][1], lists[1][1].cpu())
    torch.testing.assert_close(lists[0][0], lists[1][0].cpu(), rtol=1e-3, atol=1e-4)
