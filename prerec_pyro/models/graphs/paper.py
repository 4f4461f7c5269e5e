"""Fig. 1 and eqs. 1–3 of the paper as a Pyro program: one sample statement a node, parents before children."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import pyro
from torch import Tensor, nn

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.graphs.config import GraphConfig, PaperConfig
from prerec_pyro.models.graphs.domain_nodes import (
    DomainNodes,
    Weights,
    dot,
    hyper_sites,
    register_weights,
    sample_domain_nodes,
    sample_weights,
)
from prerec_pyro.models.graphs.item_layout import ItemLayout, ItemRows, PerItem, PerItemAndSlot
from prerec_pyro.models.graphs.plates import item_plate, per_query, query_plate, whole_plate
from prerec_pyro.models.likelihoods.softmax import Likelihood, Softmax, SoftmaxCategorical, observed
from prerec_pyro.models.networks import ItemEncoder, PopularityEncoder, SequenceEncoder, TextEncoder
from prerec_pyro.models.priors import Priors

pyro.settings.set(module_local_params=True)  # parameters live in modules, never in Pyro's global store


class PaperGraph(nn.Module):
    """The causal graph of PreRec. Calling it on a batch draws from it or, under a guide, evaluates its density (eq. 1).

    ``P(R, U, V, D, Z | H, X, F) = P(R | U, V, D, Z) P(U | H, D) P(V | X, D, Z) P(Z | F) P(D)``

    ====  ===========  ====================  ==============================================================
    site  plate        shape                 distribution
    ====  ===========  ====================  ==============================================================
    D     ``domains``  ``(num_domains, B)``  prior around 0
    Z     ``levels``   ``(num_levels, B)``   prior around f_pop(F); one row for each distinct popularity
    V     ``items``    ``(num_rows, B)``     prior around f_item(D, Z, f_e(X)); one row per item and time slot
    U     ``queries``  ``(num_queries, B)``  prior around f_seq(D, H), with H the texts of the history
    R     ``queries``  ``(num_queries,)``    Categorical(softmax(U·V + D·W_d + Z·W_z)), observed
    ====  ===========  ====================  ==============================================================

    Parameters
    ----------
    config
        Shapes of the networks.
    num_domains
        Number of source domains, the rows of D.
    text_dim
        Length of the text embeddings X.
    priors
        Prior of each node. W_d and W_z are parameters; one that has a prior is a random variable, ``(B,)``.
    """

    Config: ClassVar[type[GraphConfig]] = PaperConfig
    # Node: its parents.
    edges: Mapping[str, str] = MappingProxyType({"D": "", "Z": "", "V": "DZ", "U": "D", "R": "UVDZ"})
    whitening: ClassVar[float] = 0.0  # of the texts, unless another is chosen
    covariates: ClassVar[tuple[str, ...]] = ()  # of the items, for graphs of one's own

    def __init__(self, config: GraphConfig, *, num_domains: int, text_dim: int, priors: Priors | None = None) -> None:
        super().__init__()
        B = config.latent_dim
        self.config, self.num_domains, self.priors = config, num_domains, priors or Priors()
        self.f_e = TextEncoder(text_dim, B)
        self.f_item = ItemEncoder(B, domain_effect="D" in self.edges["V"], popularity_effect="Z" in self.edges["V"])
        self.f_seq = SequenceEncoder(**config.shapes())
        self.likelihood = self.make_likelihood()
        self.f_pop = PopularityEncoder(B, self.num_windows)
        register_weights(self, self.priors, B)

    def make_likelihood(self) -> Likelihood:
        """Return the distribution of R, which a subclass may replace."""
        return Softmax()

    def forward(self, batch: Batch) -> Tensor:
        """Sample every node for a batch; return R, ``(num_queries,)``, the index of the chosen candidate."""
        batch = batch.without_other_windows()
        with per_query(batch):
            W = self.weights()
            D = self.domain(batch.domain).D  # (..., B)
            Z = self.popularity(batch)  # (..., num_levels, B)
            X = self.f_e(batch.texts)  # (num_items, B)
            V = self.items(self.layout.rows(X, Z, batch), D)  # (..., num_rows, B)
            with query_plate(batch):
                U = self.users(X[batch.history], batch.positions, D)  # (..., num_queries, B)
                logits = self.likelihood.logits(self.layout.match(U, V, batch), dot(Z, W.W_z), None, batch)
                logits = logits + dot(D.unsqueeze(-2), W.W_d)[..., None]  # (..., num_queries, num_candidates)
                return pyro.sample("R", SoftmaxCategorical(logits), obs=observed(batch))

    def weights(self) -> Weights:
        """Return W_d and W_z: parameters or, with a prior, samples."""
        return sample_weights(self, self.priors, self.zeros(self.config.latent_dim), self.num_domains)

    def domain(self, index: int) -> DomainNodes:
        """Sample D of all domains; return that of one, ``(..., B)``."""
        zeros = {node: self.zeros(self.num_domains, width) for node, width in self.domain_widths.items()}
        return sample_domain_nodes(self.priors, zeros, index)

    def popularity(self, batch: Batch) -> Tensor:
        """Sample Z, ``(..., num_levels, B)``, given F of a batch, ``(num_levels, 4)``."""
        with whole_plate("levels", len(batch.factors)):
            return pyro.sample("Z", self.priors.Z(self.f_pop(batch.factors)))

    def items(self, rows: ItemRows, D: Tensor | None) -> Tensor:
        """Sample V, ``(..., num_rows, B)``."""
        with item_plate(len(rows.text), rows.prior_weight):
            return pyro.sample("V", self.priors.V(self.item_mean(rows, D)))

    def item_mean(self, rows: ItemRows, D: Tensor | None) -> Tensor:
        """Return f_item(D, Z, f_e(X)), ``(..., num_rows, B)``."""
        return self.f_item(rows.text, D, rows.Z, rows.level)

    def users(self, history: Tensor, positions: Tensor, D: Tensor | None, S: Tensor | None = None) -> Tensor:
        """Sample U, ``(..., num_queries, B)``, given vectors of H, ``(..., num_sequences, length, B)``, and D."""
        return pyro.sample("U", self.priors.U(self.f_seq(D, history, positions)))

    def zeros(self, *shape: int) -> Tensor:
        """Return zeros of the type and on the device of the parameters."""
        return self.f_e.linear.weight.new_zeros(shape)

    @property
    def num_windows(self) -> int:
        """Number of windows that popularity counts in."""
        return 1

    @property
    def layout(self) -> ItemLayout:
        """Rows of V: with the edge Z → V an item has one for each time slot."""
        return PerItemAndSlot() if "Z" in self.edges["V"] else PerItem()

    @property
    def domain_widths(self) -> dict[str, int]:
        """Length of each node that a domain has one value of."""
        return {"D": self.config.latent_dim}

    @property
    def lifted(self) -> tuple[str, ...]:
        """Weights that are random variables, of W_d and W_z."""
        return self.priors.lifted

    @property
    def hypers(self) -> dict[str, dict[str, Tensor]]:
        """Nodes whose prior has random settings → sites of these, such as ``D_scale`` → where inference starts."""
        locs = {"D": self.zeros(self.num_domains, self.config.latent_dim)}
        return hyper_sites(self.priors, locs | {name: self.zeros(self.config.latent_dim) for name in self.lifted})
