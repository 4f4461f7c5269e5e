"""Check of the queries of a split before the work begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prerec_pyro.errors import InputError

if TYPE_CHECKING:
    from prerec_pyro.data.domain import Domain
    from prerec_pyro.data.splits import SplitName


def count_queries(domain: Domain, split: SplitName, split_seed: int, k_percent: float) -> int:
    """Return the number of queries of one part of the users.

    Parameters
    ----------
    domain
        Domain to measure on.
    split, split_seed
        Part of the 4:3:3 split of users, and the seed of the split.
    k_percent
        List length K in percent of the items.

    Raises
    ------
    InputError
        If there is no query, or K% of the items is less than one item.
    """
    from prerec_pyro.data.splits import split_users
    from prerec_pyro.evaluation.metrics import top_k_size
    from prerec_pyro.evaluation.protocol import num_queries

    try:
        top_k_size(domain.num_items, k_percent)
    except InputError as error:
        raise InputError(f"--k-percent {k_percent}: {error}") from None
    total = num_queries(domain, split_users(domain, split_seed).users(split))
    if not total:
        raise InputError(
            f"--split {split}: domain {domain.name!r} has no {split} user with two events, so there is no query; "
            "choose another split or domain"
        )
    return total
