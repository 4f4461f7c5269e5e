"""In which numbers a step is computed."""

from __future__ import annotations

import numpy as np
import pyro
import pytest
import torch
from pydantic import ValidationError

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.training.batch_schedule import Source
from prerec_pyro.training.precision import autocast, multiplies_bfloat16
from prerec_pyro.training.recipes import TrainConfig
from prerec_pyro.training.trainer import Trainer
from tests.support.graphs import make_batch, make_encoded, make_graph

CPU = torch.device("cpu")


def product(precision: str) -> torch.dtype:
    with autocast(precision, CPU):
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


def test_products_are_in_the_numbers_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (product("float32"), product("bfloat16")) == (torch.float32, torch.bfloat16)
    for name in ("avx512_bf16", "amx_bf16"):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda name=name: {name: True})
        assert multiplies_bfloat16(CPU)
        assert product("auto") == torch.bfloat16
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, "amx_bf16": False})
    assert not multiplies_bfloat16(CPU)
    assert product("auto") == torch.float32
    assert not multiplies_bfloat16(torch.device("cuda"))


def test_a_configuration_names_one_of_three() -> None:
    assert TrainConfig().precision == "auto"
    with pytest.raises(ValidationError, match="precision"):
        TrainConfig(precision="float16")


@pytest.mark.parametrize("num_negatives", [7, 100])
@pytest.mark.parametrize("kind", ["extended", "paper", "unconfounded"])
def test_priors_and_popularity_stay_in_float32(kind: str, num_negatives: int) -> None:
    """Only products of texts, histories, users and items are rounded; what is sampled is in float32."""
    graph = make_graph(kind).float()
    batch = make_batch(make_encoded(), num_negatives=num_negatives)
    traces = {}
    for precision in ("float32", "bfloat16"):
        with torch.no_grad(), autocast(precision, CPU):
            torch.manual_seed(0)
            traces[precision] = pyro.poutine.trace(graph).get_trace(batch)
            traces[precision].compute_log_prob()
    full, half = traces["float32"].nodes, traces["bfloat16"].nodes
    if "Z" in graph.edges:
        torch.testing.assert_close(full["Z"]["value"], half["Z"]["value"], rtol=0, atol=0)
    for node in set(graph.edges) - {"R"}:
        fn = half[node]["fn"]
        assert fn.base_dist.loc.dtype == half[node]["value"].dtype == torch.float32
    for node in graph.edges:
        assert half[node]["log_prob"].dtype == torch.float32
    logits = [nodes["R"]["fn"].logits for nodes in (full, half)]
    finite = logits[0].isfinite()
    assert (logits[1].isfinite() == finite).all()
    gap = (logits[0] - logits[1])[finite].abs().max()
    assert 0 < gap < 0.05 * logits[0][finite].abs().max()


def test_a_step_is_computed_in_the_numbers_asked_for() -> None:
    seen = []

    class Product(torch.nn.Linear):
        def forward(self, *batches: Batch) -> torch.Tensor:
            seen.append(super().forward(torch.ones(1, 2)).dtype)
            return self.weight.sum()

    for precision in ("float32", "bfloat16"):
        module = Product(2, 2)
        rates = [torch.optim.SGD([{"params": module.parameters(), "lr": 0.1, "initial_lr": 0.1}])]
        source = Source(make_encoded(), np.arange(5), 0, 0)
        Trainer(module, rates, [source], TrainConfig(precision=precision)).step(make_batch(make_encoded()))
    assert seen == [torch.float32, torch.bfloat16]
