"""Base of every trained model that reads texts: it encodes a domain, recommends, scores and embeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.data.batching.histories import Seen, Unknown, read_histories
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain, encode_domain
from prerec_pyro.data.newcomers import NewcomerPopularity
from prerec_pyro.data.popularity import Normalizer
from prerec_pyro.data.text.encoder import load_encoder
from prerec_pyro.errors import InputError
from prerec_pyro.inference.interventions.scorer import Semantics, Value
from prerec_pyro.ranking.approximate import Approximation
from prerec_pyro.ranking.lists import score_histories
from prerec_pyro.ranking.no_history import recommendations_for_anybody
from prerec_pyro.training import distributed
from prerec_pyro.training.device import choose_device


class ItemScorer(Protocol):
    """A scorer that also gives the vectors of the items."""

    def __call__(self, batch: Batch) -> Tensor:
        """Return ``(num_queries, num_items)`` scores."""
        ...

    def item_vectors_at_end(self) -> Tensor:
        """Return V, ``(num_items, latent_dim)``, at the end of the domain's log."""
        ...


class BaseRecommender:
    """Verbs of every trained model, written in terms of its `scorer`.

    Parameters
    ----------
    encoder
        Text encoder, by name or folder; None is the packaged one.
    window, normalizer
        Days of the popularity window, and what counts are relative to; see `Popularity`.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"``: CUDA where there is one.
    """

    def __init__(self, *, encoder: str | None, window: int, normalizer: Normalizer, device: str) -> None:
        self.encoder_name = encoder
        self.encoder_revision: str | None = None
        self.window = window
        self.normalizer = normalizer
        self.device = choose_device(device)

    def scorer(
        self,
        encoded: EncodedDomain,
        do: Mapping[str, Value] | None = None,
        semantics: Semantics = "interventional",
    ) -> ItemScorer:
        """Return a function from a batch over the full catalogue to ``(num_queries, num_items)`` scores."""
        raise NotImplementedError

    def newcomers_in(self, domain: Domain) -> NewcomerPopularity | None:
        """Return what new items of a domain count as; None: as in the log."""
        return None

    def encode(self, domain: Domain, cache: str | None = None) -> EncodedDomain:
        """Return the domain with the text embeddings and the popularity index that this model needs.

        Its newcomers count what items of their age have in the sources, if the model has learnt that.
        """
        encoder = None if domain.embeddings is not None else load_encoder(self.encoder_name, str(self.device))
        if encoder is not None:
            if self.encoder_revision not in (None, encoder.revision):
                raise InputError(
                    f"this model was trained with text encoder revision {self.encoder_revision}, but "
                    f"{encoder.name!r} here is {encoder.revision}; give it the encoder that it was trained with"
                )
            self.encoder_name, self.encoder_revision = encoder.name, encoder.revision
        encoded = encode_domain(domain, encoder, window=self.window, normalizer=self.normalizer, cache=cache)
        return encoded.with_newcomers(self.newcomers_in(domain))

    def encoded(self, domain: Domain | EncodedDomain) -> EncodedDomain:
        """Return the domain encoded, as it is if it was already."""
        return domain if isinstance(domain, EncodedDomain) else self.encode(domain)

    def encoded_once(self, domains: Iterable[Domain | EncodedDomain]) -> list[EncodedDomain]:
        """Return the domains encoded; of several processes, one of each machine encodes for all of it."""
        with distributed.current().one_first():
            return [self.encoded(domain) for domain in domains]

    def recommend(
        self,
        domain: Domain | EncodedDomain,
        users: Sequence[str] | None = None,
        *,
        histories: Any = None,
        k: int = 20,
        do: Mapping[str, Value] | None = None,
        semantics: Semantics = "interventional",
        at: str | int | None = None,
        seen: Seen = "drop",
        unknown: Unknown | None = None,
        approximation: Approximation | None = None,
    ) -> pd.DataFrame:
        """Return ``user_id, item_id, score, rank``: the k best items for each user, rank from 1.

        Somebody without a history gets the items that are popular, or, in a domain without a log, items that cover the
        catalogue; see `list_without_history`. A domain without users has one such list, with an empty ``user_id``.

        Parameters
        ----------
        domain
            Where to recommend; its log gives the users' histories.
        users
            Ids of users of the domain; None is all of them.
        histories
            Instead of `users`: a frame ``user_id, item_id`` (and ``timestamp`` or ``order``) of people that the
            domain has never seen.
        k
            Length of a list; lists are shorter where there are fewer items left.
        do, semantics
            Intervention, for a model that has nodes.
        at
            The moment to recommend at (ISO time or seconds): only events before it count. None is the day after the
            log ends.
        seen
            Whether items of a user's history are dropped or kept.
        unknown
            Users who are not in the log, or have no event before `at`: ``"popular"`` makes the list of somebody without
            a history, ``"skip"`` none, ``"error"`` refuses ids that are not in the log. None is ``"error"``, or
            ``"popular"`` in a domain without users.
        approximation
            Makes the lists of a catalogue of 65,536 items or more by an index; None, the default, makes exact ones.

        Raises
        ------
        InputError
            If a user, item, node, value or time is unknown or means nothing.
        """
        if seen not in ("drop", "keep"):
            raise InputError(f"seen {seen!r}: expected 'drop' or 'keep'")
        if unknown not in (None, "popular", "skip", "error"):
            raise InputError(f"unknown {unknown!r}: expected 'popular', 'skip' or 'error'")
        if k < 1:
            raise InputError(f"k is {k}, expected 1 or more")
        encoded = self.encoded(domain)
        read = read_histories(encoded, users, histories, at, unknown)
        scorer = self.scorer(encoded, do, semantics)
        drop = seen == "drop"
        return recommendations_for_anybody(scorer, encoded, read, k, drop_seen=drop, approximation=approximation)

    def score(
        self,
        domain: Domain | EncodedDomain,
        pairs: pd.DataFrame,
        *,
        do: Mapping[str, Value] | None = None,
        at: str | int | None = None,
    ) -> pd.Series:
        """Return log P(R) of each (user_id, item_id) of `pairs`, by its index: log-softmax over the domain."""
        encoded = self.encoded(domain)
        user_ids, row = np.unique(pairs["user_id"].astype(str).to_numpy(dtype=object), return_inverse=True)
        items = torch.from_numpy(encoded.domain.item_position(pairs["item_id"]))
        read = read_histories(encoded, user_ids.tolist(), None, at, "error")
        position = {user: number for number, user in enumerate(read.user_ids)}
        missing = [user for user in user_ids if user not in position]
        if missing:
            raise InputError(
                f"users {missing[:3]} ({len(missing)}) have no event before {at}; nothing to score them by"
            )
        result = np.full(len(pairs), np.nan)
        order = np.array([position[user] for user in user_ids])[row]
        for rows, scores in score_histories(self.scorer(encoded, do), encoded, read):
            here = np.flatnonzero((order >= rows.start) & (order < rows.stop))
            log_p = scores.log_softmax(dim=1)
            result[here] = log_p[torch.from_numpy(order[here] - rows.start), items[here]].numpy()
        return pd.Series(result, index=pairs.index, name="log_probability")

    def embed(self, domain: Domain | EncodedDomain, do: Mapping[str, Value] | None = None) -> np.ndarray:
        """Return V, ``(num_items, latent_dim)`` float32, at the end of the domain's log."""
        return self.scorer(self.encoded(domain), do).item_vectors_at_end().cpu().numpy()
