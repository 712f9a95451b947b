"""Text made by a small seeded grammar: one-sentence film reviews of about 60 words' vocabulary, for the recipe `tiny`."""

from __future__ import annotations

import random
from functools import cache

OPENERS = ("this", "the", "a", "that")
ADJECTIVES = ("new", "long", "short", "french", "strange", "quiet")
NOUNS = ("film", "movie", "story", "comedy", "drama", "sequel")
LINKS = ("is", "was", "seems", "feels")
DEGREES = ("very", "rather", "often", "always", "quite")
GOOD = ("great", "funny", "moving", "clever", "warm", "fresh", "lovely", "bright")
BAD = ("dull", "bad", "slow", "silly", "cold", "stale", "ugly", "grim")
JOINTS = ("and", "but", "because")
PARTS = ("acting", "plot", "music", "ending", "script", "cast")
WITH = ("about", "with", "without")
TOPICS = ("love", "war", "robots", "dogs", "jokes", "songs")


def words() -> list[str]:
    """The whole vocabulary."""
    return sorted({*OPENERS, *ADJECTIVES, *NOUNS, *LINKS, *DEGREES, *GOOD, *BAD, *JOINTS, *PARTS, *WITH, *TOPICS, "."})


def lexicon(half: str) -> dict[str, float]:
    """Each word's weight to one of two annotators, `a` and `b`, who differ a little."""
    shift = {"a": 0, "b": 3}[half]
    return {
        word: sign * (1.0 + 0.2 * ((i + shift) % 4))
        for sign, group in ((1.0, GOOD), (-1.0, BAD))
        for i, word in enumerate(group)
    }


def sentence(draw: random.Random) -> tuple[str, str]:
    """One review as prompt and response."""

    def clause(noun: str) -> list[str]:
        degree = [draw.choice(DEGREES)] if draw.random() < 0.4 else []
        return [noun, draw.choice(LINKS), *degree, draw.choice(draw.choice((GOOD, BAD)))]

    prompt = [draw.choice(OPENERS), draw.choice(ADJECTIVES), draw.choice(NOUNS)]
    if draw.random() < 0.7:
        prompt += [draw.choice(WITH), draw.choice(TOPICS)]
    response = clause("")[1:]
    while draw.random() < 0.5 and len(response) < 12:
        response += [draw.choice(JOINTS), "the", *clause(draw.choice(PARTS))]
    return " ".join(prompt), "".join(" " + w for w in [*response, "."])


@cache
def reviews(count: int, seed: int) -> tuple[tuple[str, str], ...]:
    """`count` reviews as (prompt, response)."""
    draw = random.Random(seed)  # noqa: S311
    return tuple(sentence(draw) for _ in range(count))
