"""A domain made ready for a recommender: texts as vectors, popularity as an index."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.popularity import Normalizer, Popularity
from prerec_pyro.data.text.encoder import Encoder, embed_items
from prerec_pyro.data.text.whitening import whiten
from prerec_pyro.errors import InputError


@dataclass(frozen=True, eq=False)
class EncodedDomain:
    """A domain, the text embedding of every item, and where each event falls in the popularity index.

    Attributes
    ----------
    domain
        The tables.
    texts
        X_j, ``(num_items, text_dim)`` float32.
    popularity
        c_j^T and s_w^T over all events of the domain.
    slots
        Time slot of each event, ``(num_interactions,)`` int64.
    whitening
        Strength with which the texts were whitened.
    """

    domain: Domain
    texts: Tensor
    popularity: Popularity
    slots: np.ndarray
    whitening: float = 0.0
    _whitened: dict[float, EncodedDomain] = field(default_factory=dict, repr=False)

    def whitened(self, strength: float) -> EncodedDomain:
        """Return the domain with its texts whitened (see `whiten`), computed once for each strength."""
        if strength == self.whitening:
            return self
        if self.whitening:
            raise ValueError(f"the texts are whitened already, by {self.whitening}")
        if strength not in self._whitened:
            texts = whiten(self.texts, strength)
            self._whitened[strength] = replace(self, texts=texts, whitening=strength, _whitened={})
        return self._whitened[strength]

    @property
    def name(self) -> str:
        """The domain's name."""
        return self.domain.name

    @property
    def covariates(self) -> dict[str, Tensor]:
        return {}

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
    cache: str | None = None,
) -> EncodedDomain:
    """Encode the texts (or take the embeddings that the domain carries) and index its popularity.

    Parameters
    ----------
    domain
        The tables.
    encoder
        From `prerec_pyro.data.text.encoder.load_encoder`; None is the packaged one.
    window, normalizer
        Of `Popularity`: days, and what s_w averages over.
    cache
        Folder of the embedding cache; None is the user's.

    Raises
    ------
    InputError
        Where there is no encoder, or the domain's own embeddings do not fit.
    """
    # The user's own embeddings may be read-only, a memory map say; PyTorch wants an array that it could write to.
    vectors = np.require(embed_items(domain, encoder, cache=cache), requirements="W")
    texts = torch.from_numpy(vectors)  # (num_items, text_dim)
    popularity = Popularity(domain.item_index, domain.days, domain.num_items, window=window, normalizer=normalizer)
    days = 0 if domain.days is None else domain.days
    slots = np.broadcast_to(popularity.slots(days), (domain.num_interactions,))
    return EncodedDomain(domain, texts, popularity, slots)


def check_texts(encoded: EncodedDomain, wanted: int) -> None:
    """Raise `InputError` unless the domain's text embeddings have as many numbers as a model was trained on."""
    if encoded.texts.shape[1] != wanted:
        raise InputError(
            f"domain {encoded.name!r}: text embeddings have {encoded.texts.shape[1]} numbers, this model was trained "
            f"on {wanted}; use the encoder that it was trained with"
        )
