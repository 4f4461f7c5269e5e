"""What do approximate lists over a million items cost and miss, next to the exact ones?

    python benchmarks/speed/approximate_lists.py [--items 1000000] [--cells 4 16 64] [--users 256] [--interests 1]

Items drawn around topics of fifty, as texts are, users near an item that they liked, or several, counts by Zipf; lists
of ten of the whole mixture. In one run: exact lists by `StreamingTopK`, then `ApproximateTopK` with each number of
cells: users a second, how many times as fast, recall@10 against the exact lists, and the recall without the most
popular items as candidates of everybody. The index is built once, which is timed too.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import time

import numpy as np
import torch

from prerec_pyro.ranking.approximate import ApproximateTopK
from prerec_pyro.ranking.exact import ScoreFactors, StreamingTopK
from prerec_pyro.ranking.users import InterestMixture, Users

K, TOPIC, DIM = 10, 50, 256


def draw(num_items: int, num_users: int, interests: int) -> tuple[ScoreFactors, Users]:
    """Return effects and users."""
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    topics = torch.randn(num_items // TOPIC, DIM, generator=generator)
    items = topics[torch.from_numpy(rng.integers(0, len(topics), num_items))]
    items += 0.5 * torch.randn(num_items, DIM, generator=generator)
    items /= items.norm(dim=1, keepdim=True)
    users = items[torch.from_numpy(rng.integers(0, num_items, num_users))]
    users = users + 0.5 / DIM**0.5 * torch.randn(users.shape, generator=generator)
    counts = np.bincount(rng.zipf(1.3, 2 * num_items) % num_items, minlength=num_items)
    popularity = torch.from_numpy(np.log1p(counts).astype(np.float32))
    factors = ScoreFactors(items, popularity, None, -1.5)
    if interests == 1:
        return factors, Users(15.0 * users / users.norm(dim=1, keepdim=True))
    read = torch.randint(0, num_items, (num_users, interests), generator=generator)
    weights = (-0.3 * torch.arange(float(interests))).softmax(0).expand(num_users, -1)
    ones = torch.ones(num_users, 1)
    return factors, Users(0.5 / DIM**0.5 * users, InterestMixture(items, read, weights, 4.5 * ones, 15.0 * ones))


def recall(exact: torch.Tensor, found: torch.Tensor) -> float:
    """Return the share of the exact lists that was found."""
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(exact.tolist(), found.tolist(), strict=True)]))


def split(users: Users, size: int) -> list[Users]:
    """Return blocks of users."""
    return [users[begin : begin + size] for begin in range(0, len(users), size)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=256)
    parser.add_argument("--cells", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--interests", type=int, default=1)
    options = parser.parse_args()
    effects, users = draw(options.items, options.users, options.interests)
    exact = StreamingTopK(effects)
    start = time.perf_counter()
    expected = torch.cat([exact(part, K)[1] for part in split(users, exact.block_queries(K))])
    of_exact = time.perf_counter() - start
    del exact
    start = time.perf_counter()
    lists = ApproximateTopK(effects, users, 1)
    built = time.perf_counter() - start
    threads = torch.get_num_threads()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {threads} threads; {options.items:,} items × {DIM}, k = {K}")
    print(f"{'':22}{'users/s':>10}{'times':>8}{'recall@10':>11}{'without the popular':>21}")
    print(f"{'exact':22}{options.users / of_exact:10.1f}{1:8.1f}{1:11.3f}")
    for cells in options.cells:
        lists.probes = cells
        start = time.perf_counter()
        found = torch.cat([lists(part, K)[1] for part in split(users, lists.block_queries(K))])
        seconds = time.perf_counter() - start
        everybody, lists._popular = lists._popular, lists._popular[:0]
        without = torch.cat([lists(part, K)[1] for part in split(users, lists.block_queries(K))])
        lists._popular = everybody
        row = f"{f'{cells} of {lists._index.nlist:,} cells':22}{options.users / seconds:10.1f}{of_exact / seconds:8.1f}"
        print(f"{row}{recall(expected, found):11.3f}{recall(expected, without):21.3f}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"building the index {built:.1f} s, once; most memory held {memory:.2f} GiB")


if __name__ == "__main__":
    main()
