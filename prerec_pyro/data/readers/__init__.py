"""Readers of common file formats; each returns a checked `Domain`."""

from prerec_pyro.data.readers.online_retail import read_online_retail
from prerec_pyro.data.readers.parquet import read_parquet
from prerec_pyro.data.readers.recbole import read_recbole
from prerec_pyro.data.readers.tables import read_tables
from prerec_pyro.data.readers.xmarket.reader import read_xmarket

__all__ = ["read_online_retail", "read_parquet", "read_recbole", "read_tables", "read_xmarket"]
