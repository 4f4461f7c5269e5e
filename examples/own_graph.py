"""A graph of one's own: the extended graph, an item covariate (price), and an edge that lets a store weigh it.

    python examples/own_graph.py

In the simulated stores a user buys at about one price. Texts do not tell the price of an item, the covariate does. The
script trains the extended graph and the graph of this file on two stores and compares them in a third.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from prerec_pyro import Domain, ExtendedConfig, PreRec, TrainConfig, simulate
from prerec_pyro.data import split_users
from prerec_pyro.evaluation import evaluate
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.graphs.item_layout import ItemRows
from prerec_pyro.models.priors import Priors


class PricedConfig(ExtendedConfig):
    """The shapes of the extended graph, and one number of this graph's own."""

    price_scale: float = 3.0


class PricedGraph(ExtendedGraph):
    """V also depends on the price of the item and on D: ``V ~ prior around f_e(X) + price · (w + A D)``.

    The edge D → V differs by item here, so it does not cancel in the softmax: a store decides how much a price counts.
    """

    Config = PricedConfig
    edges = {**ExtendedGraph.edges, "V": "D"}  # noqa: RUF012
    covariates = ("price",)

    def __init__(self, config: PricedConfig, *, num_domains: int, text_dim: int, priors: Priors | None = None) -> None:
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
    """Return the store with prices, and without the choices that were too dear or too cheap for their user.

    Items get a price at random, users a budget. What a user chose at another price than about the budget is left out.
    """
    price = rng.standard_normal(store.num_items)
    budget = rng.standard_normal(store.num_users)
    kept = np.abs(price[store.item_index] - budget[store.user_of_event]) < 0.5
    events = store.interactions_frame()[kept]
    items = store.items_frame().assign(price=price)
    return Domain.from_tables(events, items, name=store.name, item_covariates=["price"])


def main() -> None:
    """Train with and without prices on two stores, and compare both in a third that neither has seen."""
    rng = np.random.default_rng(0)
    drawn = simulate(num_domains=3, seed=0, num_items=150, num_users=8000)
    *sources, target = (with_prices(store.domain, rng) for store in drawn)
    training = TrainConfig(epochs=5, k_percent=5, seed=0)
    for graph in (ExtendedGraph, PricedGraph):
        model = PreRec(graph.Config(latent_dim=32), training=training, device="cpu").fit(sources)
        encoded = model.encode(target)
        users = split_users(encoded.domain, 0).test
        found = evaluate(model, encoded, users, k_percent=5.0).ranking.compute()
        print(f"{graph.__name__}: Recall@5% {found['recall']:.3f}, r-NDCG {found['r_ndcg']:.3f}")
    print(f"length of the price direction: {model.graph.price.norm():.3f}")
    print(model.recommend(target, k=3).head(3).to_string(index=False))


if __name__ == "__main__":
    main()
