"""The class `EncodedDomain`: a domain with text vectors and a popularity index, as recommenders read it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.newcomers import NewcomerPopularity, Newcomers
from prerec_pyro.data.popularity import OTHER_WINDOWS, Normalizer, Popularity
from prerec_pyro.data.summary import as_text, sizes, summary_rows
from prerec_pyro.data.text.encoder import Encoder, embed_items
from prerec_pyro.data.text.whitening import whiten
from prerec_pyro.errors import InputError


@dataclass(frozen=True, eq=False, repr=False)
class EncodedDomain:
    """A domain, the text vector of every item, and the time slot of each event in the popularity index.

    Attributes
    ----------
    domain
        The tables.
    texts
        X_j, ``(num_items, text_dim)`` float32.
    popularity
        Counts c_j^T and norms s_w^T over all events of the domain.
    slots
        Time slot of each event, ``(num_interactions,)`` int64.
    whitening
        Strength of the whitening that was applied to `texts`; 0 for none.
    other_windows
        Days of further popularity windows that batches count in.
    newcomers
        Young items, whose counts are raised; None raises none.
    """

    domain: Domain
    texts: Tensor
    popularity: Popularity
    slots: np.ndarray
    whitening: float = 0.0
    other_windows: tuple[int, ...] = OTHER_WINDOWS
    newcomers: Newcomers | None = None
    _plain: Tensor | None = field(default=None, repr=False)
    _whitened: dict[float, EncodedDomain] = field(default_factory=dict, repr=False)
    _windows: dict[int, Popularity] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        rows = summary_rows(self.domain)
        vectors = f"{sizes(tuple(self.texts.shape))}, whitening {self.whitening:g}"
        index = f"window {self.popularity.window} days, {self.popularity.normalizer} norms"
        rows.pop("embeddings")
        notes = rows.pop("notes")
        rows |= {"text vectors": vectors, "popularity": index, "notes": notes}
        return as_text(f"EncodedDomain {self.name!r}", rows)

    @cached_property
    def covariates(self) -> dict[str, Tensor]:
        """Item covariates of the domain: name → ``(num_items,)`` float32; empty without any."""
        return {name: torch.from_numpy(values.copy()) for name, values in self.domain.item_covariates.items()}

    @property
    def plain_texts(self) -> Tensor:
        """Text vectors as the encoder gives them, not whitened, ``(num_items, text_dim)``."""
        return self.texts if self._plain is None else self._plain

    @property
    def other_popularity(self) -> list[Popularity]:
        """The popularity index with each of the `other_windows`, made when first needed."""
        for days in self.other_windows:
            if days not in self._windows:
                self._windows[days] = self.popularity.with_window(days)
        return [self._windows[days] for days in self.other_windows]

    def with_other_windows(self, days: tuple[int, ...]) -> EncodedDomain:
        """Return the domain with other `other_windows`; what has been counted is shared."""
        return self if days == self.other_windows else replace(self, other_windows=days, _whitened={})

    def in_windows(self, number: int) -> EncodedDomain:
        """Return the domain with its own popularity window alone if `number` is 1: batches count in no other."""
        return self.with_other_windows(()) if number == 1 else self

    def with_newcomers(self, learnt: NewcomerPopularity | None) -> EncodedDomain:
        """Return the domain with newcomers that count what items of their age do; None: as the log counts them.

        A domain without times knows no ages, and stays as it is.
        """
        if self.popularity.is_static or (learnt is None and self.newcomers is None):
            return self
        newcomers = None if learnt is None else Newcomers(self.domain, self.popularity, learnt)
        return replace(self, newcomers=newcomers, _whitened={})

    def whitened(self, strength: float) -> EncodedDomain:
        """Return the domain with whitened texts (see `whiten`), computed once for each strength.

        Raises
        ------
        ValueError
            If the texts are already whitened with another strength.
        """
        if strength == self.whitening:
            return self
        if self.whitening:
            raise ValueError(f"the texts are already whitened with strength {self.whitening}")
        if strength not in self._whitened:
            texts = whiten(self.texts, strength)
            self._whitened[strength] = replace(self, texts=texts, whitening=strength, _plain=self.texts, _whitened={})
        return self._whitened[strength]

    @property
    def name(self) -> str:
        """Name of the domain."""
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
    cache: str | None = None,
) -> EncodedDomain:
    """Return the domain with text vectors and a popularity index.

    Embeddings that the domain holds replace those of the text encoder.

    Parameters
    ----------
    domain
        The tables.
    encoder
        From `prerec_pyro.data.text.encoder.load_encoder`; None is the packaged encoder.
    window, normalizer
        Length of the popularity window in days, and the items that the norms s_w average over; see `Popularity`.
    cache
        Folder of the embedding cache; None is the user's cache folder.

    Raises
    ------
    InputError
        If there is no encoder, or the embeddings of the domain have the wrong shape.

    Examples
    --------
    >>> import numpy as np
    >>> from prerec_pyro.data import Domain, encode_domain
    >>> domain = Domain("shop", ["tea", "cup"], ["green tea", "tea cup"], ["ann"], [0, 2], [0, 1])
    >>> encode_domain(domain.with_embeddings(np.eye(2)))
    EncodedDomain 'shop'
      items:        2
      users:        1
      interactions: 2
      period:       order only
      empty texts:  0 (0.0%)
      text vectors: 2 × 2, whitening 0
      popularity:   window 15 days, catalogue norms
      notes:        none
    """
    # Embeddings of the user's own may be read-only, such as a memory map; PyTorch requires a writable array.
    vectors = np.require(embed_items(domain, encoder, cache=cache), requirements="W")
    texts = torch.from_numpy(vectors)  # (num_items, text_dim)
    popularity = Popularity(domain.item_index, domain.days, domain.num_items, window=window, normalizer=normalizer)
    days = 0 if domain.days is None else domain.days
    slots = np.broadcast_to(popularity.slots(days), (domain.num_interactions,))
    return EncodedDomain(domain, texts, popularity, slots)


def check_texts(encoded: EncodedDomain, wanted: int) -> None:
    """Raise `InputError` unless the text vectors have the length that a model was trained on."""
    if encoded.texts.shape[1] != wanted:
        raise InputError(
            f"domain {encoded.name!r}: text embeddings have {encoded.texts.shape[1]} numbers, this model was trained "
            f"on {wanted}; use the encoder that it was trained with"
        )
