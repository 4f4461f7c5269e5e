"""The paper's graph and what the project adds to it: the edge V → U, effect scales S, and a repeat mixture for R."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import pyro
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.data.popularity import OTHER_WINDOWS
from prerec_pyro.models.graphs.config import ExtendedConfig, GraphConfig
from prerec_pyro.models.graphs.domain_nodes import DomainNodes, dot
from prerec_pyro.models.graphs.paper import PaperGraph
from prerec_pyro.models.graphs.plates import per_query, query_plate, whole_plate
from prerec_pyro.models.interests import Interests, Reading
from prerec_pyro.models.likelihoods.repeat_mixture import EFFECTS, READING, RepeatMixture
from prerec_pyro.models.likelihoods.softmax import Match, SoftmaxCategorical, observed
from prerec_pyro.models.networks import one_query_each
from prerec_pyro.models.priors import Priors


class ExtendedGraph(PaperGraph):
    """Fig. 1 with departures, each chosen on validation data (docs/decisions).

    ``P(R, U, V, D, Z, S | H, X, F) = P(R | U, V, D, Z, S, H) P(U | V, D, S) P(V | X) P(Z | F) P(D) P(S)``

    * V → U: a history is read as the vectors V of its items, which know what an item's own users chose next, and not as
      f_e of their texts.
    * A history has several interests, one around each of its last items: U is around their mean, and a candidate that
      is near one of them matches better than U·V says; see `Interests`.
    * S: effect scales of a domain, ``(num_domains, 6)`` around 0: how much the match U·V, popularity Z·W_z,
      repeats and the background component count in it, how fast interests fade, and how far they are kept apart.
    * Popularity counts in several windows: Z of an item is the sum of its Z in each.
    * R is a mixture: with the repeat rate ρ an item of the history is chosen, with the background rate ω a new item by
      popularity alone, else a new item by eq. 2; see `RepeatMixture`.
    * D → V and Z → V are left out. The first moves all items of a domain alike, which cancels in the softmax; under
      the second an item has a vector for each day, and a history could not be read as items.
    """

    Config: ClassVar[type[GraphConfig]] = ExtendedConfig
    edges: Mapping[str, str] = MappingProxyType({"D": "", "S": "", "Z": "", "V": "", "U": "DVS", "R": "UVDZS"})
    whitening: ClassVar[float] = 0.25
    likelihood: RepeatMixture
    config: ExtendedConfig

    def __init__(
        self, config: ExtendedConfig, *, num_domains: int, text_dim: int, priors: Priors | None = None
    ) -> None:
        super().__init__(config, num_domains=num_domains, text_dim=text_dim, priors=priors)
        self.interests = Interests(config.num_interests) if config.num_interests > 1 else None
        if self.interests is None:  # S says how interests are read
            self.edges = {**self.edges, "U": self.edges["U"].replace("S", "")}

    def make_likelihood(self) -> RepeatMixture:
        """Return the mixture of repeats, matches and background choices."""
        return RepeatMixture(len(EFFECTS) - (READING if self.config.num_interests == 1 else 0))

    def forward(self, batch: Batch) -> Tensor:
        """Sample every node for a batch; return R, ``(num_queries,)``, the index of the chosen candidate."""
        batch = batch if self.config.popularity_windows else batch.without_other_windows()
        with per_query(batch):
            W = self.weights()
            X = self.f_e(batch.texts)  # (num_items, B)
            D, S = self.domain(batch.domain)  # (..., B), (..., 1, 6)
            Z = self.popularity(batch)  # (..., num_levels, B)
            V = self.items(self.layout.rows(X, Z, batch), D)  # (..., num_items, B), neither D → V nor Z → V
            with query_plate(batch):
                U = self.users(V[..., batch.history, :], batch.positions, D, S)  # V → U; (..., num_queries, B)
                match = self.match(U, V, S, batch)
                logits = self.likelihood.logits(match, dot(Z, W.W_z), S, batch)
                logits = logits + dot(D.unsqueeze(-2), W.W_d)[..., None]  # (..., num_queries, num_candidates)
                return pyro.sample("R", SoftmaxCategorical(logits), obs=observed(batch))

    def users(self, history: Tensor, positions: Tensor, D: Tensor | None, S: Tensor | None = None) -> Tensor:
        """Sample U, ``(..., num_queries, B)``, around the mean of the interests, corrected by f_seq.

        Parameters
        ----------
        history
            V of H, ``(..., num_sequences, length, B)``.
        positions
            ``(num_queries,)`` positions of the queries in the flattened ``(num_sequences, length)``.
        D
            ``(..., B)``.
        S
            In nats, ``(..., 1, 6)``; None is 0.
        """
        start, reading = None, self.reading(S)
        if self.interests is not None and reading is not None:
            one_each = one_query_each(positions, *history.shape[-3:-1])
            start = self.interests.mean(history, positions, reading.fading, only_last=one_each)
        mean = self.f_seq(D, history, positions, start)  # (..., num_queries, B)
        if self.interests is not None:
            mean = mean * self.interests.sharpness(positions, history.shape[-2])
        return pyro.sample("U", self.priors.U(mean))

    def match(self, U: Tensor, V: Tensor, S: Tensor | None, batch: Batch) -> Match:
        """Return the match of U, split into its interests, with V, as it counts under S."""
        factor = self.likelihood.factors(S).match
        match, reading = self.layout.match(U * factor, V, batch), self.reading(S)
        if self.interests is None or reading is None:
            return match
        spread, length = self.interests.spread(V, reading, batch), self.lengths(batch) * factor
        if match.target is None or spread.target is None:
            return Match(match.candidates + length * spread.candidates)
        return Match(match.candidates + length * spread.candidates, match.target + length[..., 0] * spread.target)

    def lengths(self, batch: Batch) -> Tensor:
        """Return the length of the mean of interests in U, before S, ``(num_queries, 1)``; ``(1, 1)`` for all alike."""
        length = self.f_seq.log_length.exp()[None, None]
        if self.interests is None:
            return length
        return length * self.interests.sharpness(batch.positions, batch.history.shape[-1])

    def reading(self, S: Tensor | None) -> Reading | None:
        """Return how a domain reads a history, given its S, ``(..., 1, 6)``; None where there is one interest."""
        if self.interests is None:
            return None
        if S is None:
            S = self.zeros(1, len(EFFECTS))
        return self.interests.reading(S[..., 4:5], S[..., 5:6])

    def popularity(self, batch: Batch) -> Tensor:
        """Sample Z, ``(..., num_levels, B)``, given F of a batch in each of its windows, ``(num_levels, 4)``."""
        with whole_plate("levels", len(batch.factors)):
            return pyro.sample("Z", self.priors.Z(self.f_pop(batch.factors, batch.level_window)))

    def domain(self, index: int) -> DomainNodes:
        """Sample D and S of all domains; return those of one, S in nats, ``(..., 1, 6)``."""
        D, S = super().domain(index)
        return DomainNodes(D, None if S is None else self.likelihood.in_nats(S).unsqueeze(-2))

    @property
    def num_windows(self) -> int:
        """Number of windows that popularity counts in: the domain's own and, as configured, the other ones."""
        return 1 + len(OTHER_WINDOWS) if self.config.popularity_windows else 1

    @property
    def domain_widths(self) -> dict[str, int]:
        """Length of each node that a domain has one value of."""
        return super().domain_widths | {"S": len(self.likelihood.effects)}
