"""The paper's PreRec_n: its graph without the confounders D and Z."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import pyro
from torch import Tensor, nn

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.graphs.config import GraphConfig, UnconfoundedConfig
from prerec_pyro.models.graphs.item_layout import ItemLayout, ItemRows, PerItem
from prerec_pyro.models.graphs.plates import item_plate, per_query, query_plate
from prerec_pyro.models.likelihoods.softmax import Likelihood, Softmax, SoftmaxCategorical, observed
from prerec_pyro.models.networks import ItemEncoder, SequenceEncoder, TextEncoder
from prerec_pyro.models.priors import Priors


class UnconfoundedGraph(nn.Module):
    """``P(R, U, V | H, X) = P(R | U, V) P(U | H) P(V | X)``, the ablation of the paper's Table 1.

    ====  ===========  ====================  =============================================
    site  plate        shape                 distribution
    ====  ===========  ====================  =============================================
    V     ``items``    ``(num_items, B)``    prior around f_e(X)
    U     ``queries``  ``(num_queries, B)``  prior around f_seq(H), with H the texts
    R     ``queries``  ``(num_queries,)``    Categorical(softmax(U·V)), observed
    ====  ===========  ====================  =============================================

    Parameters as of `PaperGraph`.
    """

    Config: ClassVar[type[GraphConfig]] = UnconfoundedConfig
    edges: Mapping[str, str] = MappingProxyType({"V": "", "U": "", "R": "UV"})  # node: its parents
    whitening: ClassVar[float] = 0.0  # of the texts, unless another is chosen
    covariates: ClassVar[tuple[str, ...]] = ()
    num_windows: int = 1

    def __init__(self, config: GraphConfig, *, num_domains: int, text_dim: int, priors: Priors | None = None) -> None:
        super().__init__()
        self.config, self.num_domains, self.priors = config, num_domains, priors or Priors()
        self.f_e = TextEncoder(text_dim, config.latent_dim)
        self.f_item = ItemEncoder(config.latent_dim, domain_effect=False, popularity_effect=False)
        self.f_seq = SequenceEncoder(**config.shapes())
        self.likelihood: Likelihood = Softmax()
        self.layout: ItemLayout = PerItem()
        self.domain_widths: dict[str, int] = {}  # a domain has no node of its own,
        self.lifted: tuple[str, ...] = ()  # there is no weight to lift,
        self.hypers: dict[str, dict[str, Tensor]] = {}  # and the priors of U and V have no random setting

    def forward(self, batch: Batch) -> Tensor:
        """Sample every node for a batch; return R, ``(num_queries,)``, the index of the chosen candidate."""
        with per_query(batch):
            X = self.f_e(batch.texts)  # (num_items, B)
            V = self.items(self.layout.rows(X, None, batch), None)  # (..., num_items, B)
            with query_plate(batch):
                U = self.users(X[batch.history], batch.positions, None)  # (..., num_queries, B)
                logits = self.likelihood.logits(self.layout.match(U, V, batch), None, None, batch)
                return pyro.sample("R", SoftmaxCategorical(logits), obs=observed(batch))

    def items(self, rows: ItemRows, D: Tensor | None) -> Tensor:
        """Sample V, ``(..., num_rows, B)``."""
        with item_plate(len(rows.text), rows.prior_weight):
            return pyro.sample("V", self.priors.V(self.item_mean(rows, D)))

    def item_mean(self, rows: ItemRows, D: Tensor | None) -> Tensor:
        """Return f_e(X), ``(num_rows, B)``."""
        return self.f_item(rows.text, None, None)

    def users(self, history: Tensor, positions: Tensor, D: Tensor | None, S: Tensor | None = None) -> Tensor:
        """Sample U, ``(..., num_queries, B)``, given f_e of H, ``(num_sequences, length, B)``."""
        return pyro.sample("U", self.priors.U(self.f_seq(None, history, positions)))

    def weights(self) -> None:
        """Return None: W_d and W_z weigh the confounders."""

    def domain(self, index: int) -> None:
        """Return None: there is no D."""

    def popularity(self, batch: Batch) -> None:
        """Return None: there is no Z."""
