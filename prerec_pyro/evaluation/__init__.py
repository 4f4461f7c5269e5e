"""The evaluation protocol, its metrics, and comparisons of recommenders; every name is loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prerec_pyro.evaluation.bootstrap import Difference, mean_over_seeds, paired_bootstrap
    from prerec_pyro.evaluation.exposure import ExposureMetrics, catalogue_coverage, mean_popularity
    from prerec_pyro.evaluation.metrics import (
        RankingMetrics,
        TargetRanks,
        expected_metric,
        metric_values,
        target_ranks,
        top_k_size,
        usable_k_percent,
    )
    from prerec_pyro.evaluation.oracle import Oracle
    from prerec_pyro.evaluation.protocol import Evaluation, evaluate, validation_score
    from prerec_pyro.evaluation.transfer import Rival, TransferSummary, describe_transfer, transfer_summary

_MODULES = {
    "Difference": "bootstrap",
    "Evaluation": "protocol",
    "ExposureMetrics": "exposure",
    "Oracle": "oracle",
    "RankingMetrics": "metrics",
    "Rival": "transfer",
    "TargetRanks": "metrics",
    "TransferSummary": "transfer",
    "catalogue_coverage": "exposure",
    "describe_transfer": "transfer",
    "evaluate": "protocol",
    "expected_metric": "metrics",
    "mean_over_seeds": "bootstrap",
    "mean_popularity": "exposure",
    "metric_values": "metrics",
    "paired_bootstrap": "bootstrap",
    "target_ranks": "metrics",
    "top_k_size": "metrics",
    "transfer_summary": "transfer",
    "usable_k_percent": "metrics",
    "validation_score": "protocol",
}

__all__ = [
    "Difference",
    "Evaluation",
    "ExposureMetrics",
    "Oracle",
    "RankingMetrics",
    "Rival",
    "TargetRanks",
    "TransferSummary",
    "catalogue_coverage",
    "describe_transfer",
    "evaluate",
    "expected_metric",
    "mean_over_seeds",
    "mean_popularity",
    "metric_values",
    "paired_bootstrap",
    "target_ranks",
    "top_k_size",
    "transfer_summary",
    "usable_k_percent",
    "validation_score",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
