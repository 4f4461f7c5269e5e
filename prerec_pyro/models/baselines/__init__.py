"""Baselines that PreRec is compared with. This package re-exports those that need no training."""

from __future__ import annotations

from prerec_pyro.models.baselines.popularity import MostPopular
from prerec_pyro.models.baselines.random import Random
from prerec_pyro.models.baselines.sbert import SBERT

__all__ = ["SBERT", "MostPopular", "Random"]
