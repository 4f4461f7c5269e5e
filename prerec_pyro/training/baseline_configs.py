"""Training settings of the trained baselines, each chosen on validation users."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import Field
from torch import nn

from prerec_pyro.training.loop_config import LoopConfig


class BaselineTraining(LoopConfig):
    """Settings of training a baseline. Learning rates are Adam's and decay linearly to zero.

    >>> BaselineTraining(epochs=2).learning_rate
    0.001
    """

    learning_rate: float = Field(1e-3, ge=0, description="of the sequence network")
    text_rate: float = Field(1e-3, ge=0, description="of the network from texts to items")
    item_rate: float = Field(1e-3, ge=0, description="of the vectors of items, if there are any, in units of V")
    weight_decay: float = Field(0.0, ge=0, description="of Adam, for the networks")


ITEM_VECTORS = ("zesrec", "unisrec")
"""Baselines that have a vector for each item, UniSRec in transductive fine-tuning only; the others ignore item_rate."""

# Chosen on validation users with the budget of docs/baselines.md. On a target the softmax is over all items, up to
# 8,192 of them, as for PreRec. ZESRec and UniSRec are pre-trained for zero-shot use: small sources, so small steps.
_ZERO_SHOT = BaselineTraining(epochs=5, batch_tokens=512, learning_rate=3e-5, text_rate=1e-5)
_FROM_SCRATCH = {
    "gru4rec": BaselineTraining(epochs=10, num_negatives=8192, learning_rate=3e-3),
    "sasrec": BaselineTraining(epochs=10, num_negatives=8192, learning_rate=3e-3, text_rate=3e-3),
    "zesrec": _ZERO_SHOT,
    "unisrec": _ZERO_SHOT,
}
_FINE_TUNING = {
    "gru4rec": _FROM_SCRATCH["gru4rec"],
    "sasrec": _FROM_SCRATCH["sasrec"],
    "zesrec": _FROM_SCRATCH["gru4rec"],  # the same sequence network; not tuned on its own
    "unisrec": BaselineTraining(epochs=10, num_negatives=8192, learning_rate=3e-3, text_rate=3e-3, item_rate=3e-3),
}


def defaults(method: str, *, tuned: bool = False) -> BaselineTraining:
    """Return the settings of pre-training or training from scratch or, if `tuned`, those of fine-tuning.

    >>> defaults("unisrec").learning_rate, defaults("unisrec", tuned=True).learning_rate
    (3e-05, 0.003)
    """
    return (_FINE_TUNING if tuned else _FROM_SCRATCH)[method]


def adam(module: nn.Module, config: BaselineTraining, *, item_scale: float = 1.0) -> list[torch.optim.Optimizer]:
    """Return Adam over the networks that are not frozen and, if there is one, SparseAdam over the table of items.

    Parameters
    ----------
    module
        A baseline; its item network is called ``f_e`` and its table ``table``.
    config
        Settings with the rates.
    item_scale
        One unit of the table in units of V.
    """
    free = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    texts = [free.pop(name) for name in list(free) if name.startswith("f_e.")]
    rows = [free.pop(name) for name in list(free) if name.startswith("table.")]
    networks = [_group(free.values(), config.learning_rate), _group(texts, config.text_rate)]
    found: list[torch.optim.Optimizer] = [torch.optim.Adam(networks, weight_decay=config.weight_decay, fused=True)]
    if rows:
        found.append(torch.optim.SparseAdam([_group(rows, config.item_rate / item_scale)]))
    return found


def _group(parameters: Iterable[nn.Parameter], rate: float) -> dict[str, Any]:
    return {"params": list(parameters), "lr": rate, "initial_lr": rate}
