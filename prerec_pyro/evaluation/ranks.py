"""Ranks of the targets of a batch, and the items that its queries are shown."""

from __future__ import annotations

import torch
from torch import Tensor

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.evaluation.metrics import TargetRanks, target_ranks
from prerec_pyro.ranking.lists import Scorer
from prerec_pyro.ranking.screening import SMALLEST, ScreenedScorer, Screening, tolerance
from prerec_pyro.ranking.top_k import top_k, top_k_unordered


def ranks_and_lists(
    scorer: Scorer, batch: Batch, targets: Tensor, k: int, generator: torch.Generator
) -> tuple[TargetRanks, Tensor]:
    """Return the ranks of the targets, and the k best items of each query in any order, ``(num_queries, k)``.

    Both are those of the scores, to the last tie. Where the scorer offers a `Screening`, it decides most comparisons.

    Parameters
    ----------
    scorer
        Function from a batch over the full catalogue to scores.
    batch
        The queries.
    targets
        Item index of each query's target, ``(num_queries,)`` int64.
    k
        Number of items of a list, at most the number of items.
    generator
        Draws among items that tie for the last places.

    Raises
    ------
    InputError
        If a score is NaN.
    """
    screening = scorer.screening(batch) if isinstance(scorer, ScreenedScorer) else None
    if screening is None:
        scores = scorer(batch).cpu()
        return target_ranks(scores, targets), top_k(scores, k, generator)[1]
    return _screened(screening, targets, k, generator)


def _screened(screening: Screening, targets: Tensor, k: int, generator: torch.Generator) -> tuple[TargetRanks, Tensor]:
    above, ties = torch.zeros_like(targets), torch.zeros_like(targets)
    shown = targets.new_empty(len(targets), k)
    is_open = torch.zeros(len(targets), dtype=torch.bool)
    for rows, found in screening.blocks():
        own = found.gather(1, targets[rows, None].to(found.device))  # (num_rows, 1)
        margin = own * tolerance(own)
        higher = torch.empty_like(found)  # as numbers: torch sums booleans through an int64 copy
        num_above = torch.gt(found, own + margin, out=higher).sum(1)
        num_near = torch.ge(found, own - margin, out=higher).sum(1) - num_above  # the target itself is one
        decided = (num_near == 1) & (own[:, 0] > SMALLEST)
        best, index = top_k_unordered(found, min(k + 1, found.shape[1]))
        if k < found.shape[1]:
            last = best[:, k - 1]
            decided &= (best[:, k] < last * (1 - tolerance(last))) & (last > SMALLEST)
        above[rows], shown[rows], is_open[rows] = num_above.long().cpu(), index[:, :k].cpu(), ~decided.cpu()
    if is_open.any():
        scores = screening.exact(is_open.nonzero()[:, 0]).cpu()
        above[is_open], ties[is_open] = target_ranks(scores, targets[is_open])
        shown[is_open] = top_k(scores, k, generator)[1]
    return TargetRanks(above, ties), shown
