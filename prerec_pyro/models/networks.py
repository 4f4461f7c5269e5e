"""The neural means of eq. 3: f_seq, f_item, f_e and f_pop, in plain PyTorch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prerec_pyro.data.batching.windows import MAX_HISTORY
from prerec_pyro.data.popularity import NUM_FACTORS
from prerec_pyro.models.transformer import Block, Dropout


class TextEncoder(nn.Module):
    """f_e: one bias-free linear map of the text embedding, as in the authors' code.

    It starts as an orthogonal projection. Before training, inner products between items are those of the sentence
    encoder, except for what the projection loses, and U·V is the SBERT baseline. `start_from` makes that loss small.

    Parameters
    ----------
    text_dim, latent_dim
        Length of X_j, and B.
    """

    def __init__(self, text_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(text_dim, latent_dim, bias=False)
        nn.init.orthogonal_(self.linear.weight)

    @torch.no_grad()
    def start_from(self, texts: Sequence[Tensor]) -> None:
        """Project on the principal directions (uncentred) of the source domains' texts; all domains have equal weight.

        If the latent space is larger than the texts, the coordinates that they do not fill start at zero.

        Parameters
        ----------
        texts
            X of each domain, ``(num_items, text_dim)``.
        """
        rows = min(self.linear.out_features, self.linear.in_features)
        if self.linear.out_features > self.linear.in_features:
            nn.init.zeros_(self.linear.weight)
        self.linear.weight[:rows] = _principal_directions(texts, rows).to(self.linear.weight)

    @torch.no_grad()
    def rotate_to(self, texts: Tensor) -> None:
        """Rotate the map to read the principal directions of a new domain's texts.

        Each new direction replaces the nearest old one and gets its trained output. The rotation that moves all
        directions together the least solves the orthogonal Procrustes problem (Schönemann 1966). If the latent space
        is as large as the texts, nothing changes.

        Parameters
        ----------
        texts
            X of the domain, ``(num_items, text_dim)``.
        """
        weight, dim = self.linear.weight.double(), self.linear.out_features
        if dim >= self.linear.in_features:
            return
        _, _, old = torch.linalg.svd(weight, full_matrices=False)  # directions read so far, (latent_dim, text_dim)
        new = _principal_directions([texts], dim).to(old)
        left, _, right = torch.linalg.svd(old @ new.mT)
        self.linear.weight.copy_((weight @ old.mT) @ (left @ right) @ new)

    def forward(self, texts: Tensor) -> Tensor:
        """Return f_e(X), ``(..., latent_dim)``, from X, ``(..., text_dim)``."""
        # Under autocast the product is in bfloat16; priors and scores that follow need the full precision.
        return self.linear(texts).to(self.linear.weight.dtype)


class ItemEncoder(nn.Module):
    """f_item: f_e(X) plus linear effects of D and Z, which start at zero so that they can only help.

    Parameters
    ----------
    latent_dim
        B.
    domain_effect, popularity_effect
        Whether D, and Z, have an effect on V.
    """

    def __init__(self, latent_dim: int, *, domain_effect: bool, popularity_effect: bool) -> None:
        super().__init__()
        self.from_domain = _zero_linear(latent_dim) if domain_effect else None
        self.from_popularity = _zero_linear(latent_dim) if popularity_effect else None

    def forward(self, text: Tensor, D: Tensor | None, Z: Tensor | None, level: Tensor | None = None) -> Tensor:
        """Return the mean of V, ``(..., num_items, latent_dim)``.

        Parameters
        ----------
        text
            f_e(X_j), ``(num_items, latent_dim)``.
        D
            ``(latent_dim,)``, with leading sample dimensions if there are any; None has no effect.
        Z
            ``(..., num_levels, latent_dim)``; None has no effect.
        level
            ``(num_items,)`` row of Z of each item; None: Z has one row for each.
        """
        mean = text
        if self.from_domain is not None and D is not None:
            mean = mean + self.from_domain(D).unsqueeze(-2)
        if self.from_popularity is not None and Z is not None:
            effect = self.from_popularity(Z)  # (..., num_levels, latent_dim): levels are few, items many
            mean = mean + (effect if level is None else effect[..., level, :])
        return mean


class PopularityEncoder(nn.Module):
    """f_pop: a linear layer on log(1 + F) and an activation (appendix E; Fig. 2), one for each popularity window.

    Parameters
    ----------
    latent_dim
        B.
    num_windows
        Number of windows that popularity counts in.
    """

    def __init__(self, latent_dim: int, num_windows: int = 1) -> None:
        super().__init__()
        self.linear = nn.Linear(NUM_FACTORS, latent_dim)
        self.others = nn.ModuleList(nn.Linear(NUM_FACTORS, latent_dim) for _ in range(num_windows - 1))

    def forward(self, factors: Tensor, window: Tensor | None = None) -> Tensor:
        """Return the mean of Z, ``(num_levels, latent_dim)``, from F, ``(num_levels, 4)``.

        Parameters
        ----------
        factors
            F of each level.
        window
            ``(num_levels,)`` window of each level; None: the first window for all.
        """
        with torch.autocast(factors.device.type, enabled=False):  # cheap, and all items are compared by it
            factors = torch.log1p(factors)
            if window is None or not self.others:
                return F.relu(self.linear(factors))
            layers = (self.linear, *self.others)
            which = torch.eq(window[:, None], torch.arange(len(layers), device=window.device)).to(factors.dtype)
            # One product for all windows, which waits for no number of the device; levels are many, so Z is made once.
            read = F.pad(factors, (0, 1), value=1.0)  # (num_levels, 5), with a one for the bias
            wide = (which[:, :, None] * read[:, None]).flatten(1)  # (num_levels, num_windows * 5)
            weight = torch.cat([part for one in layers for part in (one.weight, one.bias[:, None])], dim=1)
            return (wide @ weight.mT).relu_()


class SequenceEncoder(nn.Module):
    """f_seq: a causal transformer over the history, with D added to each of its items.

    A residual connection carries the last item past the blocks. The outputs of the blocks start small: before training
    U is the most recent item times a learned length. Items have unit length, so this length sets how sharply U·V
    separates them.

    Parameters
    ----------
    latent_dim
        B.
    num_layers, num_heads
        Transformer layers, and attention heads of each; 2 and 2 in the paper.
    max_history
        Length of the longest history, 64.
    feedforward
        Width of the feed-forward layers in units of B.
    dropout
        Share of numbers dropped after attention and feed-forward layers.
    history_dropout
        Share of numbers dropped from the input of the first block.
    sharpness
        Length of U before training.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        num_layers: int = 2,
        num_heads: int = 2,
        max_history: int = MAX_HISTORY,
        feedforward: int = 4,
        dropout: float = 0.1,
        history_dropout: float = 0.0,
        sharpness: float = 10.0,
    ) -> None:
        super().__init__()
        self.log_length = nn.Parameter(torch.tensor(math.log(sharpness)))
        # Items have unit length; the blocks are made for unit variance.
        self.scale = latent_dim**0.5
        self.position = nn.Parameter(0.02 * torch.randn(max_history, latent_dim))
        self.dropout = Dropout(history_dropout)
        self.blocks = nn.ModuleList(
            Block(latent_dim, num_heads, feedforward * latent_dim, dropout) for _ in range(num_layers)
        )

    def forward(self, D: Tensor | None, history: Tensor, positions: Tensor, start: Tensor | None = None) -> Tensor:
        """Return the mean of U, ``(..., num_queries, latent_dim)``; one pass computes all positions.

        Parameters
        ----------
        D
            ``(..., latent_dim)``, with the leading sample dimensions of the result; None has no effect.
        history
            f_e of H, ``(num_sequences, length, latent_dim)``.
        positions
            ``(num_queries,)`` positions of the queries in the flattened ``(num_sequences, length)``.
        start
            ``(..., num_queries, latent_dim)`` vectors that D moves and the blocks correct; None is the last item of
            each query.
        """
        x = history if D is None else history + D[..., None, None, :]
        x = self.dropout(self.scale * x + self.position[: x.shape[-2]])  # (..., num_sequences, length, latent_dim)
        inputs, only_last = x, one_query_each(positions, *x.shape[-3:-1])
        # With one query per sequence, at its end, the last block computes the last position alone.
        for number, block in enumerate(self.blocks):
            x = block(x, only_last=only_last and number == len(self.blocks) - 1)
        length = self.log_length.exp()
        x = x * (length / self.scale) if start is None else x - (inputs[..., -1:, :] if only_last else inputs)
        x = x.squeeze(-2) if only_last else x.flatten(-3, -2).index_select(-2, positions)  # (..., num_queries, B)
        if start is None:
            return x
        return length * ((start if D is None else start + D.unsqueeze(-2)) + x / self.scale)


def one_query_each(positions: Tensor, num_sequences: int, length: int) -> bool:
    """Return whether there is one query per sequence, at its last position; False on CUDA, to avoid a sync."""
    if len(positions) != num_sequences or length == 1 or positions.is_cuda:
        return False
    return torch.equal(positions, torch.arange(1, num_sequences + 1) * length - 1)


def _principal_directions(texts: Sequence[Tensor], number: int) -> Tensor:
    """Return the first principal directions (uncentred) of the domains' texts, ``(number, text_dim)`` float64.

    `texts` holds ``(num_items, text_dim)`` for each domain; all domains have equal weight.
    """
    parts = ((part.double(), len(X)) for X in texts for part in X.split(8192))
    moment = sum(part.mT @ part / num_items for part, num_items in parts)  # (text_dim, text_dim)
    directions = torch.linalg.eigh(moment).eigenvectors.flip(1).mT[:number]  # rows, the largest first
    # The sign of a direction is arbitrary; fix it, so that the start is the same on every machine.
    return directions * directions.gather(1, directions.abs().argmax(1, keepdim=True)).sign()


def _zero_linear(dim: int) -> nn.Linear:
    layer = nn.Linear(dim, dim, bias=False)
    nn.init.zeros_(layer.weight)
    return layer
