"""Fig. 1 of the paper as a Pyro program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pyro
import torch
from torch import Tensor, nn

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.models.graphs.config import GraphConfig
from prerec_pyro.models.graphs.item_layout import item_slots, share_among_slots, slotwise
from prerec_pyro.models.graphs.plates import whole_plate
from prerec_pyro.models.likelihoods.repeat_mixture import MixtureLogOdds, mixture_log_probs, repeat_log_odds
from prerec_pyro.models.likelihoods.softmax import SoftmaxCategorical
from prerec_pyro.models.networks import ItemEncoder, PopularityEncoder, SequenceEncoder, TextEncoder
from prerec_pyro.models.priors import WEIGHTS, Priors, hypers, sample_node, sample_shared

# Parameters live in the modules, never in Pyro's global store: two models then share nothing.
pyro.settings.set(module_local_params=True)


EFFECT_SCALE_STD = (0.7, 0.7, 1.5, 1.0)
"""How much S differs between domains before any has been seen: factors of two, odds of 1 to 4 and of 1 to 3."""


class Weights(NamedTuple):
    """W_d and W_z, ``(B,)``, or ``(..., 1, B)`` where several values are tried at once; None without confounders."""

    W_d: Tensor | None
    W_z: Tensor | None


class PreRecGraph(nn.Module):
    """The causal graph of PreRec (Fig. 1, eqs. 1–3): one sample statement a node, parents before children.

    Calling it on a batch draws from, or under a guide evaluates::

        P(R, U, V, D, Z, S | H, X, F) = P(R | U, V, D, Z, S) P(U | H, D) P(V | X, D, Z) P(Z | F) P(D) P(S)

    ====  =============  ===========================  ==================================================
    site  plate          value                        distribution
    ====  =============  ===========================  ==================================================
    D     ``domains``    ``(num_domains, B)``         prior around 0
    S     ``domains``    ``(num_domains, 4)``         prior around 0
    Z     ``levels``     ``(num_levels, B)``          prior around f_pop(F)
    V     ``items``      ``(num_rows, B)``            prior around f_item(D, Z, f_e(X))
    U     ``queries``    ``(num_queries, B)``         prior around f_seq(D, H)
    R     ``queries``    ``(num_queries,)``           Categorical(U·V + D·W_d + Z·W_z), and see below
    ====  =============  ===========================  ==================================================

    The weights W_d and W_z are parameters; one that `priors` names is *lifted* to a random variable, a site
    ``(B,)`` under no plate, a parent of R.

    *Levels* are the distinct popularity factors of a batch: items with the same count in the same time slot share one
    row of Z. R is the index of the chosen candidate: in training candidate 0 is the target and the others are the
    shared negatives; against the full catalogue it is the item index.

    A history is the vectors of its items, V_j, where each item is one vector: what an item's offset has learnt of those
    who took it then also tells what they take next. This edge, V → U, is not in the paper, whose U reads texts.

    Beyond the paper, R also reads the observed history itself. Some take again what they took before, others never
    do: with probability ρ_i a choice falls on the items of the history, a share that is estimated from how often this
    user did so already and a prior with ``w_r`` in it (`habit`). H is data, so no back-door path is opened. In
    training, where few rivals are drawn, ``w_h · 1[j ∈ H_i]``, one learned number (0 at the start), stands for it.

    Not every choice follows the history. With probability ω a choice of a new item *wanders*: it is made by popularity,
    without U·V. R is the mixture of these kinds (`mixture_log_probs`), in which U·V may be sharp where it speaks.

    How far to trust texts, popularity, repeats and histories differs from domain to domain: S_k, four numbers in units
    of ``spread``, makes ``e^{S_1} U·V``, ``e^{S_2} Z·W_z``, ``w_r + S_3`` and ``ω = sigmoid(w_o + S_4)`` of the
    effects. At its prior mean, 0, it changes nothing.

    D → V moves all items of a domain alike, which cancels in the choice, and Z → V costs V → U; neither ranks better,
    and both are off by default.

    With ``repeats``, ``wandering`` and ``strengths`` switched off R is eq. 2 to the letter; with ``item_to_user`` and
    ``strengths`` off, ``domain_to_item`` and ``popularity_to_item`` on, the edges are those of Fig. 1.

    With ``config.confounders`` off there is no D, Z or S: that is PreRec_n.

    Parameters
    ----------
    config
        Shapes and switches.
    num_domains
        Rows of D, the source domains.
    text_dim
        Length of the text embeddings X_j.
    priors
        Of D, Z, V, U, S, and of W_d and W_z where they are lifted.

    Attributes
    ----------
    spread
        ``(4,)`` how much S differs between domains: e-folds of U·V, of Z·W_z and of the prior of ρ, nats of w_o.
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
            history_dropout=config.history_dropout,
            sharpness=config.sharpness,
        )
        if config.repeats:
            self.w_h = nn.Parameter(torch.zeros(()))
            self.register_buffer("w_r", torch.zeros(()))
        if config.wandering:
            self.register_buffer("w_o", torch.zeros(()))
        if config.confounders:
            self.f_pop = PopularityEncoder(dim)
            for name in (name for name in WEIGHTS if name not in self.lifted):
                self.register_parameter(name, nn.Parameter(torch.zeros(dim)))
        if self.has_effect_scales:
            self.register_buffer("spread", torch.tensor(EFFECT_SCALE_STD))

    def forward(self, batch: Batch, *, strengths: bool = True) -> Tensor:
        """Return R, ``(num_queries,)``. The log density is that of a domain, estimated from the batch, per query.

        It is divided by the domain's number of queries: domains of any size then weigh the same, and a loss can be
        read as nats a query. Without `strengths` there is no S, and R is what it is where S stands at its prior mean.
        """
        with pyro.poutine.scale(scale=1.0 / batch.num_domain_queries):
            W = self.weights()
            text = self.f_e(batch.texts)  # (num_rows, B)
            D, S = self.domains(batch.domain, strengths)
            Z = self.popularity(batch.factors)
            V = self.items(text, D, Z, batch)
            H = V if self.reads_items else text
            with pyro.plate("queries", batch.num_domain_queries, subsample=batch.positions, dim=-1):
                U = self.users(H[..., batch.history, :], batch.positions, D)
                logits = self.logits(U, V, D, Z, S, W, batch)
                return pyro.sample("R", SoftmaxCategorical(logits), obs=self.response(batch))

    @property
    def parents(self) -> dict[str, frozenset[str]]:
        """Latent parents of each node: Fig. 1, less the edges that the configuration switches off, V → U and S → R."""
        none: frozenset[str] = frozenset()
        history = frozenset("V") if self.reads_items else none
        if not self.config.confounders:
            return dict.fromkeys("DZSV", none) | {"U": history, "R": frozenset("UV")}
        edges = {"D": self.config.domain_to_item, "Z": self.config.popularity_to_item}
        of_R = frozenset("UVDZS" if self.has_effect_scales else "UVDZ").union(self.lifted)
        parents = dict.fromkeys([*"DZS", *self.lifted], none) | {"U": frozenset("D") | history, "R": of_R}
        parents |= {node: frozenset(names) for node, names in self.hypers.items()}
        parents |= dict.fromkeys((name for names in self.hypers.values() for name in names), none)
        return parents | {"V": frozenset(node for node, on in edges.items() if on)}

    @property
    def hypers(self) -> dict[str, dict[str, Tensor]]:
        """Nodes whose prior has random settings → sites of these, ``D_scale`` say → where inference starts."""
        if not self.config.confounders:
            return {}
        zeros = self.f_e.linear.weight.new_zeros
        loc = {"D": zeros(self.num_domains, self.config.latent_dim)} | {
            name: zeros(self.config.latent_dim) for name in self.lifted
        }
        found = {node: hypers(getattr(self.priors, node), zero) for node, zero in loc.items()}
        return {node: {f"{node}_{n}": h.start for n, h in of.items()} for node, of in found.items() if of}

    @property
    def reads_items(self) -> bool:
        """Whether a history is read as V of its items; under Z → V an item has a V a day, and it is read as texts."""
        return self.config.item_to_user and self.f_item.from_popularity is None

    @property
    def has_effect_scales(self) -> bool:
        """Whether there is a node S."""
        return self.config.confounders and self.config.strengths

    @property
    def lifted(self) -> tuple[str, ...]:
        """The weights that are random variables, of W_d and W_z."""
        return self.priors.lifted if self.config.confounders else ()

    def weights(self) -> Weights:
        """Return W_d and W_z, of those that are lifted a sample.

        They belong to all domains, so each domain's log density holds an equal share of their prior. With one domain,
        and with domains of one size, the prior then counts once against the sum over all queries. Where sizes differ,
        domains weigh the same all the same, and it counts once against as many queries as such a weighted sum is
        worth by Kish's formula: ``num_domains`` times the harmonic mean of the sizes.
        """
        if not self.config.confounders:
            return Weights(None, None)
        with pyro.poutine.scale(scale=1.0 / self.num_domains):
            return Weights(*(self._weight(name) for name in WEIGHTS))

    def _weight(self, name: str) -> Tensor:
        if name not in self.lifted:
            return getattr(self, name)
        zero, prior = self.f_e.linear.weight.new_zeros(self.config.latent_dim), getattr(self.priors, name)
        return sample_node(name, prior, zero, sample_shared(name, prior, zero))

    def domains(self, domain: int, strengths: bool = True) -> tuple[Tensor | None, Tensor | None]:
        """Sample D and S for all domains; return those of one, S in nats: ``(..., B)`` and ``(..., 1, 4)``.

        In a batch only its own domain's prior counts.
        """
        if not self.config.confounders:
            return None, None
        zero = self.f_e.linear.weight.new_zeros(self.num_domains, self.config.latent_dim)
        own = torch.arange(self.num_domains, device=zero.device) == domain
        with pyro.poutine.scale(scale=1.0 / self.num_domains):  # as of weights: it belongs to all domains
            shared = sample_shared("D", self.priors.D, zero)
        with whole_plate("domains", self.num_domains), pyro.poutine.mask(mask=own):
            D = sample_node("D", self.priors.D, zero, shared)  # (..., num_domains, B)
            if not (self.has_effect_scales and strengths):
                return D[..., domain, :], None
            S = pyro.sample(
                "S", self.priors.S(zero.new_zeros(self.num_domains, len(EFFECT_SCALE_STD)))
            )  # (..., num_domains, 4)
        S = S[..., domain, :] * self.spread
        return D[..., domain, :], S.unsqueeze(-2)  # (..., B), (..., 1, 4)

    def popularity(self, factors: Tensor) -> Tensor | None:
        """Sample Z, ``(..., num_levels, B)``, given F, ``(num_levels, 4)``."""
        if not self.config.confounders:
            return None
        with whole_plate("levels", len(factors)):
            return pyro.sample("Z", self.priors.Z(self.f_pop(factors)))

    def items(self, text: Tensor, D: Tensor | None, Z: Tensor | None, batch: Batch) -> Tensor:
        """Sample V given f_e(X), D and Z.

        Returns ``(..., num_rows, B)``, row by row that of ``batch.items``. With the edge Z → V an item has a V in
        each time slot, and the result is ``(..., num_slots * num_candidates + num_queries, B)``: the candidates slot
        by slot, then the targets, each with the Z of its own level.
        """
        weight = batch.prior_weight
        if self.f_item.from_popularity is not None and Z is not None:
            row, level = item_slots(batch)
            text, Z = text[row], Z[..., level, :]
            weight = None if weight is None else share_among_slots(weight, row, batch)
        return self.item_vectors(text, D, Z, weight)

    def item_vectors(self, text: Tensor, D: Tensor | None, Z: Tensor | None, weight: Tensor | None = None) -> Tensor:
        """Sample V, ``(..., num_rows, B)``, of rows whose f_e(X) and Z are aligned; the prior counts `weight` times."""
        with whole_plate("items", len(text)), _weighted(weight):
            return pyro.sample("V", self.priors.V(self.f_item(text, D, Z)))

    def users(self, history: Tensor, positions: Tensor, D: Tensor | None) -> Tensor:
        """Sample U, ``(..., num_queries, B)``, given vectors of H, ``(..., num_sequences, length, B)``, and D."""
        return pyro.sample("U", self.priors.U(self.f_seq(D, history, positions)))

    def logits(
        self, U: Tensor, V: Tensor, D: Tensor | None, Z: Tensor | None, S: Tensor | None, W: Weights, batch: Batch
    ) -> Tensor:
        """Return the logits of R, ``(..., num_queries, num_candidates)``: eq. 2 and what the class adds to it.

        In training a column for the target comes first, and a negative that happens to be the target is masked. S is
        ``(..., 1 or num_queries, 4)``.
        """
        U = U if S is None else U * S[..., :1].exp()
        effect = None if Z is None else effect_of(Z, W.W_z)  # (..., num_levels)
        logits = self.mixed(self.matches(U, V, Z, batch), self.background(effect, S, batch), S, batch)
        if batch.negatives is not None:
            same = batch.items[batch.negatives] == batch.items[batch.targets][:, None]
            target = self.of_targets(U, V, effect, S, batch)[..., None]
            logits = torch.cat([target, logits.masked_fill(same, -torch.inf)], dim=-1)
        return logits if D is None else logits + effect_of(D.unsqueeze(-2), W.W_d)[..., None]

    def matches(self, U: Tensor, V: Tensor, Z: Tensor | None, batch: Batch) -> Tensor:
        """Return U·V, ``(..., num_queries, num_candidates)``."""
        if self.f_item.from_popularity is not None and Z is not None:
            return slotwise(U, V, batch)
        return U @ (V if batch.negatives is None else V[..., batch.negatives, :]).mT

    item_slots = staticmethod(item_slots)

    def background(self, effect: Tensor | None, S: Tensor | None, batch: Batch) -> Tensor:
        """Return Z·W_z of the candidates, ``(..., num_queries, num_candidates)``, in training with w_h·1[j ∈ H]."""
        if effect is None:
            scores = self.f_e.linear.weight.new_zeros(batch.num_queries, batch.candidate_level.shape[1])
        else:
            scores = effect[..., batch.candidate_level].index_select(-2, batch.slot)  # (..., queries, candidates)
            scores = scores if S is None else S[..., 1:2].exp() * scores
        if batch.is_training and self.config.repeats:
            query, candidate = batch.repeats  # each pair occurs once
            scores[..., query, candidate] += self.repeat_effect(S).expand(*scores.shape[:-1], 1)[..., query, 0]
        return scores

    def of_targets(self, U: Tensor, V: Tensor, effect: Tensor | None, S: Tensor | None, batch: Batch) -> Tensor:
        """Return U·V + Z·W_z + w_h·1[j ∈ H] of each query's own target in training, ``(..., num_queries)``."""
        by_slot = self.f_item.from_popularity is not None and effect is not None
        own = V[..., -batch.num_queries :, :] if by_slot else V[..., batch.targets, :]
        scores = (U * own).sum(-1)
        if effect is not None:
            own_effect = effect[..., batch.target_level]
            scores = scores + (own_effect if S is None else S[..., 1].exp() * own_effect)
        return scores + self.repeat_effect(S)[..., 0] * batch.target_repeats if self.config.repeats else scores

    def mixed(self, match: Tensor, background: Tensor, S: Tensor | None, batch: Batch) -> Tensor:
        """Return the log probability of each candidate, see `mixture_log_probs`; in training match + background.

        A few sampled negatives miss the rivals of a sharp match, and where ω bounds what a miss costs, training makes
        matches ever sharper. ω and ρ are estimated after training; see `calibrate`.
        """
        if batch.is_training:
            return match + background
        return mixture_log_probs(match, background, self.odds(S, batch), batch.repeats)

    def odds(self, S: Tensor | None, batch: Batch) -> MixtureLogOdds:
        """Return the log odds of the kinds of choice, ``(..., 1 or num_queries, 1)``."""
        S = self.f_e.linear.weight.new_zeros(1, len(EFFECT_SCALE_STD)) if S is None else S
        again = repeat_log_odds(batch.repeat_counts, self.w_r + S[..., 2:3]) if self.config.repeats else None
        return MixtureLogOdds(again, self.w_o + S[..., 3:] if self.config.wandering else None)

    def repeat_effect(self, S: Tensor | None) -> Tensor:
        """Return w_h in a domain, ``(..., 1 or num_queries, 1)``."""
        return self.w_h[None, None] if S is None else self.w_h + S[..., 2:3]

    def response(self, batch: Batch) -> Tensor | None:
        """Return the observed R: candidate 0 in training, the target against the catalogue, None to predict."""
        if batch.negatives is None:
            return batch.targets
        return torch.zeros_like(batch.targets)


def effect_of(X: Tensor, W: Tensor) -> Tensor:
    """Return X·W, ``(..., rows)``, given ``(..., rows, B)`` and a weight."""
    with torch.autocast(X.device.type, enabled=False):  # small, and compared between all items
        return X @ W if W.ndim == 1 else (X * W).sum(-1)


@contextmanager
def _weighted(weight: Tensor | None) -> Iterator[None]:
    """Count each row of a plate `weight` times; rows of weight 0 not at all."""
    if weight is None:
        yield
        return
    counted = weight > 0
    with pyro.poutine.scale(scale=torch.where(counted, weight, 1.0)), pyro.poutine.mask(mask=counted):
        yield
