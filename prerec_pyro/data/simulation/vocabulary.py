"""The words of simulated shops, and what each word means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

# facet → group → words. Words of a group are close in meaning.
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
# How often a text names a facet.
CHANCE = {"material": 0.5, "colour": 0.6, "style": 0.4, "pattern": 0.4, "use": 0.3, "size": 0.35, "quality": 0.35}
_TEXT = "{size} {quality} {style} {colour} {material} {type} with {pattern} for {use}"
MEANINGS = Path(__file__).with_name("word_vectors.safetensors")  # made by word_vectors.py
NUM_TOPICS = 6  # of the ten, in one domain
_SHARE = 0.65  # of a group's words that one domain uses


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The words of all domains with their true meanings.

    Parameters
    ----------
    vectors
        ``vectors[facet][word]`` is ``(latent_dim,)`` float64: what the word adds to what a text says.
    """

    vectors: Mapping[str, Mapping[str, np.ndarray]]

    @classmethod
    def draw(cls, rng: np.random.Generator, latent_dim: int) -> Vocabulary:
        """Return what the words mean to a sentence encoder, along its principal directions, turned at random.

        Meanings are an encoder's own, measured once and kept in a table: what a model learns of texts in one domain
        then holds for the words of another, as it does in the world. Only inner products of meanings matter, which a
        turn leaves as they are.

        Raises
        ------
        ValueError
            If `latent_dim` is more than the table has directions.
        """
        table = load_file(MEANINGS)
        most = len(next(iter(table.values())))
        if latent_dim > most:
            raise ValueError(f"latent_dim is {latent_dim}; the meanings of words have {most} directions, ask for fewer")
        turn = np.linalg.qr(rng.standard_normal((latent_dim, latent_dim)))[0]
        vectors: dict[str, dict[str, np.ndarray]] = {facet: {} for facet in WORDS}
        for name, meaning in table.items():
            facet, word = name.split("/")
            vectors[facet][word] = meaning[:latent_dim].astype(np.float64) @ turn
        return cls(vectors)

    def mean(self, words: Mapping[str, str]) -> np.ndarray:
        """Return what a text says: the sum of its words' vectors, brought to unit length, ``(latent_dim,)``."""
        total = np.sum([self.vectors[facet][word] for facet, word in words.items()], axis=0)
        return total / np.linalg.norm(total)


def draw_catalogue(vocabulary: Vocabulary, rng: np.random.Generator, num_items: int) -> tuple[list[str], np.ndarray]:
    """Return the texts of one domain's items, all different, and what they say.

    A domain sells `NUM_TOPICS` of the ten topics and uses about two thirds of the words of each group, so two
    domains share some words and differ in others that mean nearly the same.

    Returns
    -------
    texts
        `num_items` strings such as ``"red ceramic hanging lantern with hearts"``.
    item_mean
        ``(num_items, latent_dim)`` float64 of unit length.

    Raises
    ------
    ValueError
        If the words cannot make that many different texts.
    """
    words = _words_of_domain(rng)
    texts: dict[str, np.ndarray] = {}
    for _ in range(20 * num_items):
        if len(texts) == num_items:
            break
        chosen = {TYPE: _pick(words[TYPE], rng)}
        chosen |= {facet: _pick(words[facet], rng) for facet, chance in CHANCE.items() if rng.random() < chance}
        texts.setdefault(sentence(chosen), vocabulary.mean(chosen))
    if len(texts) < num_items:
        raise ValueError(f"num_items is {num_items}; the words make about {len(texts)} different texts, ask for fewer")
    return list(texts), np.stack(list(texts.values()))


def _words_of_domain(rng: np.random.Generator) -> dict[str, list[str]]:
    topics = set(rng.choice(list(WORDS[TYPE]), size=NUM_TOPICS, replace=False).tolist())
    words: dict[str, list[str]] = {}
    for facet, groups in WORDS.items():
        words[facet] = []
        for group, members in groups.items():
            size = max(1, round(_SHARE * len(members)))
            used = rng.choice(members, size=size, replace=False).tolist()
            if facet != TYPE or group in topics:
                words[facet] += used
    return words


def _pick(words: list[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]


def sentence(chosen: Mapping[str, str]) -> str:
    """Return the text that names the chosen word of each facet, such as ``"mini pink felt purse with owls"``."""
    text = _TEXT
    for facet in WORDS:
        before = {"pattern": " with ", "use": " for "}.get(facet, "")
        if facet in chosen:
            text = text.replace("{" + facet + "}", chosen[facet])
        else:
            text = text.replace(before + "{" + facet + "}", "")
    return " ".join(text.split())
