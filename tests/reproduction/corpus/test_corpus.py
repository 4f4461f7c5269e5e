"""A corpus: the sources of a target, K of a small catalogue, and the facts that a table states."""

from __future__ import annotations

from pathlib import Path

import pytest

from prerec_pyro.data.splits import split_users
from prerec_pyro.errors import InputError
from prerec_pyro.reproduction.corpus.corpus import Corpus
from prerec_pyro.reproduction.plan import Plan
from tests.support.corpora import NAMES, tiny_corpus
from tests.support.models import small_domain


def test_sources_neither_are_the_target_nor_overlap_it(tmp_path: Path) -> None:
    corpus = tiny_corpus(tmp_path)
    assert tuple(corpus.domains) == NAMES, "ordered by name, whatever the order of the options"
    assert corpus.sources_of("films-a") == ["shop", "stall"] == corpus.sources_of("films-b")
    assert corpus.sources_of("shop") == ["films-a", "films-b", "stall"]
    assert corpus.sources_of("shop", "films-a") == ["stall"]
    some = tiny_corpus(tmp_path, sources=["stall", "films-a"])
    assert some.sources_of("shop") == ["films-a", "stall"]
    assert some.sources_of("films-b") == ["stall"]


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    corpus = tiny_corpus(tmp_path, sources=["films-a"])
    with pytest.raises(InputError, match="target films-b: no source is left"):
        corpus.sources_of("films-b")
    with pytest.raises(InputError, match="--target films: is no domain of the corpus; expected one of films-a, films"):
        corpus.names("--target", ["films"])
    with pytest.raises(InputError, match="--source films: is no domain"):
        tiny_corpus(tmp_path, sources=["films"])
    for percent in (0.0, 101.0, float("nan")):
        with pytest.raises(InputError, match="is no percentage"):
            tiny_corpus(tmp_path, k_percent=percent)
    with pytest.raises(InputError, match="two domains are called 'one'"):
        Corpus(tmp_path, [small_domain("one"), small_domain("one", seed=1)], Plan(device="cpu"))
    assert list(tmp_path.iterdir()) == []


def test_facts_state_what_was_measured(tmp_path: Path) -> None:
    corpus = tiny_corpus(tmp_path, k_percent=0.5)
    facts = corpus.facts(corpus.study("stall", ["shop", "films-a"]))
    domain = corpus.domains["stall"]
    lengths = [domain.offsets[user + 1] - domain.offsets[user] for user in split_users(domain).test]
    assert facts["sources"] == ["films-a", "shop"]
    assert (facts["num_users"], facts["num_queries"]) == (len(lengths), sum(lengths) - len(lengths))
    assert (facts["k_items"], facts["k_raised"]) == (1, True)
    assert facts["k_percent"] == pytest.approx(100 / 12)
    assert facts["times"] == {"kind": "order", "tied": None}
    other = tiny_corpus(tmp_path)
    assert not other.facts(other.study("shop", []))["k_raised"]
    assert other.num_interactions(["shop", "stall"]) == sum(
        other.domains[name].num_interactions for name in ("shop", "stall")
    )


def test_domains_are_encoded_once(tmp_path: Path) -> None:
    corpus = tiny_corpus(tmp_path)
    one, other = corpus.study("shop", ["stall"]), corpus.study("films-a", ["stall", "shop"])
    assert one.sources[0] is other.sources[1]
    assert one.targets[0] is other.sources[0]
