"""How the learned baselines are trained, and what was chosen for each on validation users."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field
from torch import nn

from prerec_pyro.inference.loop_config import LoopConfig


class BaselineTraining(LoopConfig):
    """How to train a baseline. Learning rates are Adam's, and decay linearly to zero."""

    learning_rate: float = Field(1e-3, ge=0, description="of the networks")
    item_rate: float = Field(1e-3, ge=0, description="of the vectors of items, where there are any, in units of V")
    weight_decay: float = Field(0.0, ge=0, description="Adam's, of the networks")


_FROM_SCRATCH = {
    "gru4rec": BaselineTraining(epochs=10),
    "sasrec": BaselineTraining(epochs=10),
    "zesrec": BaselineTraining(epochs=10),
    "unisrec": BaselineTraining(epochs=10),
}
_FINE_TUNING = BaselineTraining(epochs=10)


def defaults(method: str, *, tuned: bool = False) -> BaselineTraining:
    """Return how a method is trained unless told otherwise; `tuned`: how it is fine-tuned."""
    return _FINE_TUNING if tuned else _FROM_SCRATCH[method]


def adam(module: nn.Module, config: BaselineTraining, *, item_scale: float = 1.0) -> list[torch.optim.Optimizer]:
    """Return Adam over the networks that are not frozen and, where there is one, SparseAdam over the table of items.

    Parameters
    ----------
    module
        A learned baseline; its table is called ``table``.
    config
        Rates.
    item_scale
        What one unit of the table is in units of V.
    """
    dense = [p for name, p in module.named_parameters() if p.requires_grad and not name.startswith("table.")]
    rate = config.learning_rate
    found: list[torch.optim.Optimizer] = [
        torch.optim.Adam([{"params": dense, "lr": rate, "initial_lr": rate}], weight_decay=config.weight_decay)
    ]
    rows: Iterable[nn.Parameter] = [p for name, p in module.named_parameters() if name.startswith("table.")]
    if rows:
        rate = config.item_rate / item_scale
        found.append(torch.optim.SparseAdam([{"params": rows, "lr": rate, "initial_lr": rate}]))
    return found
