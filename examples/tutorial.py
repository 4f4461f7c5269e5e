"""From two CSV files to a posterior forest plot, a popularity dial and an effect report.

    python examples/tutorial.py SHOP OUT

SHOP holds interactions.csv (user_id, item_id, timestamp) and items.csv (item_id, text), of a store that is new.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # pictures go to files

import pandas as pd

from prerec_pyro import Domain, ExtendedConfig, PreRec, TrainConfig, plots, simulate

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
tables = (
    pd.read_csv(folder / name, dtype={"user_id": str, "item_id": str}) for name in ("interactions.csv", "items.csv")
)
shop = Domain.from_tables(*tables, name="shop")

# The stores that there are already; simulated ones here. `PreRec.load(folder)` takes a model that is trained.
stores = [store.domain for store in simulate(num_domains=2, seed=1, num_items=100, num_users=200)]
model = PreRec(ExtendedConfig(latent_dim=16), training=TrainConfig(epochs=2, k_percent=2, seed=0)).fit(stores)
print(model.recommend(shop, k=3).head())

# What does the new store's log say of it? S: how much texts, popularity and repeats weigh here.
posterior = model.posterior(shop, "laplace", draws=100)
print(posterior.summary().head(4))
posterior.plot().ravel()[0].figure.savefig(out / "forest.png", dpi=160, bbox_inches="tight")

# What if popularity had no effect, or twice the effect? And if this were another store?
dial = model.popularity_dial(shop, [0, 0.5, 1, 1.5, 2], k_percent=2)
plots.save(plots.plot_dial(dial.table), str(out / "dial.png"))
report = model.effect_report(shop, k_percent=2)
(out / "effect.md").write_text(report.to_markdown(), encoding="utf-8")
print(dial.to_markdown())
