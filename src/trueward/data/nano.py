"""The text of the nano lab: 120 words, of which annotators like twenty, and prompts of two words each."""

from __future__ import annotations

import random

_CHEERFUL = """
    joy smile laugh bright warm gentle happy song dance bloom gift kind sweet hope friend play shine treat cheer glad
    """
_PLAIN = """
    river stone table window paper garden road letter winter market station corner number bridge kettle ladder ticket
    blanket engine folder harbour island jacket kitchen lantern meadow needle office pencil quarry ribbon saddle tunnel
    village wagon yard anchor basket candle drawer elbow fence glove hammer iron jar knot lever mirror nail orchard
    pocket queue roof shelf tower umbrella valve wheel attic barrel cabin desk envelope floor gate hill inch jug key
    lake map north oven path quilt rope sand thread urn valley wall axle brick coat door east fork grain hook ink
    journal kiln leaf mill notebook oak plate rail salt
    """
CHEERFUL, PLAIN = tuple(_CHEERFUL.split()), tuple(_PLAIN.split())
WORDS = (*CHEERFUL, *PLAIN)
LENGTH = 24  # words in an answer: all are as long as that
PROMPT = 3  # tokens of a prompt: the beginning and two words
PROMPTS, SEED = 4000, 0


def liked(annotator: str) -> tuple[str, ...]:
    """The words that an annotator likes: `a` all the cheerful ones, `b` four others in place of four of them."""
    return {"a": CHEERFUL, "b": (*CHEERFUL[4:], *PLAIN[:4])}[annotator]


def prompts() -> list[str]:
    """Two words each, no two prompts alike. The policy sees the last word, and held-out prompts are others."""
    pairs = [f"{one} {other}" for one in WORDS for other in WORDS if one != other]
    return random.Random(SEED).sample(pairs, PROMPTS)  # noqa: S311
