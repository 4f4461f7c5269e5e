"""Lists of people without a history: R without its term U·V."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import candidates_batch
from prerec_pyro.data.batching.histories import Histories
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.ranking.approximate import Approximation
from prerec_pyro.ranking.exact import FactoredScorer
from prerec_pyro.ranking.lists import Scorer, list_table, recommendations, top_lists
from prerec_pyro.ranking.spread import spread
from prerec_pyro.ranking.top_k import top_k


def recommendations_for_anybody(
    scorer: Scorer,
    encoded: EncodedDomain,
    histories: Histories,
    k: int,
    *,
    drop_seen: bool,
    approximation: Approximation | None = None,
) -> pd.DataFrame:
    """Return `list_table` for all users of `histories`, in their order, those with an empty history too.

    Users with a history get the lists of `recommendations`, which explains the parameters; the others share that of
    `list_without_history`.
    """
    some = histories.lengths > 0
    if some.all():
        return recommendations(scorer, encoded, histories, k, drop_seen=drop_seen, approximation=approximation)
    k = min(k, encoded.num_items)
    shared = list_without_history(scorer, encoded, histories.slot, k)
    scores, index = (part.repeat(len(histories), 1) for part in shared)
    with_history = np.flatnonzero(some)
    if len(with_history):
        known = histories.only(with_history)
        for rows, best in top_lists(scorer, encoded, known, k, drop_seen=drop_seen, approximation=approximation):
            at = torch.from_numpy(with_history[rows])
            scores[at], index[at] = best
    return list_table(histories.user_ids, encoded.domain.item_ids, scores, index)


def list_without_history(scorer: Scorer, encoded: EncodedDomain, slot: int, k: int) -> tuple[Tensor, Tensor]:
    """Return ``(k,)`` scores and item indices for somebody without a history, best first.

    Without U·V, and with no item to repeat, all components of R are ``softmax(Z·W_z)``: popularity with its effect
    scale, or as `do` sets it. A model whose R has no popularity ranks by the share of each item in the events of the
    window, one event added to each. Where more items tie for the last places than there are places, `spread` chooses
    those that cover what ties. In a domain without a log all items tie, so the list covers the catalogue. Items without
    a text come last among those that tie.

    Parameters
    ----------
    scorer
        Function from a batch over the full catalogue to scores.
    encoded
        The domain.
    slot
        Time slot of the recommendation.
    k
        Length of the list, at most the number of items.

    Examples
    --------
    >>> from prerec_pyro.data import Domain, encode_domain
    >>> from prerec_pyro.models.baselines import MostPopular
    >>> items, texts = np.array(["tea", "mug", "pot"]), np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    >>> store = encode_domain(Domain("store", items, items, ["ann"], [0, 1], [1], embeddings=texts))
    >>> scores, index = list_without_history(MostPopular(), store, slot=1, k=2)
    >>> scores.exp(), index
    (tensor([0.5000, 0.2500]), tensor([1, 0]))
    """
    effect = _popularity_effect(scorer, encoded, slot)
    score = effect.double().log_softmax(0).float()
    best, first = top_k(effect[None], k)
    above = first[0][best[0] > best[0, -1]]
    tied = torch.nonzero(effect == best[0, -1])[:, 0]
    places = k - len(above)
    if len(tied) > places:
        tied = _cover(tied, encoded, places)
    index = torch.cat([above, tied])
    return score[index], index


def _popularity_effect(scorer: Scorer, encoded: EncodedDomain, slot: int) -> Tensor:
    """Return the logits of R without U·V, ``(num_items,)``."""
    nobody = np.zeros((1, 1), np.int64), np.zeros(1, np.int64)  # whose history is not read
    batch = candidates_batch(encoded, *nobody, np.array([slot]))
    popularity = scorer.score_factors(batch).popularity if isinstance(scorer, FactoredScorer) else None
    if popularity is not None:
        return popularity.cpu()
    return torch.from_numpy(encoded.popularity.counts_of_all(np.array([slot]))[0]).float().log1p()


def _cover(tied: Tensor, encoded: EncodedDomain, places: int) -> Tensor:
    """Return `places` of the items that tie."""
    if encoded.domain.embeddings is None:
        has_text = torch.tensor([bool(text.strip()) for text in encoded.domain.item_texts[tied.numpy()]])
        if has_text.sum() < places:
            return torch.cat([tied[has_text], tied[~has_text]])[:places]
        tied = tied[has_text]
    return tied[spread(encoded.texts[tied], places)]
