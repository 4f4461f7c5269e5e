"""Protocols of a domain, for the modules that `prerec_pyro.data.domain` imports and that cannot import it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np


class DomainTables(Protocol):
    """The attributes of a `Domain` that storage and the printed summary read; shapes as in `Domain`."""

    @property
    def name(self) -> str:
        """Name of the domain."""

    @property
    def item_ids(self) -> np.ndarray:
        """``(num_items,)`` strings."""

    @property
    def item_texts(self) -> np.ndarray:
        """``(num_items,)`` strings."""

    @property
    def item_covariates(self) -> Mapping[str, np.ndarray]:
        """Name → ``(num_items,)`` float32."""

    @property
    def first_seen(self) -> np.ndarray | None:
        """``(num_items,)`` int32 days, -1 for an item without one, or None."""

    @property
    def user_ids(self) -> np.ndarray:
        """``(num_users,)`` strings."""

    @property
    def offsets(self) -> np.ndarray:
        """``(num_users + 1,)`` int64."""

    @property
    def item_index(self) -> np.ndarray:
        """``(num_interactions,)`` int32."""

    @property
    def user_of_event(self) -> np.ndarray:
        """``(num_interactions,)`` int32."""

    @property
    def timestamps(self) -> np.ndarray | None:
        """``(num_interactions,)`` int64 seconds, or None."""

    @property
    def order(self) -> np.ndarray:
        """``(num_interactions,)`` int64."""

    @property
    def embeddings(self) -> np.ndarray | None:
        """``(num_items, text_dim)`` float32, or None."""

    @property
    def provenance(self) -> dict[str, Any]:
        """Plain JSON."""

    @property
    def num_items(self) -> int:
        """Number of items."""

    @property
    def num_users(self) -> int:
        """Number of users."""

    @property
    def num_interactions(self) -> int:
        """Number of events."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content."""
