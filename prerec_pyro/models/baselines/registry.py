"""The baselines that are trained: each one's settings, and how it is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from torch import nn

from prerec_pyro.models.baselines.gru4rec import GRU4RecConfig, gru4rec
from prerec_pyro.models.baselines.sasrec import SASRecConfig, sasrec
from prerec_pyro.models.baselines.unisrec import UniSRec, UniSRecConfig
from prerec_pyro.models.baselines.zesrec import ZESRec, ZESRecConfig


@dataclass(frozen=True)
class Learned:
    """A trained baseline.

    Attributes
    ----------
    config
        Its settings.
    build
        ``(config, text_dim, num_rows, tuned) → module``: num_rows items are trained on; tuned says whether it is the
        module that fine-tuning trains. A module answers to ``items(texts, rows)``, ``users(history, positions)``,
        ``start_from(texts)`` and, with batches, gives its loss; ``together``: whether it wants one of every source.
    tunable
        Settings that fine-tuning may choose anew; the others are the shape of what was pre-trained.
    """

    config: type[BaseModel]
    build: Callable[[Any, int, int, bool], nn.Module]
    tunable: tuple[str, ...] = ("dropout",)


LEARNED = {
    "gru4rec": Learned(GRU4RecConfig, lambda config, text_dim, num_rows, tuned: gru4rec(config, text_dim)),
    "sasrec": Learned(SASRecConfig, lambda config, text_dim, num_rows, tuned: sasrec(config, text_dim)),
    "zesrec": Learned(
        ZESRecConfig,
        lambda config, text_dim, num_rows, tuned: ZESRec(config, text_dim, num_rows),
        ("dropout", "offset_scale"),
    ),
    "unisrec": Learned(
        UniSRecConfig,
        lambda config, text_dim, num_rows, tuned: UniSRec(config, text_dim, num_rows, tuned=tuned),
        ("dropout", "expert_dropout", "temperature", "tuning", "tune_encoder"),
    ),
}
