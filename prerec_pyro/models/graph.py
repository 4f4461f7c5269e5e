"""Fig. 1 of the paper as a Pyro program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyro
import pyro.distributions as dist
import torch
from pydantic import BaseModel, ConfigDict, Field
from pyro.nn import PyroModule
from pyro.ops.indexing import Vindex
from torch import Tensor, nn

from prerec_pyro.data.batches import Batch
from prerec_pyro.models.networks import ItemEncoder, PopularityEncoder, SequenceEncoder, TextEncoder
from prerec_pyro.models.priors import Priors

# Parameters live in the modules, never in Pyro's global store: two models then share nothing.
pyro.settings.set(module_local_params=True)


class GraphConfig(BaseModel):
    """Shapes of the graph and which of its parts are switched on; plain JSON, saved with a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latent_dim: int = Field(256, ge=2, description="B")
    num_layers: int = Field(2, ge=1, le=16, description="transformer layers of f_seq")
    num_heads: int = Field(2, ge=1, description="attention heads of f_seq")
    feedforward: int = Field(4, ge=1, le=16, description="width of the feed-forward layers in units of B")
    dropout: float = Field(0.1, ge=0, lt=1)
    sharpness: float = Field(10.0, gt=0, description="length of U before training: how sharply U·V tells items apart")
    confounders: bool = Field(True, description="nodes D and Z; off is PreRec_n")
    domain_to_item: bool = Field(True, description="the edge D → V")
    popularity_to_item: bool = Field(False, description="the edge Z → V")
    repeats: bool = Field(True, description="the effect of H on R: has the user met the item before; not in eq. 2")


class PreRecGraph(PyroModule):
    """The causal graph of PreRec (Fig. 1, eqs. 1–3): one sample statement a node, parents before children.

    Calling it on a batch draws from, or under a guide evaluates::

        P(R, U, V, D, Z | H, X, F) = P(R | U, V, D, Z) P(U | H, D) P(V | X, D, Z) P(Z | F) P(D)

    ====  =============  ===========================  ==================================================
    site  plate          value                        distribution
    ====  =============  ===========================  ==================================================
    D     ``domains``    ``(num_domains, B)``         prior around 0
    Z     ``levels``     ``(num_levels, B)``          prior around f_pop(F)
    V     ``items``      ``(num_rows, B)``            prior around f_item(D, Z, f_e(X))
    U     ``queries``    ``(num_queries, B)``         prior around f_seq(D, H)
    R     ``queries``    ``(num_queries,)``           Categorical(logits = U·V + D·W_d + Z·W_z), observed
    ====  =============  ===========================  ==================================================

    *Levels* are the distinct popularity factors of a batch: items with the same count in the same time slot share one
    row of Z. R is the index of the chosen candidate: in training candidate 0 is the target and the others are the
    shared negatives; against the full catalogue it is the item index.

    Beyond the paper, R also reads the observed history itself: ``w_h · 1[j ∈ H_i]``, one learned number (0 at the
    start) for how much less, or more, likely an item is that the user has met before. H is data, so no back-door path
    is opened; ``config.repeats`` off is eq. 2 to the letter.

    With ``config.confounders`` off there is no D and no Z: that is PreRec_n.

    Parameters
    ----------
    config
        Shapes and switches.
    num_domains
        Rows of D, the source domains.
    text_dim
        Length of the text embeddings X_j.
    priors
        Of D, Z, V, U.
    """

    def __init__(self, config: GraphConfig, *, num_domains: int, text_dim: int, priors: Priors | None = None) -> None:
        super().__init__()
        dim = config.latent_dim
        self.config = config
        self.num_domains = num_domains
        self.priors = priors or Priors()
        self.f_e = TextEncoder(text_dim, dim)
        self.f_item = ItemEncoder(
            dim,
            domain_effect=config.confounders and config.domain_to_item,
            popularity_effect=config.confounders and config.popularity_to_item,
        )
        self.f_seq = SequenceEncoder(
            dim,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            feedforward=config.feedforward,
            dropout=config.dropout,
            sharpness=config.sharpness,
        )
        if config.repeats:
            self.w_h = nn.Parameter(torch.zeros(()))
        if config.confounders:
            self.f_pop = PopularityEncoder(dim)
            self.W_d = nn.Parameter(torch.zeros(dim))
            self.W_z = nn.Parameter(torch.zeros(dim))

    def forward(self, batch: Batch) -> Tensor:
        """Return R, ``(num_queries,)``. The log density is that of a domain, estimated from the batch, per query.

        It is divided by the domain's number of queries: domains of any size then weigh the same, and a loss can be
        read as nats a query.
        """
        with pyro.poutine.scale(scale=1.0 / batch.num_domain_queries):
            text = self.f_e(batch.texts)  # (num_rows, B)
            D = self.domains(batch.domain)
            Z = self.popularity(batch.factors)
            V = self.items(text, D, Z, batch)
            with pyro.plate("queries", batch.num_domain_queries, subsample=batch.positions, dim=-1):
                U = self.users(text[batch.history], batch.positions, D)
                logits = self.logits(U, V, D, Z, batch)
                return pyro.sample("R", dist.Categorical(logits=logits), obs=self.response(batch))

    @property
    def parents(self) -> dict[str, frozenset[str]]:
        """Latent parents of each node: Fig. 1, less the edges that the configuration switches off."""
        if not self.config.confounders:
            return {"D": frozenset(), "Z": frozenset(), "V": frozenset(), "U": frozenset(), "R": frozenset("UV")}
        edges = {"D": self.config.domain_to_item, "Z": self.config.popularity_to_item}
        of_V = frozenset(node for node, on in edges.items() if on)
        return {"D": frozenset(), "Z": frozenset(), "V": of_V, "U": frozenset("D"), "R": frozenset("UVDZ")}

    def domains(self, domain: int) -> Tensor | None:
        """Sample D for all domains; return D_k, ``(..., B)``. In a batch only its own domain's prior counts."""
        if not self.config.confounders:
            return None
        mean = self.f_e.linear.weight.new_zeros(self.num_domains, self.config.latent_dim)
        own = torch.arange(self.num_domains, device=mean.device) == domain
        with pyro.plate("domains", self.num_domains, dim=-1), pyro.poutine.mask(mask=own):
            D = pyro.sample("D", self.priors.D(mean))  # (..., num_domains, B)
        return Vindex(D)[..., domain, :]

    def popularity(self, factors: Tensor) -> Tensor | None:
        """Sample Z, ``(..., num_levels, B)``, given F, ``(num_levels, 4)``."""
        if not self.config.confounders:
            return None
        with pyro.plate("levels", len(factors), dim=-1):
            return pyro.sample("Z", self.priors.Z(self.f_pop(factors)))

    def items(self, text: Tensor, D: Tensor | None, Z: Tensor | None, batch: Batch) -> Tensor:
        """Sample V given f_e(X), D and Z.

        Returns ``(..., num_rows, B)``, row by row that of ``batch.items``. With the edge Z → V an item has a V in
        each time slot, and the result is ``(..., num_slots * num_candidates + num_queries, B)``: the candidates slot
        by slot, then the targets, each with the Z of its own level.
        """
        weight = batch.prior_weight
        if self.f_item.from_popularity is not None and Z is not None:
            row, level = self.item_slots(batch)
            text, Z = text[row], Z[..., level, :]
            weight = None if weight is None else self._share_among_slots(weight, row, batch)
        return self.item_vectors(text, D, Z, weight)

    def item_vectors(self, text: Tensor, D: Tensor | None, Z: Tensor | None, weight: Tensor | None = None) -> Tensor:
        """Sample V, ``(..., num_rows, B)``, of rows whose f_e(X) and Z are aligned; the prior counts `weight` times."""
        with pyro.plate("items", len(text), dim=-1), _weighted(weight):
            return pyro.sample("V", self.priors.V(self.f_item(text, D, Z)))

    def users(self, history: Tensor, positions: Tensor, D: Tensor | None) -> Tensor:
        """Sample U, ``(..., num_queries, B)``, given f_e of H, ``(num_sequences, length, B)``, and D."""
        return pyro.sample("U", self.priors.U(self.f_seq(D, history, positions)))

    def logits(self, U: Tensor, V: Tensor, D: Tensor | None, Z: Tensor | None, batch: Batch) -> Tensor:
        """Return U·V + D·W_d + Z·W_z (eq. 2) + w_h·1[j ∈ H], ``(..., num_queries, num_candidates)``.

        In training a column for the target comes first, and a negative that happens to be the target is masked.
        """
        if self.f_item.from_popularity is not None and Z is not None:
            target, scores = self._slotwise(U, V, batch)
        else:
            candidates = V if batch.negatives is None else V[..., batch.negatives, :]
            scores = U @ candidates.mT  # (..., num_queries, num_candidates)
            target = None if batch.negatives is None else (U * V[..., batch.targets, :]).sum(-1)
        if Z is not None:
            effect = Z @ self.W_z  # (..., num_levels)
            scores = scores + effect[..., batch.candidate_level][..., batch.slot, :]
            target = None if target is None else target + effect[..., batch.target_level]
        if self.config.repeats:
            scores = self.with_repeats(scores, batch)
            target = None if target is None else target + self.w_h * batch.target_repeats
        if target is not None:
            same = batch.items[batch.negatives] == batch.items[batch.targets][:, None]
            scores = torch.cat([target[..., None], scores.masked_fill(same, -torch.inf)], dim=-1)
        if D is not None:
            scores = scores + (D @ self.W_d)[..., None, None]
        return scores

    def with_repeats(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the scores with w_h added where the candidate stands in the query's history."""
        query, candidate = batch.repeats
        if torch.is_grad_enabled():
            seen = torch.zeros(scores.shape[-2:], dtype=torch.bool, device=scores.device)
            seen[query, candidate] = True
            return scores + self.w_h * seen
        scores[..., query, candidate] += self.w_h  # each pair occurs once
        return scores

    def response(self, batch: Batch) -> Tensor | None:
        """Return the observed R: candidate 0 in training, the target against the catalogue, None to predict."""
        if batch.negatives is None:
            return batch.targets
        return torch.zeros_like(batch.targets)

    @staticmethod
    def item_slots(batch: Batch) -> tuple[Tensor, Tensor]:
        """Return row and level of each item in each slot, as `items` orders them under the edge Z → V."""
        num_slots, num_candidates = batch.candidate_level.shape
        candidates = torch.arange(num_candidates, device=batch.items.device)
        row = (candidates if batch.negatives is None else batch.negatives).repeat(num_slots)
        level = batch.candidate_level.flatten()
        if batch.negatives is None:
            return row, level
        return torch.cat([row, batch.targets]), torch.cat([level, batch.target_level])

    def _slotwise(self, U: Tensor, V: Tensor, batch: Batch) -> tuple[Tensor | None, Tensor]:
        """Return U·V of the targets and of the candidates, each query against the items of its own slot."""
        num_slots, num_candidates = batch.candidate_level.shape
        size = num_slots * num_candidates
        candidates = V[..., :size, :].unflatten(-2, (num_slots, num_candidates))
        order = torch.argsort(batch.slot)
        parts = U[..., order, :].split(torch.bincount(batch.slot, minlength=num_slots).tolist(), dim=-2)
        scores = torch.cat([part @ candidates[..., s, :, :].mT for s, part in enumerate(parts)], dim=-2)
        scores = scores[..., torch.argsort(order), :]  # (..., num_queries, num_candidates)
        return None if batch.negatives is None else (U * V[..., size:, :]).sum(-1), scores

    @staticmethod
    def _share_among_slots(weight: Tensor, row: Tensor, batch: Batch) -> Tensor:
        """Spread each item's prior weight over the rows in which it now stands."""
        times = torch.bincount(row, minlength=len(weight)).clamp_min(1)
        return (weight / times)[row]


@contextmanager
def _weighted(weight: Tensor | None) -> Iterator[None]:
    """Count each row of a plate `weight` times; rows of weight 0 not at all."""
    if weight is None:
        yield
        return
    counted = weight > 0
    with pyro.poutine.scale(scale=torch.where(counted, weight, 1.0)), pyro.poutine.mask(mask=counted):
        yield
