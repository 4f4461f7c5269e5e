"""Tiny domains with embeddings of their own: no text encoder, a fit in a second."""

from __future__ import annotations

import math

import numpy as np
import torch

from prerec_pyro.data.batching.batch import Batch
from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain, encode_domain
from prerec_pyro.data.times import SECONDS_PER_DAY
from prerec_pyro.inference.guides.free_nodes import check_free
from prerec_pyro.inference.guides.map_guide import NonCenteredModel, map_guide
from prerec_pyro.models.graphs.config import GraphConfig
from prerec_pyro.models.graphs.extended import ExtendedGraph
from prerec_pyro.models.graphs.paper import PaperGraph
from prerec_pyro.models.graphs.registry import GRAPHS, Graph, GraphClass, choose_graph
from prerec_pyro.models.priors import Normal, Priors
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.training.batch_schedule import Source
from prerec_pyro.training.recipes import Recipe, TrainConfig

DIM, TEXT_DIM = 4, 6
FIRST_DAY = 15_000
PRIORS = Priors(D=Normal(0.5), Z=Normal(0.5), V=Normal(0.3), U=Normal(0.5))
# Every number that a test depends on is set here, so that defaults may move.
TINY_TRAINING = {
    "epochs": 3,
    "patience": 10,
    "min_steps": 1,
    "batch_tokens": 40,
    "num_negatives": 8,
    "learning_rate": 3e-3,
    "full_learning_rate_queries": None,
    "text_rate": 3e-3,
    "popularity_rate": 1e-2,
    "repeat_rate": 1e-2,
    "domain_rate": 1e-2,
    "item_rate": 1e-2,
    "k_percent": 20.0,
    "validation_queries": 100,
    "seed": 0,
}


def small_domain(
    name: str = "small", *, num_items: int = 12, num_users: int = 20, seed: int = 0, timestamps: bool = True
) -> Domain:
    """Users of 2 to 8 events over two weeks; what comes next is often the next item of a ring, or a popular one."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 9, num_users)
    offsets = np.concatenate([[0], lengths.cumsum()])
    items = rng.integers(0, num_items, offsets[-1])
    for event in range(1, len(items)):
        if rng.random() < 0.7 and event not in offsets:
            items[event] = (items[event - 1] + 1) % num_items
    items[rng.random(len(items)) < 0.2] = 0
    begin = rng.integers(0, 10, num_users)
    step = np.concatenate([np.sort(rng.integers(0, 4 * SECONDS_PER_DAY, n)) for n in lengths])
    times = (FIRST_DAY + np.repeat(begin, lengths)) * SECONDS_PER_DAY + step
    texts = rng.standard_normal((num_items, TEXT_DIM)).astype(np.float32)
    return Domain(
        name=name,
        item_ids=np.array([f"{name}-i{j}" for j in range(num_items)], dtype=object),
        item_texts=np.array([f"thing {j}" for j in range(num_items)], dtype=object),
        user_ids=np.array([f"{name}-u{u}" for u in range(num_users)], dtype=object),
        offsets=offsets,
        item_index=items,
        timestamps=times if timestamps else None,
        embeddings=texts / np.linalg.norm(texts, axis=1, keepdims=True),
    )


def small_encoded(name: str = "small", **sizes: int) -> EncodedDomain:
    return encode_domain(small_domain(name, **sizes), window=3)


class EveryPath(ExtendedGraph):
    """The extended graph and the edge D → V: every path of D that there can be."""

    edges = {"D": "", "S": "", "Z": "", "V": "D", "U": "DVS", "R": "UVDZS"}  # noqa: RUF012


class PlainGraph(PaperGraph):
    """The paper's graph without Z → V: one softmax, and one vector an item."""

    edges = {"D": "", "Z": "", "V": "D", "U": "D", "R": "UVDZ"}  # noqa: RUF012


EVERY_GRAPH: tuple[GraphClass, ...] = (*GRAPHS.values(), EveryPath, PlainGraph)


def graph_class(graph: str | GraphClass) -> GraphClass:
    return GRAPHS[graph] if isinstance(graph, str) else graph


def graph_config(graph: str | GraphClass = "extended", **changes: object) -> GraphConfig:
    settings = {
        "latent_dim": DIM,
        "num_layers": 1,
        "num_heads": 2,
        "feedforward": 2,
        "dropout": 0.0,
        "history_dropout": 0.0,
    }
    return graph_class(graph).Config(**(settings | changes))


def training(**changes: object) -> TrainConfig:
    """Settings of a short training; constants of the recipe are given by name, too."""
    settings = TINY_TRAINING | changes
    recipe = {name: settings.pop(name) for name in tuple(settings) if name in Recipe.model_fields}
    return TrainConfig(**settings, recipe=Recipe(**recipe))


def small_graph(
    num_domains: int = 2,
    seed: int = 0,
    priors: Priors = PRIORS,
    graph: str | GraphClass = EveryPath,
    **changes: object,
) -> Graph:
    """A graph of which no part is at zero: one at its start would hide a lost term."""
    torch.manual_seed(seed)
    sizes = {"num_domains": num_domains, "text_dim": TEXT_DIM}
    made = graph_class(graph)(graph_config(graph, **changes), **sizes, priors=priors)
    _shake(made)
    return made


@torch.no_grad()
def _shake(graph: Graph) -> None:
    for parameter in graph.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    graph.f_seq.log_length.zero_()  # longer, and the softmax saturates: gradients vanish in rounding


def shaken(model: PreRec) -> PreRec:
    """Put a fitted model's numbers anywhere but at their start, wherever its short training stopped."""
    torch.manual_seed(3)
    _shake(model.graph)
    model.sources.nodes = {name: torch.randn_like(value) for name, value in model.sources.nodes.items()}
    return model


def small_sources(*encoded: EncodedDomain) -> list[Source]:
    firsts = np.concatenate([[0], np.cumsum([e.num_items for e in encoded])])
    return [Source(e, np.arange(e.domain.num_users), k, int(firsts[k])) for k, e in enumerate(encoded)]


def num_rows(sources: list[Source]) -> int:
    return sum(source.encoded.num_items for source in sources)


def program_and_guide(graph: Graph, sources: list[Source], free: tuple[str, ...] | None = None):
    program = NonCenteredModel(graph, check_free(free, type(graph), graph.lifted))
    return program, map_guide(program, num_rows(sources), free)


def seen_matrix(batch: Batch) -> torch.Tensor:
    """Return 1[j ∈ H_i] with loops, ``(num_queries, num_rows)`` float."""
    result = torch.zeros(batch.num_queries, len(batch.items))
    length = batch.history.shape[1]
    for query, position in enumerate(batch.positions.tolist()):
        sequence, last = divmod(position, length)
        for row in batch.history[sequence, : last + 1].tolist():
            result[query, row] = 1.0
    return result


def repeats_so_far(batch: Batch) -> torch.Tensor:
    """Return how many events of each history repeat an earlier one, and how many do not, ``(num_queries, 2)``."""
    result = torch.zeros(batch.num_queries, 2)
    for query, position in enumerate(batch.positions.tolist()):
        sequence, last = divmod(position, batch.history.shape[1])
        read = batch.history[sequence, : last + 1].tolist()
        for step in range(1, last + 1):
            result[query, 0 if read[step] in read[:step] else 1] += 1
    return result


def brute_force_mixture(match, rest, is_seen, counts, repeat=None, background=None) -> torch.Tensor:
    """Return log P of each item query by query, written as the mixture is defined; None leaves a component out."""
    rows = []
    for query in range(len(match)):
        share = torch.sigmoid(torch.as_tensor(-torch.inf if background is None else background, dtype=match.dtype))
        seen = is_seen[query] > 0 if repeat is not None else torch.zeros(match.shape[1], dtype=torch.bool)
        row = torch.zeros(match.shape[1], dtype=match.dtype)
        U, b = match[query], rest[query]
        row[~seen] = (1 - share) * (U + b)[~seen].softmax(0) + share * b[~seen].softmax(0)
        if repeat is not None:
            rate = torch.sigmoid(((counts[query, 0] + 0.3 * math.exp(repeat)) / (counts[query, 1] + 5.0)).log())
            row[~seen] *= 1 - rate
            row[seen] = rate * (0.3 * U + b)[seen].softmax(0)
        rows.append(row.log())
    return torch.stack(rows)


def prerec(graph: str | GraphClass | GraphConfig = "extended", **changes: object) -> PreRec:
    """A small untrained model."""
    kind = choose_graph(graph)[0]
    priors = PRIORS if "D" in kind.edges else Priors(V=PRIORS.V, U=PRIORS.U)
    settings = {"training": training(), "priors": priors, "window": 3, "device": "cpu"}
    model = PreRec(kind, **(settings | changes))
    model.config = graph if isinstance(graph, GraphConfig) else graph_config(kind)
    return model
