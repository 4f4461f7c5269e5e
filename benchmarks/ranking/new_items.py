"""Is a new item found? Popular items are hidden from a log, and people whose one click is similar are asked about.

    python benchmarks/ranking/new_items.py --domain DOMAIN [--model base] [--source DOMAIN]… [--queries 2500]

Draws items that have some events, and takes all their events out of the log. Each has one person, whose one click is
the item with the most similar text that is left. Counts the items that are in the list of their person, the 20 best:
with their events in the log; without them, counted as the log counts them; with the counts that the model gives to new
items, where they are listed on the last day (`first_seen`); and the same where the day of listing is not known. In
brackets: the share of the lists of 500 users of the log that the hidden items take.

The model's own table of newcomers is used or, where it has none, one that is learnt from the sources given, which
should not hold the domain.

Prints a Markdown table, a row a draw, plain and calibrated. With ``--queries`` also r-NDCG at K% = 0.5 % of as many
queries of validation users in the whole log, without raised counts and with them, and the difference with its 95 %
interval (paired bootstrap over users).
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import normalize

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.data.newcomers import NewcomerPopularity, newcomer_popularity
from prerec_pyro.data.splits import split_users
from prerec_pyro.evaluation.bootstrap import paired_bootstrap
from prerec_pyro.evaluation.protocol import evaluate
from prerec_pyro.recommenders.calibrated import CalibratedPreRec
from prerec_pyro.recommenders.prerec import PreRec

METRICS = ("recall", "r_ndcg")
NAMES = ("plain", "calibrated")
Model = PreRec | CalibratedPreRec


def hide(domain: Domain, hidden: np.ndarray, listed: int) -> Domain:
    """Return the domain without the events of some items, which are listed on a day; users without events go."""
    kept = ~np.isin(domain.item_index, hidden)
    events = np.bincount(domain.user_of_event[kept], minlength=domain.num_users)
    first_seen = np.full(domain.num_items, -1)
    first_seen[hidden] = listed
    return dataclasses.replace(
        domain,
        user_ids=domain.user_ids[events > 0],
        offsets=np.concatenate([[0], events[events > 0].cumsum()]),
        item_index=domain.item_index[kept],
        timestamps=None if domain.timestamps is None else domain.timestamps[kept],
        first_seen=first_seen,
    )


def draw(encoded: EncodedDomain, number: int, least: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return items with at least so many events, and the item with the most similar text of each, none of them."""
    domain = encoded.domain
    events = np.bincount(domain.item_index, minlength=domain.num_items)
    has_text = np.array([bool(text.strip()) for text in domain.item_texts])
    among = np.flatnonzero((events >= least) & has_text)
    hidden = np.sort(np.random.default_rng(seed).choice(among, number, replace=False))
    texts = normalize(encoded.texts, dim=1)
    cosines = texts[hidden] @ texts.mT
    cosines[:, hidden] = -torch.inf
    return hidden, cosines.argmax(1).numpy()


def found(
    model: PreRec | CalibratedPreRec, encoded: EncodedDomain, hidden: np.ndarray, near: np.ndarray, k: int
) -> int:
    """Return how many items are in the list of their person."""
    ids = encoded.domain.item_ids
    people = [f"person {number}" for number in range(len(hidden))]
    table = model.recommend(encoded, histories=pd.DataFrame({"user_id": people, "item_id": ids[near]}), k=k)
    wanted = dict(zip(people, ids[hidden], strict=True))
    return int((table["item_id"] == table["user_id"].map(wanted)).sum())


def share(model: Model, encoded: EncodedDomain, hidden: np.ndarray, users: list[str], k: int) -> float:
    """Return the share of the lists of some users that the hidden items take."""
    return float(model.recommend(encoded, users, k=k)["item_id"].isin(encoded.domain.item_ids[hidden]).mean())


def rows(model: PreRec, table: NewcomerPopularity, domain: Domain, options: argparse.Namespace) -> Iterator[str]:
    """Yield the rows of the first table."""
    whole = model.encode(domain).with_newcomers(None)
    names = NAMES[:1] if options.plain else NAMES
    total = np.zeros((len(names), 2, 4))
    for seed in range(options.seeds):
        hidden, near = draw(whole, options.items, options.least, seed)
        cut = model.encode(hide(domain, hidden, int(domain.days.max()))).with_newcomers(None)
        unlisted = model.encode(dataclasses.replace(cut.domain, first_seen=None)).with_newcomers(table)
        arms = (whole, cut, cut.with_newcomers(table), unlisted)
        users = np.random.default_rng(seed).permutation(cut.domain.user_ids)[: options.users].tolist()
        for kind, name in enumerate(names):
            models: list[Model] = [model if name == "plain" else CalibratedPreRec(model) for _ in arms]
            pairs = list(zip(models, arms, strict=True))
            hits = [found(one, arm, hidden, near, options.k) for one, arm in pairs]
            shares = [share(one, arm, hidden, users, options.k) for one, arm in pairs]
            total[kind] += hits, shares
            yield f"| {seed} | {name} | {cells(np.array([hits, shares]))} |"
    for name, (hits, shares) in zip(names, total, strict=True):
        yield f"| all, {options.items * options.seeds} | {name} | {cells(np.array([hits, shares / options.seeds]))} |"


def cells(values: np.ndarray) -> str:
    """Return the cells of a row, ``(2, num_arms)`` hits and shares."""
    return " | ".join(f"{hits:.0f} ({share:.1%})" for hits, share in values.T)


def ranking(model: PreRec, table: NewcomerPopularity, domain: Domain, queries: int) -> Iterator[str]:
    """Yield the rows of the second table."""
    split, plain = split_users(domain), model.encode(domain).with_newcomers(None)
    drawn = np.random.default_rng(0).permutation(split.validation)
    events = np.maximum(np.diff(domain.offsets)[drawn] - 1, 0).cumsum()
    users = np.sort(drawn[: int(np.searchsorted(events, queries)) + 1])
    for name in NAMES:
        values = []
        for encoded in (plain, plain.with_newcomers(table)):
            one = model if name == "plain" else CalibratedPreRec(model, split.train)
            result = evaluate(one, encoded, users, k_percent=0.5)
            values.append(np.stack([result.ranking.per_query(metric) for metric in METRICS], axis=1))
        means = " | ".join("{:.4f} / {:.4f}".format(*value.mean(axis=0)) for value in values)
        differences = paired_bootstrap(values[1] - values[0], result.users)
        cells = " | ".join(f"{one.difference:+.4f} ({one.low:+.4f} to {one.high:+.4f})" for one in differences)
        yield f"| {domain.name} | {name} | {len(values[0]):,} | {means} | {cells} |"


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--domain", type=Path, required=True)
    parser.add_argument("--model", default="base")
    parser.add_argument("--source", action="append", type=Path, default=[], help="domain that the table is learnt from")
    parser.add_argument("--items", type=int, default=40)
    parser.add_argument("--least", type=int, default=20, help="events of an item that may be hidden")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--users", type=int, default=500, help="users whose lists are searched for hidden items")
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--plain", action="store_true", help="leave out the calibrated lists, which take longer")
    parser.add_argument("--queries", type=int, default=0, help="validation queries to rank; 0 ranks none")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, domain = PreRec.from_pretrained(options.model, device="cpu"), Domain.load(options.domain)
    table = model.newcomers_in(domain)
    if table is None and not options.source:
        raise SystemExit(f"the model {options.model} knows nothing of newcomers; give domains to learn from, --source")
    if table is None:
        table = newcomer_popularity(map(Domain.load, options.source), window=model.window)
    if options.seeds:
        print("| draw | | in the log | hidden | raised | raised, listing not known |\n" + "|---" * 6 + "|")
        for row in rows(model, table, domain, options):
            print(row, flush=True)
    if options.queries:
        print("\n| domain | | queries | as the log counts | raised | Recall | r-NDCG |\n" + "|---" * 7 + "|")
        for row in ranking(model, table, domain, options.queries):
            print(row, flush=True)


if __name__ == "__main__":
    main()
