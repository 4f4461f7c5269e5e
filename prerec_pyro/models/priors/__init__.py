"""Priors as values: the families, one prior for each node, and their text and JSON forms. Re-exports only."""

from __future__ import annotations

from prerec_pyro.models.priors.families import Horseshoe, Laplace, Normal, StudentT
from prerec_pyro.models.priors.hyperpriors import HalfCauchy, HalfNormal, LogNormal
from prerec_pyro.models.priors.mixture import GaussianMixture
from prerec_pyro.models.priors.node_priors import WEIGHTS, Node, Priors, build
from prerec_pyro.models.priors.parsing import parse, to_text
from prerec_pyro.models.priors.prior import Hyper, Prior, center, hypers, sample_node, sample_shared
from prerec_pyro.models.priors.serialization import FAMILIES

__all__ = [
    "FAMILIES",
    "WEIGHTS",
    "GaussianMixture",
    "HalfCauchy",
    "HalfNormal",
    "Horseshoe",
    "Hyper",
    "Laplace",
    "LogNormal",
    "Node",
    "Normal",
    "Prior",
    "Priors",
    "StudentT",
    "build",
    "center",
    "hypers",
    "parse",
    "sample_node",
    "sample_shared",
    "to_text",
]
