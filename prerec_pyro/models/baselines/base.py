"""The interface of a trained baseline: its settings, and the module that scores U·V."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from prerec_pyro.data.batching.batch import Batch


class BaselineConfig(BaseModel):
    """Settings that every trained baseline has; plain JSON, saved with a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latent_dim: int = Field(256, ge=2, description="B")


class BaselineModel(nn.Module):
    """A module with item vectors V from texts and user vectors U from V of the history; it scores U·V.

    Called with training batches it returns its loss, a scalar in nats per query.

    Attributes
    ----------
    text_dim
        Length of a text embedding X_j.
    joint_sources
        Whether a training step reads one batch of every source domain at once; otherwise the domains take turns.
    table
        A vector for each item that the model is trained on; None if items are their texts alone.
    """

    table: nn.Embedding | None

    def __init__(self, text_dim: int, *, joint_sources: bool = False) -> None:
        super().__init__()
        self.text_dim = text_dim
        self.joint_sources = joint_sources
        self.table = None

    def start_from(self, texts: Sequence[Tensor]) -> None:
        """Start the item network at the principal directions of the domains' texts, ``(num_items, text_dim)`` each."""
        raise NotImplementedError

    def items(self, texts: Tensor, rows: Tensor) -> Tensor:
        """Return V, ``(num_rows, B)``.

        Parameters
        ----------
        texts
            X, ``(num_rows, text_dim)``.
        rows
            ``(num_rows,)`` rows of the items in `table`, -1 for an item without one.
        """
        raise NotImplementedError

    def users(self, history: Tensor, positions: Tensor) -> Tensor:
        """Return U, ``(num_queries, B)``.

        Parameters
        ----------
        history
            V of the items that each sequence holds, ``(num_sequences, length, B)``.
        positions
            ``(num_queries,)`` positions of the queries in the flattened ``(num_sequences, length)``.
        """
        raise NotImplementedError


def targets_of(batch: Batch) -> Tensor:
    """Return the targets of a training batch, ``(num_queries,)`` rows of its items.

    Raises
    ------
    ValueError
        If the batch has no targets.
    """
    if batch.targets is None:
        raise ValueError("the batch has no targets: it can be scored, but no loss can be computed from it")
    return batch.targets
