"""Users as lists read them: a vector or several interests each, and their match with items, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

TILE = 64
"""Queries that share one product of weights: neighbours in a batch read mostly the same items."""
BLOCK = 1 << 19
"""Products of interests and items in memory at a time: they stay in the CPU cache."""
MOST_EXPONENT = 80.0
"""Largest number whose exponential, and that of its negative, is an ordinary float32."""


@dataclass(frozen=True, eq=False)
class InterestMixture:
    """Interests of users, one around each of their last items.

    Attributes
    ----------
    items
        V of the items that `read` names, ``(num_items, B)``.
    read
        ``(num_queries, num_interests)`` rows of `items`.
    weights
        ``(num_queries, num_interests)``, 0 where a history is shorter; rows sum to 1.
    contrast
        β, ``(num_queries, 1)``.
    scale
        Length of an interest, ``(num_queries, 1)``.
    """

    items: Tensor
    read: Tensor
    weights: Tensor
    contrast: Tensor
    scale: Tensor

    def __getitem__(self, rows: slice | Tensor) -> InterestMixture:
        return InterestMixture(self.items, self.read[rows], self.weights[rows], self.contrast[rows], self.scale[rows])

    def add_to(self, scores: Tensor, items: Tensor) -> None:
        """Add ``scale · log Σ_a w_a exp(β V_a·V_j) / β`` to scores, ``(num_queries, num_items)``, in place.

        The products of an interest that several queries share are computed once.
        """
        for rows, same in self._of_equal_contrast():
            distinct, place = torch.unique(same.read, return_inverse=True)
            tiles = [
                (begin, *_tile(place[begin : begin + TILE], same.weights[begin : begin + TILE]))
                for begin in range(0, len(place), TILE)
            ]
            interests, contrast = self.items[distinct], same.contrast[0]
            factor = same.scale / same.contrast
            size = max(256, BLOCK // len(distinct))
            for start in range(0, len(items), size):
                columns = slice(start, start + size)
                products = (interests @ items[columns].mT).mul_(contrast)  # (num_distinct, size)
                low, high = (bound.item() for bound in products.aminmax())
                is_tame = max(-low, high) < MOST_EXPONENT
                if is_tame:
                    products.exp_()
                for begin, read, weights in tiles:
                    own = products if len(read) == len(products) else products[read]
                    mixture = (weights @ own).log_() if is_tame else _log_mixture(weights, own)
                    end = begin + len(mixture)
                    where = slice(begin, end) if rows is None else rows[begin:end]
                    scores[where, columns] += mixture.mul_(factor[begin:end])

    def match_some(self, items: Tensor) -> Tensor:
        """Return the same for items of each query, ``(num_queries, num_candidates)``.

        Parameters
        ----------
        items
            ``(num_queries, num_candidates, B)``.
        """
        products = self.items[self.read] @ items.mT  # (num_queries, num_interests, num_candidates)
        mixture = (self.weights.log()[..., None] + self.contrast[..., None] * products).logsumexp(1)
        return self.scale / self.contrast * mixture

    def _of_equal_contrast(self) -> Iterator[tuple[Tensor | None, InterestMixture]]:
        """Yield rows with one contrast, and their interests; None is all rows."""
        distinct, own = torch.unique(self.contrast[:, 0], return_inverse=True)
        if len(distinct) < 2:
            yield None, self
            return
        for number in range(len(distinct)):
            rows = (own == number).nonzero()[:, 0]
            yield rows, self[rows]


@dataclass(frozen=True, eq=False)
class Users:
    """What the match of users with items is computed from.

    Attributes
    ----------
    vectors
        U as it counts, ``(num_queries, B)``; with interests, what f_seq adds to them.
    interests
        None where U is one vector.

    Examples
    --------
    >>> Users(torch.tensor([[2.0, 1.0]])).match(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    tensor([[2., 1.]])
    """

    vectors: Tensor
    interests: InterestMixture | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: slice | Tensor) -> Users:
        return Users(self.vectors[rows], None if self.interests is None else self.interests[rows])

    def match(self, items: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the match of all users with all items, ``(num_queries, num_items)``, given ``(num_items, B)``.

        Where `out` is given, the match is written there.
        """
        found = torch.mm(self.vectors, items.mT, out=out)
        if self.interests is not None and len(found):
            self.interests.add_to(found, items)
        return found

    def match_some(self, items: Tensor) -> Tensor:
        """Return the match of each user with items of their own, given ``(num_queries, num_candidates, B)``."""
        found = (items @ self.vectors[..., None]).squeeze(-1)
        return found if self.interests is None else found + self.interests.match_some(items)

    def points(self) -> Tensor:
        """Return vectors near which the best items lie, one around each interest, ``(num_queries, num_points, B)``."""
        if self.interests is None:
            return self.vectors[:, None]
        own = self.interests
        return self.vectors[:, None] + own.scale[..., None] * own.items[own.read]


def _tile(place: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct places that some queries read, and the weight of each in each query."""
    read, column = torch.unique(place, return_inverse=True)
    found = weights.new_zeros(len(place), len(read))
    return read, found.scatter_add_(1, column, weights)


def _log_mixture(weights: Tensor, scaled: Tensor) -> Tensor:
    """Return ``log(weights @ exp(scaled))`` for numbers of any size, ``(num_queries, num_items)``."""
    # One query at a time: queries × interests × items would not fit.
    return torch.stack([(own.log()[:, None] + scaled).logsumexp(0) for own in weights])
