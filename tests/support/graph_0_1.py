"""The default graph of version 0.1.0, frozen: a self-contained copy to compare today's extended graph with, to the bit.

It imports nothing of the package, and is not to be improved. D → V and Z → V were off; V → U, repeats, the background
component and S were on. Dropout is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import pyro
import pyro.distributions as dist
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.attention import SDPBackend, sdpa_kernel

PSEUDO_COUNTS, REPEAT_MATCH, NEVER = (0.3, 5.0), 0.3, -1e4


class Choice(dist.Categorical):
    def __init__(self, logits: Tensor) -> None:
        self._param = self.logits = logits.log_softmax(-1)
        self._num_events = logits.shape[-1]
        Distribution.__init__(self, logits.shape[:-1], validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> Choice:
        assert torch.Size(batch_shape) == self.batch_shape
        return self

    def log_prob(self, value: Tensor) -> Tensor:
        return self.logits.gather(-1, value.long().unsqueeze(-1)).squeeze(-1)


class Graph01:
    """The program; `weights` are parameters and buffers by their names in 0.1.0, `scales` those of normal priors."""

    def __init__(self, weights: Mapping[str, Tensor], scales: Mapping[str, float], num_domains: int, num_heads: int):
        self.w, self.scales, self.num_domains, self.num_heads = weights, scales, num_domains, num_heads

    def __call__(self, batch: Any) -> Tensor:
        w, rows = self.w, torch.arange(self.num_domains)
        with pyro.poutine.scale(scale=1.0 / batch.num_domain_queries):
            text = F.linear(batch.texts, w["f_e.linear.weight"])  # (num_items, B)
            with pyro.plate("domains", self.num_domains, dim=-1), pyro.poutine.mask(mask=rows == batch.domain):
                D = pyro.sample("D", self.prior("D", text.new_zeros(self.num_domains, text.shape[1])))
                S = pyro.sample("S", self.prior("S", text.new_zeros(self.num_domains, 4)))
            D, S = D[batch.domain], (S[batch.domain] * w["spread"]).unsqueeze(-2)  # (B,), (1, 4)
            with pyro.plate("levels", len(batch.factors), dim=-1):
                mean = F.relu(F.linear(torch.log1p(batch.factors), w["f_pop.linear.weight"], w["f_pop.linear.bias"]))
                Z = pyro.sample("Z", self.prior("Z", mean))
            with pyro.plate("items", len(text), dim=-1), counted(batch.prior_weight):
                V = pyro.sample("V", self.prior("V", text))
            with pyro.plate("queries", batch.num_domain_queries, subsample=batch.positions, dim=-1):
                U = pyro.sample("U", self.prior("U", self.f_seq(D, V[batch.history], batch.positions)))
                return pyro.sample("R", Choice(self.logits(U, V, D, Z, S, batch)), obs=response(batch))

    def prior(self, node: str, mean: Tensor) -> dist.Independent:
        return dist.Normal(mean, self.scales[node]).to_event(1)

    def f_seq(self, D: Tensor, history: Tensor, positions: Tensor) -> Tensor:
        w, scale = self.w, history.shape[-1] ** 0.5
        x = scale * (history + D[None, None, :]) + w["f_seq.position"][: history.shape[-2]]
        sequences, length = x.shape[:2]
        ends = torch.arange(1, len(positions) + 1) * length - 1
        only_last = len(positions) == sequences and length > 1 and torch.equal(positions, ends)
        count = len({name.split(".")[2] for name in w if name.startswith("f_seq.blocks.")})
        for number in range(count):
            x = self.block(x, f"f_seq.blocks.{number}.", only_last and number == count - 1)
        x = x * (w["f_seq.log_length"].exp() / scale)
        return x.squeeze(-2) if only_last else x.flatten(-3, -2).index_select(-2, positions)

    def block(self, x: Tensor, name: str, only_last: bool) -> Tensor:
        def linear(layer: str, value: Tensor) -> Tensor:
            return F.linear(value, self.w[f"{name}{layer}.weight"], self.w[f"{name}{layer}.bias"])

        def norm(layer: str, value: Tensor) -> Tensor:
            return F.layer_norm(value, value.shape[-1:], self.w[f"{name}{layer}.weight"], self.w[f"{name}{layer}.bias"])

        q, k, v = linear("qkv", norm("attention_norm", x)).chunk(3, dim=-1)
        if only_last:
            x, q = x[..., -1:, :], q[..., -1:, :]
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)).transpose(-3, -2) for part in (q, k, v))
        with sdpa_kernel(SDPBackend.MATH) if q.requires_grad else nullcontext():
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=not only_last)
        x = x + linear("attention_out", mixed.transpose(-3, -2).flatten(-2))
        return x + linear("contract", F.gelu(linear("expand", norm("feedforward_norm", x))))

    def logits(self, U: Tensor, V: Tensor, D: Tensor, Z: Tensor, S: Tensor, batch: Any) -> Tensor:
        w = self.w
        U = U * S[..., :1].exp()
        effect = Z @ w["W_z"]  # (num_levels,)
        match = U @ (V if batch.negatives is None else V[batch.negatives]).mT
        background = S[..., 1:2].exp() * effect[batch.candidate_level].index_select(-2, batch.slot)
        if batch.negatives is None:
            logits = self.log_choice(match, background, S, batch)
        else:
            repeat = w["w_h"] + S[..., 2:3]
            query, candidate = batch.repeats
            background[query, candidate] += repeat.expand(*background.shape[:-1], 1)[query, 0]
            same = batch.items[batch.negatives] == batch.items[batch.targets][:, None]
            target = (U * V[batch.targets]).sum(-1) + S[..., 1].exp() * effect[batch.target_level]
            target = target + repeat[..., 0] * batch.target_repeats
            logits = torch.cat([target[:, None], (match + background).masked_fill(same, -torch.inf)], dim=-1)
        return logits + (D.unsqueeze(-2) @ w["W_d"])[..., None]

    def log_choice(self, match: Tensor, background: Tensor, S: Tensor, batch: Any) -> Tensor:
        repeats, other = batch.repeat_counts[:, :1], batch.repeat_counts[:, 1:]
        prior = PSEUDO_COUNTS[0] * torch.as_tensor(self.w["w_r"] + S[..., 2:3], dtype=repeats.dtype).exp()
        again, wander = (repeats + prior).log() - (other + PSEUDO_COUNTS[1]).log(), self.w["w_o"] + S[..., 3:]
        followed = match + background
        query, item = batch.repeats
        met = REPEAT_MATCH * match[query, item] + background[query, item]
        followed[query, item] = background[query, item] = NEVER
        share = F.logsigmoid(-again)
        scores = torch.logaddexp(
            followed.log_softmax(-1) + (F.logsigmoid(-wander) + share),
            background.log_softmax(-1) + (F.logsigmoid(wander) + share),
        )
        again = again.expand(*scores.shape[:-1], 1)[..., 0]
        most = met.new_full(again.shape, -torch.inf).scatter_reduce(-1, query, met.detach(), "amax")
        above = torch.zeros_like(again, dtype=met.dtype).scatter_add(-1, query, (met - most[query]).exp())
        scores[query, item] = met - (most[query] + above[query].log()) + F.logsigmoid(again)[query]
        return scores


@contextmanager
def counted(weight: Tensor | None) -> Iterator[None]:
    if weight is None:
        yield
        return
    with pyro.poutine.scale(scale=torch.where(weight > 0, weight, 1.0)), pyro.poutine.mask(mask=weight > 0):
        yield


def response(batch: Any) -> Tensor | None:
    return batch.targets if batch.negatives is None else torch.zeros_like(batch.targets)
