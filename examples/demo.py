"""From nothing to recommendations in a domain that no model has seen: what `make demo` runs.

First the model that ships with the package recommends in a simulated store, without any training. Then three simulated
domains pre-train a model, which recommends in the fourth, and is compared. Every step is a command of the command line,
printed before it runs, so that it can be repeated on other data.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import pandas as pd

from prerec_pyro import plots
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import encode_domain
from prerec_pyro.data.simulation.ground_truth import load_truth, truth_path
from prerec_pyro.data.splits import split_users
from prerec_pyro.evaluation.oracle import Oracle
from prerec_pyro.evaluation.protocol import evaluate
from prerec_pyro.recommenders.pretrained.shipped import shipped_names

SHIPPED = "base"
K_PERCENT = 1.0
METHODS = {
    "random": "Random",
    "pop": "POP",
    "sbert": "SBERT",
    "prerec_n": "PreRec_n",
    "prerec": "PreRec",
    "prerec_calibrated": "PreRec, calibrated",
}


def command(*arguments: str) -> None:
    """Run one command of prerec-pyro, as a user would type it."""
    print("\n$ prerec-pyro " + " ".join(arguments), flush=True)
    subprocess.run([sys.executable, "-m", "prerec_pyro", *arguments], check=True)


def main(folder: Path) -> None:
    """Run the whole story in `folder`."""
    started = time.perf_counter()
    domains, target = str(folder / "domains"), str(folder / "domains" / "sim-3")
    command("data", "simulate", "--out", domains, "--domains", "4", "--seed", "0")
    lists_without_training(folder)
    sources = [part for k in range(3) for part in ("--source", f"{domains}/sim-{k}")]
    models = []
    for method in ("prerec_n", "prerec"):
        model = str(folder / f"model-{method}")
        command("train", *sources, "--out", model, "--method", method, "--seed", "0")
        models += ["--model", model]
    table = folder / "comparison.json"
    evaluation = ["--domain", target, *models, "--methods", "random,pop,sbert", "--k-percent", f"{K_PERCENT:g}"]
    command("evaluate", *evaluation, "--out", str(table))
    lists = str(folder / "recommendations.csv")
    command("infer", "--model", str(folder / "model-prerec"), "--domain", target, "--out", lists, "--top-k", "10")

    rows = pd.DataFrame(json.loads(table.read_text()))
    rows = pd.concat([rows, oracle_row(folder)], ignore_index=True)
    rows["method"] = rows["method"].map(METHODS | {"oracle": "Oracle (knows the truth)"})
    shown = rows[["method", "recall", "r_ndcg", "ndcg@10", "mrr", "coverage"]].sort_values("recall")
    print(f"\nZero-shot on sim-3, a domain no model was trained on (K% = {K_PERCENT:g} %, all items are candidates):\n")
    print(shown.to_string(index=False, float_format="{:.4f}".format))
    picture = folder / "comparison.png"
    plots.save(plots.plot_comparison(rows, highlight="PreRec"), str(picture))
    print(f"\nWrote {lists}, {table} and {picture} in {time.perf_counter() - started:.0f} s.")


def lists_without_training(folder: Path, num_users: int = 3, top_k: int = 5) -> None:
    """Recommend in ``sim-3`` with the shipped model, and print some people's histories and lists by their titles."""
    if SHIPPED not in shipped_names():
        print(f"\nThis copy of prerec_pyro ships no model called {SHIPPED}, so the part without training is left out.")
        return
    started = time.perf_counter()
    path = folder / "domains" / "sim-3"
    store = Domain.load(path)
    users, out = folder / "people.txt", folder / "lists-without-training.csv"
    users.write_text("".join(f"{user}\n" for user in store.user_ids[:num_users]))
    people = ("--users", str(users), "--top-k", str(top_k))
    command("infer", "--model", SHIPPED, "--domain", str(path), *people, "--out", str(out))
    title = dict(zip(store.item_ids, store.item_texts, strict=True))
    lists = pd.read_csv(out, dtype={"user_id": str, "item_id": str})
    for number, user in enumerate(store.user_ids[:num_users]):
        chosen = store.item_index[store.offsets[number] : store.offsets[number + 1]][-3:]
        print(f"\n{user} chose last: {'; '.join(store.item_texts[chosen])}")
        for row in lists[lists["user_id"] == user].itertuples():
            print(f"  {row.rank}. {title[row.item_id]}")
    seconds = time.perf_counter() - started
    print(f"\nNo model was trained for these lists; they took {seconds:.1f} s. Next, one is trained on such stores.")


def oracle_row(folder: Path) -> pd.DataFrame:
    """Return the row of the oracle, which scores with the simulated truth: what no model can beat on average."""
    domain = Domain.load(folder / "domains" / "sim-3")
    oracle = Oracle(load_truth(truth_path(folder / "domains", "sim-3")))
    encoded = encode_domain(domain)
    done = evaluate(oracle, encoded, split_users(domain).test, k_percent=K_PERCENT)
    return pd.DataFrame(done.rows("test"))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
