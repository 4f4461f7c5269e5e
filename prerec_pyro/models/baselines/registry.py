"""The trained baselines by name: their settings and how they are built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from prerec_pyro.models.baselines.base import BaselineConfig, BaselineModel
from prerec_pyro.models.baselines.gru4rec import GRU4RecConfig, gru4rec
from prerec_pyro.models.baselines.sasrec import SASRecConfig, sasrec
from prerec_pyro.models.baselines.unisrec import UniSRec, UniSRecConfig
from prerec_pyro.models.baselines.zesrec import ZESRec, ZESRecConfig

_Config = TypeVar("_Config", bound=BaselineConfig)


@dataclass(frozen=True)
class BaselineSpec(Generic[_Config]):
    """A trained baseline.

    Attributes
    ----------
    config
        Class of its settings.
    build
        ``(config, text_dim, num_rows, tuned) → model``: `num_rows` is the number of items trained on; `tuned` says
        whether the model is to be fine-tuned, or was.
    tunable
        Settings that fine-tuning may change; the others are the shape of the pre-trained networks.
    """

    config: type[_Config]
    build: Callable[[_Config, int, int, bool], BaselineModel]
    tunable: tuple[str, ...] = ("dropout",)


LEARNED: dict[str, BaselineSpec[Any]] = {
    "gru4rec": BaselineSpec(GRU4RecConfig, lambda config, text_dim, num_rows, tuned: gru4rec(config, text_dim)),
    "sasrec": BaselineSpec(SASRecConfig, lambda config, text_dim, num_rows, tuned: sasrec(config, text_dim)),
    "zesrec": BaselineSpec(
        ZESRecConfig,
        lambda config, text_dim, num_rows, tuned: ZESRec(config, text_dim, num_rows),
        ("dropout", "offset_scale"),
    ),
    "unisrec": BaselineSpec(
        UniSRecConfig,
        lambda config, text_dim, num_rows, tuned: UniSRec(config, text_dim, num_rows, tuned=tuned),
        ("dropout", "expert_dropout", "temperature", "tuning", "tune_encoder"),
    ),
}
"""The trained baselines by the names that the command line uses."""
