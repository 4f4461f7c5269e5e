"""A domain made ready for a recommender: texts as vectors, popularity as an index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.popularity import Normalizer, Popularity
from prerec_pyro.data.text import Encoder, embed_items
from prerec_pyro.data.whitening import whiten


@dataclass(frozen=True, eq=False)
class EncodedDomain:
    """A domain, the text embedding of every item, and where each event falls in the popularity index.

    Attributes
    ----------
    domain
        The tables.
    texts
        X_j, ``(num_items, text_dim)`` float32, whitened where that was asked for.
    popularity
        c_j^T and s_w^T over all events of the domain.
    slots
        Time slot of each event, ``(num_interactions,)`` int64.
    """

    domain: Domain
    texts: Tensor
    popularity: Popularity
    slots: np.ndarray

    @property
    def name(self) -> str:
        """The domain's name."""
        return self.domain.name

    @property
    def num_items(self) -> int:
        """Size of the catalogue."""
        return self.domain.num_items


def encode_domain(
    domain: Domain,
    encoder: Encoder | None = None,
    *,
    window: int = 15,
    normalizer: Normalizer = "catalogue",
    whitening: float = 0.0,
    cache: str | None = None,
) -> EncodedDomain:
    """Encode the texts (or take the embeddings that the domain carries) and index its popularity.

    Parameters
    ----------
    domain
        The tables.
    encoder
        From `prerec_pyro.data.text.load_encoder`; None is the packaged one.
    window, normalizer
        Of `Popularity`: days, and what s_w averages over.
    whitening
        Strength of `whiten`; 0 leaves the embeddings as they are.
    cache
        Folder of the embedding cache; None is the user's.

    Raises
    ------
    InputError
        Where there is no encoder, or the domain's own embeddings do not fit.
    """
    # The user's own embeddings may be read-only, a memory map say; PyTorch wants an array that it could write to.
    vectors = np.require(embed_items(domain, encoder, cache=cache), requirements="W")
    texts = whiten(torch.from_numpy(vectors), whitening)  # (num_items, text_dim)
    popularity = Popularity(domain.item_index, domain.days, domain.num_items, window=window, normalizer=normalizer)
    days = 0 if domain.days is None else domain.days
    slots = np.broadcast_to(popularity.slots(days), (domain.num_interactions,))
    return EncodedDomain(domain, texts, popularity, slots)
