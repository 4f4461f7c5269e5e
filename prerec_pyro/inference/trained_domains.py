"""Trained domains of a model: their items, and the MAP of their free nodes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.newcomers import NewcomerPopularity
from prerec_pyro.errors import InputError
from prerec_pyro.models.graphs.domain_nodes import Weights
from prerec_pyro.models.graphs.registry import Graph
from prerec_pyro.models.graphs.unconfounded import UnconfoundedGraph
from prerec_pyro.models.priors import WEIGHTS

STORES = ("S_sources", "S_features")
"""What S of a new store is predicted from: S of the sources in nats, and their features; see `store_features`."""
NEWCOMERS = "newcomers"
"""What new items have in the sources, ``(window + 2,)``; see `NewcomerPopularity.as_array`."""
OF_ANY_STORE = (*STORES, NEWCOMERS)
"""What was learnt from the sources for any store."""


@dataclass(eq=False)
class TrainedDomains:
    """Source domains in the order of the rows of D.

    Attributes
    ----------
    item_ids
        Domain name → ``(num_items,)`` ids, in the order of the table of item offsets.
    nodes
        MAP of the free nodes, of those there are: ``D`` (num_domains, B), ``S`` (num_domains, num_effects),
        ``V_decentered`` (items of all domains, B), ``W_d`` and ``W_z`` (B,), and random scales of their priors, such as
        ``D_scale``. Also, of those there are, `OF_ANY_STORE`.
    """

    item_ids: dict[str, np.ndarray] = field(default_factory=dict)
    nodes: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, encoded: Sequence[EncodedDomain]) -> TrainedDomains:
        """Return the sources of a training run that is about to start.

        Raises
        ------
        InputError
            If there is none, two share a name, or their text embeddings differ in length.
        """
        if not encoded:
            raise InputError("no source domain was given; pre-training needs one or more")
        names = [e.name for e in encoded]
        if len(set(names)) < len(names):
            raise InputError(f"source domains share a name: {', '.join(names)}; give each its own (data import --name)")
        dims = {e.name: e.texts.shape[1] for e in encoded}
        if len(set(dims.values())) > 1:
            raise InputError(f"text embeddings differ in length: {dims}; encode all domains with one encoder")
        return cls({e.name: e.domain.item_ids for e in encoded})

    @property
    def first_rows(self) -> np.ndarray:
        """``(num_domains + 1,)``: where each domain starts in the table of item offsets, and the table's length."""
        return np.concatenate([[0], np.cumsum([len(ids) for ids in self.item_ids.values()])]).astype(np.int64)

    def row(self, domain: Domain) -> int | None:
        """Return the row of D of a trained domain, or None: the name must be the same, and most of the items."""
        if domain.name not in self.item_ids:
            return None
        same = pd.Index(self.item_ids[domain.name]).get_indexer(pd.Index(domain.item_ids)) >= 0
        return list(self.item_ids).index(domain.name) if same.mean() > 0.5 else None

    def nodes_of(self, domain: Domain, row: int) -> dict[str, Tensor]:
        """Return the MAP for one trained domain: ``D`` and ``S``, all rows, and ``V_decentered``, ``(num_items, B)``.

        An item that was added since stands at its prior mean.
        """
        found = {name: value for name, value in self.nodes.items() if name in ("D", "S")}
        if "V_decentered" in self.nodes:
            table = self.nodes["V_decentered"]
            own = pd.Index(self.item_ids[domain.name]).get_indexer(pd.Index(domain.item_ids))
            place = torch.from_numpy(np.maximum(own, 0) + self.first_rows[row]).to(table.device)
            is_new = torch.from_numpy(own < 0).to(table.device)
            found["V_decentered"] = table[place].masked_fill(is_new[:, None], 0.0)
        return found

    def weights(self, graph: Graph) -> Weights | None:
        """Return W_d and W_z: parameters of the graph, or the MAP of those that are lifted; None without confounders.

        Raises
        ------
        InputError
            If a lifted weight has no MAP: nothing was trained.
        """
        if missing := [name for name in graph.lifted if name not in self.nodes]:
            raise InputError(f"{missing[0]} is a random variable and has no MAP yet; train the model, or give a value")
        if isinstance(graph, UnconfoundedGraph):
            return None
        return Weights(*(self.nodes[name] if name in graph.lifted else graph.get_parameter(name) for name in WEIGHTS))

    def carried(self, graph: Graph) -> dict[str, Tensor]:
        """Return what holds for any domain: lifted weights, random scales, and what was learnt for any store."""
        names = [*graph.lifted]
        for node, sites in graph.hypers.items():
            names += [site for site, start in sites.items() if node != "D" or start.ndim == 0]
        return {name: self.nodes[name].clone() for name in names if name in self.nodes} | self.of_any_store()

    def of_any_store(self) -> dict[str, Tensor]:
        """Return what was learnt from the sources for any store: `STORES` and `NEWCOMERS`, of those there are."""
        return {name: self.nodes[name].clone() for name in OF_ANY_STORE if name in self.nodes}

    @property
    def newcomers(self) -> NewcomerPopularity | None:
        """Popularity of new items in the sources; None if the model has learnt none."""
        found = self.nodes.get(NEWCOMERS)
        return None if found is None else NewcomerPopularity.from_array(found.cpu().numpy())

    def item_rows(self, domain: Domain) -> Tensor:
        """Return where each item of a domain stands in the table of all trained items, ``(num_items,)``, or -1."""
        row = self.row(domain)
        if row is None:
            return torch.full((domain.num_items,), -1)
        own = pd.Index(self.item_ids[domain.name]).get_indexer(pd.Index(domain.item_ids))
        return torch.from_numpy(np.where(own < 0, -1, own + self.first_rows[row]))

    def to_tensors(self) -> dict[str, Tensor]:
        """Return everything as named tensors; ids as bytes of JSON."""
        tensors = {f"map.{name}": value for name, value in self.nodes.items()}
        for number, ids in enumerate(self.item_ids.values()):
            tensors[f"item_ids.{number}"] = torch.frombuffer(
                bytearray(json.dumps(list(ids)).encode()), dtype=torch.uint8
            )
        return tensors

    @classmethod
    def from_tensors(cls, names: Sequence[str], tensors: Mapping[str, Tensor], device: torch.device) -> TrainedDomains:
        """Return what `to_tensors` gave; ``KeyError`` or ``ValueError`` where a part is missing or damaged."""
        ids = {
            name: np.array(json.loads(tensors[f"item_ids.{number}"].numpy().tobytes().decode()), dtype=object)
            for number, name in enumerate(names)
        }
        prefix = "map."
        nodes = {k.removeprefix(prefix): v.to(device) for k, v in tensors.items() if k.startswith(prefix)}
        return cls(ids, nodes)
