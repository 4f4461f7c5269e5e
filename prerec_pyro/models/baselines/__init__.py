"""Recommenders that PreRec is compared with."""

from prerec_pyro.models.baselines.popularity import MostPopular
from prerec_pyro.models.baselines.sbert import SBERT
from prerec_pyro.models.baselines.uniform import Random

__all__ = ["SBERT", "MostPopular", "Random"]
