"""Domains: from files of interactions and items to batches of queries.

Re-exports only, loaded on first use, so that ``import prerec_pyro.data`` is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.data.encoded import EncodedDomain, encode_domain
    from prerec_pyro.data.popularity import Popularity
    from prerec_pyro.data.readers.online_retail import read_online_retail
    from prerec_pyro.data.readers.parquet import read_parquet
    from prerec_pyro.data.readers.recbole import read_recbole
    from prerec_pyro.data.readers.tables import read_tables
    from prerec_pyro.data.readers.xmarket.reader import read_xmarket
    from prerec_pyro.data.simulation.simulate import SimulationConfig, simulate
    from prerec_pyro.data.splits import UserSplit, split_users
    from prerec_pyro.data.statistics import describe, describe_table
    from prerec_pyro.data.subsets import first_samples
    from prerec_pyro.data.text.whitening import whiten

_HOME = {
    "Domain": "domain",
    "EncodedDomain": "encoded",
    "Popularity": "popularity",
    "SimulationConfig": "simulation.simulate",
    "UserSplit": "splits",
    "describe": "statistics",
    "describe_table": "statistics",
    "encode_domain": "encoded",
    "first_samples": "subsets",
    "read_online_retail": "readers.online_retail",
    "read_parquet": "readers.parquet",
    "read_recbole": "readers.recbole",
    "read_tables": "readers.tables",
    "read_xmarket": "readers.xmarket.reader",
    "simulate": "simulation.simulate",
    "split_users": "splits",
    "whiten": "text.whitening",
}

__all__ = [
    "Domain",
    "EncodedDomain",
    "Popularity",
    "SimulationConfig",
    "UserSplit",
    "describe",
    "describe_table",
    "encode_domain",
    "first_samples",
    "read_online_retail",
    "read_parquet",
    "read_recbole",
    "read_tables",
    "read_xmarket",
    "simulate",
    "split_users",
    "whiten",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
