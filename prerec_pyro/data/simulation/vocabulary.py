"""Vocabulary of simulated shops: words for item texts, and a vector for the meaning of each word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

# Facet → group → words. The words of a group are close in meaning.
TYPE = "type"
WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    TYPE: {
        "garden": ("watering can", "plant pot", "bird feeder", "wheelbarrow", "flower basket", "garden hose"),
        "kitchen": ("frying pan", "mixing bowl", "teapot", "cutting board", "salad bowl", "baking tray"),
        "toys": ("teddy bear", "jigsaw puzzle", "toy train", "doll house", "building blocks", "skipping rope"),
        "office": ("stapler", "desk lamp", "filing cabinet", "office chair", "paper shredder", "label printer"),
        "tools": ("screwdriver", "claw hammer", "cordless drill", "hand saw", "wrench", "tape measure"),
        "decor": ("scented candle", "tealight holder", "picture frame", "wall clock", "vase", "hanging lantern"),
        "bags": ("shoulder bag", "backpack", "suitcase", "shopper bag", "purse", "lunch bag"),
        "jewellery": ("necklace", "earrings", "bracelet", "ring", "brooch", "pendant"),
        "stationery": ("notebook", "greeting card", "gift wrap", "fountain pen", "sketchbook", "envelopes"),
        "sport": ("yoga mat", "football", "tennis racket", "dumbbell", "bicycle helmet", "swimming goggles"),
    },
    "material": {
        "natural": ("wooden", "bamboo", "wicker", "cork"),
        "metal": ("steel", "brass", "copper", "iron"),
        "soft": ("cotton", "felt", "leather", "velvet"),
        "smooth": ("glass", "ceramic", "porcelain", "plastic"),
    },
    "colour": {
        "warm": ("red", "orange", "yellow", "crimson"),
        "cool": ("blue", "green", "turquoise", "navy"),
        "pale": ("white", "cream", "ivory", "beige"),
        "bright": ("pink", "purple", "magenta", "lilac"),
    },
    "style": {
        "old": ("vintage", "antique", "retro", "victorian"),
        "new": ("modern", "minimalist", "sleek", "industrial"),
        "country": ("rustic", "farmhouse", "shabby chic", "cottage"),
    },
    "pattern": {
        "love": ("hearts", "cupids", "kisses"),
        "flowers": ("roses", "daisies", "poppies"),
        "shapes": ("stripes", "polka dots", "checks"),
        "animals": ("owls", "rabbits", "butterflies"),
    },
    "use": {
        "feast": ("christmas", "easter", "halloween"),
        "family": ("children", "babies", "toddlers"),
        "away": ("camping", "travel", "picnics"),
        "party": ("birthdays", "weddings", "parties"),
    },
    "size": {
        "small": ("small", "mini", "tiny", "pocket"),
        "large": ("large", "giant", "jumbo", "oversized"),
    },
    "quality": {
        "fine": ("luxury", "handmade", "elegant", "designer"),
        "plain": ("basic", "budget", "everyday", "simple"),
        "strong": ("sturdy", "waterproof", "heavy duty", "professional"),
    },
}
# Probability that a text names a facet.
FACET_PROBABILITY = {
    "material": 0.5,
    "colour": 0.6,
    "style": 0.4,
    "pattern": 0.4,
    "use": 0.3,
    "size": 0.35,
    "quality": 0.35,
}
_TEXT = "{size} {quality} {style} {colour} {material} {type} with {pattern} for {use}"
WORD_VECTORS = Path(__file__).with_name("word_vectors.safetensors")  # made by word_vectors.py
NUM_TOPICS = 6  # groups of item types in one domain, out of ten
_WORD_SHARE = 0.65  # share of the words of a group in one domain


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Words of all domains with their vectors.

    Parameters
    ----------
    vectors
        ``vectors[facet][word]`` is ``(latent_dim,)`` float64: the contribution of the word to the vector of a text.
    """

    vectors: Mapping[str, Mapping[str, np.ndarray]]

    @classmethod
    def draw(cls, rng: np.random.Generator, latent_dim: int) -> Vocabulary:
        """Return the vectors that the words have in a sentence encoder, along principal directions, rotated at random.

        The vectors were measured once with an encoder and are kept in a table. So what a model learns about texts in
        one domain holds for the words of another, as with real texts. Only inner products matter, and a rotation keeps
        them.

        Parameters
        ----------
        rng
            Generator of the rotation.
        latent_dim
            Number of directions.

        Raises
        ------
        ValueError
            If the table has fewer directions than `latent_dim`.
        """
        table = load_file(WORD_VECTORS)
        num_directions = len(next(iter(table.values())))
        if latent_dim > num_directions:
            raise ValueError(
                f"latent_dim is {latent_dim}; the word vectors have {num_directions} directions, choose fewer"
            )
        rotation = np.linalg.qr(rng.standard_normal((latent_dim, latent_dim)))[0]
        vectors: dict[str, dict[str, np.ndarray]] = {facet: {} for facet in WORDS}
        for name, vector in table.items():
            facet, word = name.split("/")
            vectors[facet][word] = vector[:latent_dim].astype(np.float64) @ rotation
        return cls(vectors)

    def mean(self, words: Mapping[str, str]) -> np.ndarray:
        """Return the vector of a text, ``(latent_dim,)``: the sum of the vectors of its words, scaled to length one."""
        total = np.sum([self.vectors[facet][word] for facet, word in words.items()], axis=0)
        return total / np.linalg.norm(total)


def draw_catalogue(vocabulary: Vocabulary, rng: np.random.Generator, num_items: int) -> tuple[list[str], np.ndarray]:
    """Return the texts of the items of one domain, all different, and their vectors.

    A domain has `NUM_TOPICS` of the ten groups of item types and uses about two thirds of the words of each group. So
    two domains share some words, and differ in others of nearly the same meaning.

    Parameters
    ----------
    vocabulary
        Words of all domains.
    rng
        Generator of the texts.
    num_items
        Number of items.

    Returns
    -------
    texts
        `num_items` strings such as ``"red ceramic hanging lantern with hearts"``.
    item_mean
        ``(num_items, latent_dim)`` float64 of length one.

    Raises
    ------
    ValueError
        If the words give fewer different texts than items.
    """
    words = _words_of_domain(rng)
    texts: dict[str, np.ndarray] = {}
    for _ in range(20 * num_items):
        if len(texts) == num_items:
            break
        chosen = {TYPE: _pick(words[TYPE], rng)}
        chosen |= {
            facet: _pick(words[facet], rng) for facet, chance in FACET_PROBABILITY.items() if rng.random() < chance
        }
        texts.setdefault(sentence(chosen), vocabulary.mean(chosen))
    if len(texts) < num_items:
        raise ValueError(f"num_items is {num_items}; the words give about {len(texts)} different texts, choose fewer")
    return list(texts), np.stack(list(texts.values()))


def _words_of_domain(rng: np.random.Generator) -> dict[str, list[str]]:
    topics = set(rng.choice(list(WORDS[TYPE]), size=NUM_TOPICS, replace=False).tolist())
    words: dict[str, list[str]] = {}
    for facet, groups in WORDS.items():
        words[facet] = []
        for group, members in groups.items():
            size = max(1, round(_WORD_SHARE * len(members)))
            used = rng.choice(members, size=size, replace=False).tolist()
            if facet != TYPE or group in topics:
                words[facet] += used
    return words


def _pick(words: list[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]


def sentence(chosen: Mapping[str, str]) -> str:
    """Return the text with the chosen word of each facet, such as ``"mini pink felt purse with owls"``."""
    text = _TEXT
    for facet in WORDS:
        before = {"pattern": " with ", "use": " for "}.get(facet, "")
        if facet in chosen:
            text = text.replace("{" + facet + "}", chosen[facet])
        else:
            text = text.replace(before + "{" + facet + "}", "")
    return " ".join(text.split())
