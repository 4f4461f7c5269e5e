"""Scores of all items under interventions by `pyro.poutine.do`: the paper's (eqs. 5 and 6) and the user's own."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyro
import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch, candidates_batch
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError
from prerec_pyro.inference.interventions.effect_scales import Calibration
from prerec_pyro.inference.interventions.intervention import Intervention, Scaled, Semantics, Value
from prerec_pyro.inference.interventions.matches import Parts, in_parts, screen, users_with_interests
from prerec_pyro.inference.interventions.statements import check_draw, mean_in_slot, only, rows_of, run_under_do
from prerec_pyro.inference.trained_domains import TrainedDomains
from prerec_pyro.models.graphs.domain_nodes import DomainNodes, Weights, dot
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.graphs.item_layout import ItemRows
from prerec_pyro.models.graphs.registry import Graph, latent_parents
from prerec_pyro.models.likelihoods.repeat_mixture import RepeatMixture
from prerec_pyro.models.likelihoods.softmax import Match
from prerec_pyro.ranking.exact import ScoreFactors
from prerec_pyro.ranking.screening import Screening
from prerec_pyro.ranking.users import Users

_ITEMS = 16_384  # whose vectors are made at a time: what is made on the way is as large as they are, several times

__all__ = ["Intervention", "InterventionalScorer", "Parts", "Semantics", "Value"]


class InterventionalScorer:
    """P(R | do(…)) of every item of one domain, for any queries.

    Eqs. 5 and 6 reduce to ``U·V + Z·W_z``: D·W_d is the same for every item and cancels in the softmax. The likelihood
    of the graph turns these two parts into scores. Zero-shot (`trained` is None) D is integrated out: U and V are
    computed at D = 0, Z at f_pop(F). For a trained domain all four are at their MAP.

    Parameters
    ----------
    graph
        The model, in evaluation mode.
    encoded
        The domain.
    intervention
        Nodes that the user sets on top.
    trained
        MAP of the domain's free nodes, ``D`` (num_domains, B) and ``V_decentered`` (num_items, B), or None for a
        domain that the model was not trained on.
    domain
        Row of D_k.
    weights
        W_d and W_z at their MAP; None takes the graph's parameters, and is refused where they are random variables.
    calibration
        S estimated from the domain's own log, time slot by time slot; None keeps its trained value or, zero-shot, its
        prior mean.

    Raises
    ------
    InputError
        If a value given for Z or V has another number of rows than the domain has items, or the domain lacks an item
        covariate that the graph reads.
    """

    def __init__(
        self,
        graph: Graph,
        encoded: EncodedDomain,
        intervention: Intervention,
        *,
        trained: Mapping[str, Tensor] | None = None,
        domain: int = 0,
        weights: Weights | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self.graph = graph
        self.encoded = encoded
        self.intervention = intervention
        self.domain = domain
        weights = TrainedDomains().weights(graph) if weights is None else weights
        self._W_z = None if weights is None else weights.W_z
        self._calibration = calibration if "S" in graph.edges else None
        self._trained = dict(trained or {})
        self._known = self._known_nodes(self._trained)
        for node in ("Z", "V"):
            value = intervention.values.get(node)
            if isinstance(value, Tensor) and value.ndim == 2 and len(value) != encoded.num_items:
                raise InputError(
                    f"do({node}): {len(value)} rows, but domain {encoded.name!r} has {encoded.num_items} items"
                )
        if missing := [name for name in graph.covariates if name not in encoded.covariates]:
            raise InputError(
                f"domain {encoded.name!r} has no item covariate {missing[0]!r}, which the graph {type(graph).__name__} "
                f"reads; give it, as in Domain.from_tables(..., item_covariates=[{missing[0]!r}])"
            )
        with torch.no_grad():
            self._text = graph.f_e(encoded.texts.to(self._device))  # (num_items, B)
            self._covariates = {name: encoded.covariates[name].to(self._device) for name in graph.covariates}
            self._items: Tensor | None = None

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """Return ``(num_queries, num_items)`` scores, the logits of R under the intervention."""
        return next(iter(self.dial(batch, (1.0,))))

    def dial(self, batch: Batch, values: Iterable[float]) -> Iterator[Tensor]:
        """Yield the scores under do(Z = value · Z) for each value; at 1 they are those of a call, bit for bit.

        Z is all that moves: without the edge Z → V the match U·V is computed once for all values. With it V follows,
        and keeps the noise that it has in this scorer. Both terms of the mixture read the same Z.
        """
        with torch.no_grad():
            batch = self._by_item(batch.to(self._device))
            S, Z = self._effect_scales(batch), self._popularity(batch)
            fixed = None if self._moves_with_popularity else self._matches(batch, Z, S)
        for value in values:
            with torch.no_grad():
                turned = None if Z is None else value * Z
                match = self._matches(batch, turned, S) if fixed is None else fixed
                scores = self.graph.likelihood.logits(Match(match), self._effect(turned), S, batch)
            yield scores

    @torch.no_grad()
    def screening(self, batch: Batch) -> Screening | None:
        """Return the cheap probabilities of a batch; None where R is one softmax, whose scores are as cheap."""
        likelihood = self.graph.likelihood
        if type(likelihood) is not RepeatMixture or batch.repeat_counts is None:
            return None
        batch = self._by_item(batch.to(self._device))
        S, Z = self._effect_scales(batch), self._popularity(batch)
        return screen(likelihood, self._matches(batch, Z, S), self._effect(Z), S, batch)

    def given(self, nodes: Mapping[str, Tensor]) -> InterventionalScorer:
        """Return this scorer with free nodes elsewhere than at their MAP: at one draw of a posterior, say.

        Parameters
        ----------
        nodes
            ``D``, ``(B,)`` or ``(num_domains, B)``; ``S``, as long as it has effects, in units of ``spread``, in place
            of a calibration; ``V_decentered``, ``(num_items, B)``; ``W_z`` and ``W_d``, ``(B,)``, where they are
            lifted. The others stay.

        Raises
        ------
        InputError
            If a node is none of these, the model has no such node, or a value has another shape.
        """
        other = copy.copy(self)
        sizes = self.graph, self.encoded.num_items
        checked = {name: check_draw(*sizes, name, value).to(self._device) for name, value in nodes.items()}
        other._W_z = checked.pop("W_z", self._W_z)
        checked.pop("W_d", None)  # D·W_d is the same for every item
        other._trained = self._trained | checked
        other._known = other._known_nodes(other._trained)
        other._items = None
        if "S" in nodes:
            other._calibration = None
        return other

    @property
    def _moves_with_popularity(self) -> bool:
        return "Z" in self.graph.edges["V"]

    @torch.no_grad()
    def parts(self, batch: Batch) -> Parts:
        """Return what S weighs against each other, before S: users, items, popularity."""
        batch = self._by_item(batch.to(self._device))
        Z = self._popularity(batch)
        items = self._items_in(batch, Z)
        popularity = items.new_zeros(len(batch.candidate_level), len(items))
        if (effect := self._effect(Z)) is not None:
            popularity = batch.item_effects(effect)  # (num_slots, num_items)
        return Parts(self._users_under(batch, None), items, popularity)

    @torch.no_grad()
    def users(self, batch: Batch) -> Users:
        """Return the users of a batch as they count under S and the intervention."""
        batch = batch.to(self._device)
        return self._users_under(batch, self._effect_scales(batch))

    def _users_under(self, batch: Batch, S: Tensor | None) -> Users:
        D, graph = self._domain_node(), self._with_interests
        if graph is not None:
            return users_with_interests(graph, self._users(batch, D, None), self._fixed_items(D), S, batch)
        own = None if "U" in self.intervention.values else S  # a value that is set for U reads no history
        return Users(self._users(batch, D, own) * self.graph.likelihood.factors(S).match)

    def _matches(self, batch: Batch, Z: Tensor | None, S: Tensor | None) -> Tensor:
        """Return the match as it counts under S, ``(num_queries, num_items)``."""
        users, D = self._users_under(batch, S), self._domain_node()
        if not self._moves_with_popularity:
            return users.match(self._fixed_items(D))
        scores = users.vectors.new_empty(len(users), self.encoded.num_items)
        for slot, level in enumerate(batch.candidate_level):  # V differs by slot; one at a time bounds memory
            here = batch.slot == slot
            scores[here] = users[here].match(self._item_vectors(D, Z, level))
        return scores

    def _effect(self, Z: Tensor | None) -> Tensor | None:
        """Return Z·W_z, ``(num_levels,)``; None where there is none."""
        return None if Z is None or self._W_z is None else dot(Z, self._W_z)

    @property
    def _with_interests(self) -> ExtendedGraph | None:
        """The graph if it splits U into several interests: not where a value is set for U, which is then all of it."""
        graph = self.graph
        if not isinstance(graph, ExtendedGraph) or graph.interests is None or "U" in self.intervention.values:
            return None
        return graph

    def _effect_scales(self, batch: Batch) -> Tensor | None:
        """Return S in nats, ``(1 or num_queries, num_effects)``; None where there is no S."""
        value = self.intervention.values.get("S", Scaled(1.0))
        if self._calibration is not None and isinstance(value, Scaled):
            return value.factor * self._calibration.at(batch.times)[batch.slot]
        domain = self._domain()
        return None if domain is None else domain.S

    @torch.no_grad()
    def score_factors(self, batch: Batch) -> ScoreFactors:
        """Return the parts of R in the one time slot of a batch, each as it counts under S and the intervention."""
        batch = self._by_item(batch.to(self._device))
        S, Z, likelihood = self._effect_scales(batch), self._popularity(batch), self.graph.likelihood
        popularity = None
        if (effect := self._effect(Z)) is not None:
            factor = likelihood.factors(S).popularity
            popularity = batch.item_effects(effect)[0] * (factor if isinstance(factor, float) else factor[0, 0])
        rates = likelihood.rates(S)
        return ScoreFactors(self._items_in(batch, Z), popularity, *(rates or (None, None)))

    @torch.no_grad()
    def item_vectors_at_end(self) -> Tensor:
        """Return V, ``(num_items, B)``, in the slot after the log's last day."""
        history, positions = np.zeros((1, 1), np.int64), np.zeros(1, np.int64)
        slot = np.array([self.encoded.popularity.last_slot])
        batch = self._by_item(candidates_batch(self.encoded, history, positions, slot).to(self._device))
        return self._items_in(batch, self._popularity(batch))

    def _by_item(self, batch: Batch) -> Batch:
        """Return the batch with the levels of Z that the graph reads.

        Where Z is set item by item each item has a level of its own, as no two share a row of Z. A value that is set
        is that of the sum over windows.
        """
        value = self.intervention.values.get("Z")
        if self.graph.num_windows == 1 or isinstance(value, Tensor | str):
            batch = batch.without_other_windows()
        if not isinstance(value, Tensor) or value.ndim < 2:
            return batch
        level = torch.arange(len(value), device=self._device).expand(batch.candidate_level.shape)
        factors = batch.factors.new_zeros(len(value), batch.factors.shape[1])
        return dataclasses.replace(batch, candidate_level=level, factors=factors, level_window=None)

    @property
    def _device(self) -> torch.device:
        return self.graph.f_e.linear.weight.device

    def _known_nodes(self, trained: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        known = {n: value for n, value in (trained or {}).items() if n in (*self.graph.edges, "V_decentered")}
        recomputed = self.intervention.recomputed(latent_parents(self.graph))
        if self.intervention.semantics == "interventional" and "V" in recomputed:
            known.pop("V_decentered", None)
        return {name: value.to(self._device) for name, value in known.items()}

    def _set(self, node: str, shape: tuple[int, ...], mean: Tensor | None = None) -> dict[str, Tensor]:
        """Return the `do` for one node, at the full shape that its site has."""
        value = self.intervention.values.get(node)
        if value is None:
            return {}
        if isinstance(value, Scaled):
            value = value.factor * (self._known.get(node, torch.zeros(())) if mean is None else mean)
        elif isinstance(value, str) and mean is not None:
            value = mean
        return {node: torch.as_tensor(value, device=self._device).expand(shape)}

    def _domain(self) -> DomainNodes | None:
        graph = self.graph
        known = {node: self._known[node] for node in graph.domain_widths if node in self._known}
        do: dict[str, Tensor] = {}
        for node, width in graph.domain_widths.items():
            do |= self._set(node, (graph.num_domains, width))
        with run_under_do(graph, known, do):
            return graph.domain(self.domain)

    def _domain_node(self) -> Tensor | None:
        return None if (domain := self._domain()) is None else domain.D

    def _popularity(self, batch: Batch) -> Tensor | None:
        graph = self.graph
        if "Z" not in graph.edges:
            return None
        mean, value = None, self.intervention.values.get("Z")
        if isinstance(value, str | Scaled):
            with run_under_do(graph, {}, {}):
                mean = graph.popularity(batch)  # (num_levels, B)
            if isinstance(value, str) and mean is not None:
                mean = mean_in_slot(mean, batch.candidate_level)
        shape = (len(batch.factors), graph.config.latent_dim)
        with run_under_do(graph, {}, self._set("Z", shape, mean)):
            return graph.popularity(batch)

    def _items_in(self, batch: Batch, Z: Tensor | None) -> Tensor:
        """Return V, ``(num_items, B)``, in the one time slot of a batch."""
        D = self._domain_node()
        if self._moves_with_popularity:
            return self._item_vectors(D, Z, batch.candidate_level[0])
        return self._fixed_items(D)

    def _fixed_items(self, D: Tensor | None) -> Tensor:
        """Return V, ``(num_items, B)``, where it is the same in every slot."""
        if self._items is None:
            self._items = self._item_vectors(D)
        return self._items

    def _item_vectors(self, D: Tensor | None, Z: Tensor | None = None, level: Tensor | None = None) -> Tensor:
        known, do = only(self._known, "V_decentered"), self._set("V", tuple(self._text.shape))
        parts = []
        for begin in range(0, len(self._text), _ITEMS):
            rows = slice(begin, begin + _ITEMS)
            own = None if level is None else level[rows]
            with run_under_do(self.graph, rows_of(known, rows), rows_of(do, rows)):
                covariates = {name: self._covariates[name][rows] for name in self.graph.covariates}
                parts.append(self.graph.items(ItemRows(self._text[rows], Z, own, None, covariates), D))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)

    def _users(self, batch: Batch, D: Tensor | None, S: Tensor | None) -> Tensor:
        """Return U, ``(num_queries, B)``, before its factor."""
        graph, parts = self.graph, []
        H = self._fixed_items(D) if "V" in graph.edges["U"] else self._text
        for history, positions in in_parts(batch.history, batch.positions):
            do = self._set("U", (len(positions), graph.config.latent_dim))
            with run_under_do(graph, {}, do), pyro.plate("queries", len(positions), dim=-1):
                parts.append(graph.users(H[history], positions, D, S))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)
