"""A tiny corpus: four domains, and methods that train in a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prerec_pyro.reproduction.corpus.corpus import Corpus
from prerec_pyro.reproduction.plan import Plan
from tests.support.models import small_domain
from tests.support.studies import K_PERCENT, tiny_settings

NAMES = ("films-a", "films-b", "shop", "stall")
OVERLAPS = (frozenset({"films-a", "films-b"}),)


def tiny_corpus(
    folder: Path,
    *,
    overlaps: Sequence[frozenset[str]] = OVERLAPS,
    sources: Sequence[str] | None = None,
    k_percent: float = K_PERCENT,
    seeds: int = 1,
    **plan: object,
) -> Corpus:
    """Four domains of which two overlap; one is order-only."""
    domains = [
        small_domain(name, num_users=24, seed=place, timestamps=name != "stall") for place, name in enumerate(NAMES)
    ]
    methods = {name: tiny_settings(name) for name in ("prerec", "prerec_n")}
    settings = Plan(**({"seeds": seeds, "window": 3, "device": "cpu", "methods": methods} | plan))
    return Corpus(folder, domains[::-1], settings, overlaps=overlaps, sources=sources, k_percent=k_percent)
