"""What do exact lists over a million items cost, next to the bare product and top-k?

    python benchmarks/speed/scoring.py [--items 1000000] [--users 2000] [--dim 256] [--interests 1]

Drawn vectors and drawn counts (Zipf), no texts: lists of 20 for users × items × dim, seen items dropped, in one run:

(a) `StreamingTopK` of the mixture: popularity, repeats, both normalisers;
(b) ``U @ V.T`` block by block, each through ``torch.topk``, merged, with nothing added: the floor of one interest.

A user costs the same whichever block he is in, so the time of 100,000 users is what is printed for it. Memory is the
most that the process ever held. A sample of users is checked against dense scores in double precision.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

import numpy as np
import torch

from prerec_pyro.data.batching.repeats import SeenItems, seen_items
from prerec_pyro.ranking.exact import ScoreFactors, StreamingTopK
from prerec_pyro.ranking.users import InterestMixture, Users

HISTORY = 10
BLOCK_ITEMS, BLOCK_USERS = 8192, 256
MEMORY_FLOOR, TIME_FLOOR = 3.0, 1.5
ALL_USERS = 100_000


def draw(
    num_items: int, num_users: int, dim: int, interests: int, device: torch.device
) -> tuple[ScoreFactors, Users, np.ndarray]:
    """Return effects, users and histories ``(num_users, HISTORY)``."""
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    items = torch.randn(num_items, dim, generator=generator).to(device).div_(dim**0.5)
    users = 4.0 * torch.randn(num_users, dim, generator=generator).to(device)
    counts = np.bincount(rng.zipf(1.3, 2 * num_items) % num_items, minlength=num_items)
    popularity = torch.from_numpy(np.log1p(counts).astype(np.float32)).to(device)
    mixture = None
    if interests > 1:
        read = torch.randint(0, num_items, (num_users, interests), generator=generator).to(device)
        ones = torch.ones(num_users, 1, device=device)
        mixture = InterestMixture(items, read, ones.expand(-1, interests) / interests, 4.5 * ones, 10.0 * ones)
    histories = rng.integers(0, num_items, (num_users, HISTORY))
    return ScoreFactors(items, popularity, 0.0, -1.5), Users(users, mixture), histories


def bare(users: torch.Tensor, items: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the floor: k best products, block by block."""
    parts = []
    for begin in range(0, len(items), BLOCK_ITEMS):
        best, index = (users @ items[begin : begin + BLOCK_ITEMS].mT).topk(k, dim=1)
        parts.append((best, index + begin))
    best, index = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
    best, at = best.topk(k, dim=1)
    return best, index.gather(1, at)


def met(history: np.ndarray) -> SeenItems:
    """Return what each met before."""
    return seen_items(history, np.arange(1, len(history) + 1) * history.shape[1] - 1)


def check(effects: ScoreFactors, users: Users, history: np.ndarray, found: torch.Tensor) -> tuple[int, int]:
    """Return how many places of the lists dense scores in double precision agree with, and of how many."""
    rows, items, _ = met(history)
    background = effects.popularity.double().repeat(len(users), 1)
    background[rows, items] = -torch.inf  # what was met before is hidden, and no rival of what is new
    items, mixture = effects.items.double(), users.interests
    if mixture is not None:
        wide = (part.double() for part in (mixture.weights, mixture.contrast, mixture.scale))
        mixture = InterestMixture(items, mixture.read, *wide)
    scores = Users(users.vectors.double(), mixture).match(items) + background
    odds = torch.tensor(effects.background_odds, dtype=torch.float64)
    scores = torch.logaddexp(
        scores.log_softmax(1) + torch.nn.functional.logsigmoid(-odds),
        background.log_softmax(1) + torch.nn.functional.logsigmoid(odds),
    )
    order = scores.sort(dim=1, descending=True, stable=True).indices[:, : found.shape[1]]
    return int((order == found).sum()), order.numel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--interests", type=int, default=1)
    parser.add_argument("--top-k", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    effects, users, history = draw(options.items, options.users, options.dim, options.interests, device)

    def clock() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    start = clock()
    streaming = StreamingTopK(effects)
    prepared = clock() - start
    size = min(streaming.block_queries(options.top_k), options.users)
    seconds: dict[str, list[float]] = {"a": [], "b": []}
    lists = []
    for begin in range(0, options.users - size + 1, size):
        rows = slice(begin, begin + size)
        seen = met(history[rows])
        start = clock()
        lists.append(streaming(users[rows], options.top_k, seen=seen, hidden=seen[:2])[1])
        seconds["a"].append(clock() - start)
    for begin in range(0, options.users - BLOCK_USERS + 1, BLOCK_USERS):
        start = clock()
        bare(users.vectors[begin : begin + BLOCK_USERS], effects.items, options.top_k)
        seconds["b"].append(clock() - start)
    if device.type == "cuda":
        memory, where = torch.cuda.max_memory_allocated() / 2**30, "GPU memory"
    else:
        memory, where = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "memory"
    a, b = (statistics.median(seconds[name]) / block for name, block in (("a", size), ("b", BLOCK_USERS)))
    print(
        f"{options.items:,} items × {options.dim}, interests: {options.interests}, k = {options.top_k}, {device.type}, "
        f"{torch.get_num_threads()} threads"
    )
    print(f"{len(lists)} blocks of {size} users")
    print(f"(a) exact mixture     {1 / a:10.1f} users/s")
    print(f"(b) bare product      {1 / b:10.1f} users/s")
    print(f"(a)/(b)               {a / b:10.2f}   floor {TIME_FLOOR}")
    print(f"most {where} held  {memory:10.2f} GiB   floor {MEMORY_FLOOR}")
    print(f"setting up            {prepared:10.2f} s, once for all users")
    print(f"{ALL_USERS:,} users at this rate: {ALL_USERS * a / 60:.1f} minutes")
    agree, of = check(effects, users[:4], history[:4], lists[0][:4])
    print(f"places that dense double-precision scores agree with: {agree} of {of}")


if __name__ == "__main__":
    main()
