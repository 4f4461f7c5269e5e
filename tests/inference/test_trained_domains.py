"""What a model knows of its source domains, and how it recognises one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import encode_domain
from prerec_pyro.errors import InputError
from prerec_pyro.inference.trained_domains import TrainedDomains
from tests.support.models import DIM, small_domain, small_encoded

A, B = small_encoded("a", num_items=5), small_encoded("b", num_items=7)


def reordered(domain: Domain, items: list[int], new: int = 0) -> Domain:
    """The same name, with other items in another order: `new` ones first, then those of `items`."""
    ids = [f"new-{n}" for n in range(new)] + [domain.item_ids[item] for item in items]
    return Domain(domain.name, np.array(ids, object), np.array(ids, object), domain.user_ids[:1], [0, 1], [0])


@pytest.fixture
def sources() -> TrainedDomains:
    found = TrainedDomains.of([A, B])
    found.nodes = {"D": torch.randn(2, DIM), "V_decentered": torch.arange(12 * DIM).float().view(12, DIM)}
    return found


def test_each_source_has_its_rows(sources):
    assert sources.first_rows.tolist() == [0, 5, 12]
    assert [sources.row(A.domain), sources.row(B.domain)] == [0, 1]


def test_a_domain_is_recognised_by_its_name_and_items(sources):
    assert sources.row(small_domain("c", num_items=5)) is None
    assert sources.row(dataclasses.replace(B.domain, name="a")) is None, "another shop of that name"
    assert sources.row(dataclasses.replace(A.domain, name="b")) is None
    assert sources.row(reordered(B.domain, [6, 2, 0], new=2)) == 1
    assert sources.row(reordered(B.domain, [6, 2], new=2)) is None, "half of the items is not most"


def test_items_are_found_by_their_id(sources):
    table = sources.nodes["V_decentered"]
    nodes = sources.nodes_of(reordered(B.domain, [6, 2, 0], new=1), 1)
    assert torch.equal(nodes["V_decentered"], torch.stack([torch.zeros(DIM), table[11], table[7], table[5]]))
    assert torch.equal(nodes["D"], sources.nodes["D"])
    assert torch.equal(sources.nodes_of(A.domain, 0)["V_decentered"], table[:5])


@pytest.mark.parametrize("node", ["D", "V_decentered"])
def test_only_free_nodes_are_known(sources, node):
    sources.nodes = {node: sources.nodes[node]}
    assert set(sources.nodes_of(A.domain, 0)) == {node}


def test_sources_come_back_from_tensors(sources):
    odd = np.array(["é\n", "", '"', "0", "00"], object)
    sources.item_ids["a"] = odd
    found = TrainedDomains.from_tensors(["a", "b"], sources.to_tensors(), torch.device("cpu"))
    assert list(found.item_ids) == ["a", "b"]
    assert found.item_ids["a"].tolist() == odd.tolist()
    assert found.item_ids["b"].tolist() == B.domain.item_ids.tolist()
    assert found.nodes.keys() == sources.nodes.keys()
    assert all(torch.equal(found.nodes[name], sources.nodes[name]) for name in found.nodes)


def test_a_missing_part_is_noticed(sources):
    with pytest.raises(KeyError):
        TrainedDomains.from_tensors(["a", "b", "c"], sources.to_tensors(), torch.device("cpu"))


def test_sources_that_do_not_go_together_are_refused():
    with pytest.raises(InputError, match="no source domain was given"):
        TrainedDomains.of([])
    with pytest.raises(InputError, match="share a name: a, a"):
        TrainedDomains.of([A, A])
    other = encode_domain(B.domain.with_embeddings(np.eye(7, 3, dtype=np.float32)))
    with pytest.raises(InputError, match="differ in length"):
        TrainedDomains.of([A, other])
