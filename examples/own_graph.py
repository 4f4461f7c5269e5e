"""A graph of one's own: the extended graph, an item covariate (price), and an edge that lets a store weigh it.

    python examples/own_graph.py OUT

Prices are simulated so that cheap items are chosen more often; the model has to find that out. It prints by how much a price of
one standard deviation changes the odds of an item in each store, and what would change if all items cost the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyro
import torch
from torch import Tensor, nn

from prerec_pyro import Domain, ExtendedConfig, PreRec, TrainConfig, simulate
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.graphs.item_layout import ItemRows
from prerec_pyro.models.priors import Priors


class PricedConfig(ExtendedConfig):
    """The shapes of the extended graph, and one number of this graph's own."""

    price_scale: float = 1.0


class PricedGraph(ExtendedGraph):
    """V also depends on the price of the item and on D: ``V ~ prior around f_e(X) + price · (w + A D)``.

    The edge D → V differs by item here, so it does not cancel in the softmax: a store decides how much a price counts.
    """

    Config = PricedConfig
    edges = {**ExtendedGraph.edges, "V": "D"}  # noqa: RUF012
    covariates = ("price",)

    def __init__(
        self, config: PricedConfig, *, num_domains: int, text_dim: int, priors: Priors | None = None
    ) -> None:
        super().__init__(config, num_domains=num_domains, text_dim=text_dim, priors=priors)
        self.price = nn.Parameter(torch.zeros(config.latent_dim))
        self.price_of_domain = nn.Linear(config.latent_dim, config.latent_dim, bias=False)
        nn.init.zeros_(self.price_of_domain.weight)  # an edge that starts at zero can only help
        self.price_scale = config.price_scale

    def item_mean(self, rows: ItemRows, D: Tensor) -> Tensor:
        """Return the mean of V, ``(..., num_rows, B)``."""
        price = self.price_scale * rows.covariates["price"][:, None]  # (num_rows, 1)
        direction = self.price + self.price_of_domain(D)  # (..., B)
        return super().item_mean(rows, D) + price * direction.unsqueeze(-2)


def with_prices(store: Domain, rng: np.random.Generator) -> Domain:
    """Return the store with a price for each item: the less often an item was chosen, the dearer it is, up to noise."""
    chosen = np.log1p(np.bincount(store.item_index, minlength=store.num_items))
    price = -chosen + 0.5 * chosen.std() * rng.standard_normal(store.num_items)
    return store.with_item_covariates(price=(price - price.mean()) / price.std())


def main(out: Path) -> None:
    """Train with and without prices on two stores, and compare both in a third that neither has seen."""
    ...
