"""Priors as values: families, one for each node, and how they are written as text. Re-exports only."""

from __future__ import annotations

from prerec_pyro.models.priors.families import (
    FAMILIES,
    GaussianMixture,
    Horseshoe,
    Hyper,
    Laplace,
    Normal,
    Prior,
    StudentT,
    center,
    hypers,
    sample_node,
    sample_shared,
)
from prerec_pyro.models.priors.hyperpriors import HalfCauchy, HalfNormal, LogNormal
from prerec_pyro.models.priors.node_priors import WEIGHTS, Node, Priors, build
from prerec_pyro.models.priors.parsing import parse

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
]
