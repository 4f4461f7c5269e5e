"""The paper's graph and what the project adds to it: the edge V → U, effect scales S, and a repeat mixture for R."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pyro
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.graphs.config import ExtendedConfig, GraphConfig
from prerec_pyro.models.graphs.domain_nodes import DomainNodes, dot
from prerec_pyro.models.graphs.paper import PaperGraph
from prerec_pyro.models.graphs.plates import per_query, query_plate
from prerec_pyro.models.likelihoods.repeat_mixture import EFFECTS, RepeatMixture
from prerec_pyro.models.likelihoods.softmax import SoftmaxCategorical, observed


class ExtendedGraph(PaperGraph):
    """Fig. 1 with four departures, each chosen on validation data (docs/decisions).

    ``P(R, U, V, D, Z, S | H, X, F) = P(R | U, V, D, Z, S, H) P(U | V, D) P(V | X) P(Z | F) P(D) P(S)``

    * V → U: a history is read as the vectors V of its items, which know what an item's own users chose next, and not as
      f_e of their texts.
    * S: four effect scales of a domain, ``(num_domains, 4)`` around 0: how much the match U·V, popularity Z·W_z,
      repeats and the background component count in it.
    * R is a mixture: with the repeat rate ρ an item of the history is chosen, with the background rate ω a new item by
      popularity alone, else a new item by eq. 2; see `RepeatMixture`.
    * D → V and Z → V are left out. The first moves all items of a domain alike, which cancels in the softmax; under
      the second an item has a vector for each day, and a history could not be read as items.
    """

    Config: ClassVar[type[GraphConfig]] = ExtendedConfig
    edges: ClassVar[Mapping[str, str]] = {"D": "", "S": "", "Z": "", "V": "", "U": "DV", "R": "UVDZS"}
    whitening: ClassVar[float] = 0.25
    likelihood: RepeatMixture

    def make_likelihood(self) -> RepeatMixture:
        """Return the mixture of repeats, matches and background choices."""
        return RepeatMixture()

    def forward(self, batch: Batch) -> Tensor:
        """Sample every node for a batch; return R, ``(num_queries,)``, the index of the chosen candidate."""
        with per_query(batch):
            W = self.weights()
            X = self.f_e(batch.texts)  # (num_items, B)
            D, S = self.domain(batch.domain)  # (..., B), (..., 1, 4)
            Z = self.popularity(batch.factors)  # (..., num_levels, B)
            V = self.items(self.layout.rows(X, Z, batch), D)  # (..., num_items, B), neither D → V nor Z → V
            with query_plate(batch):
                U = self.users(V[..., batch.history, :], batch.positions, D)  # V → U; (..., num_queries, B)
                match = self.layout.match(U * self.likelihood.factors(S).match, V, batch)
                logits = self.likelihood.logits(match, dot(Z, W.W_z), S, batch)
                logits = logits + dot(D.unsqueeze(-2), W.W_d)[..., None]  # (..., num_queries, num_candidates)
                return pyro.sample("R", SoftmaxCategorical(logits), obs=observed(batch))

    def domain(self, index: int) -> DomainNodes:
        """Sample D and S of all domains; return those of one, S in nats, ``(..., 1, 4)``."""
        D, S = super().domain(index)
        return DomainNodes(D, None if S is None else self.likelihood.in_nats(S).unsqueeze(-2))

    @property
    def domain_widths(self) -> dict[str, int]:
        """Length of each node that a domain has one value of."""
        return super().domain_widths | {"S": len(EFFECTS)}
