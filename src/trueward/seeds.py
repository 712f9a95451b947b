"""Where every random draw comes from: a generator for each purpose and step, and shares of data by their text.

The labels of a purpose are data: they are hashed, so their text never changes, whatever else is renamed. Some are older
than the names in the code: "look" is an evaluation, "asked" a relabelling round.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def seed_for(seed: int, *what: str | int) -> int:
    """A seed for one purpose, e.g. ("policy", "prompts", step): unrelated to that of any other purpose."""
    text = "\0".join(str(part) for part in (seed, *what))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *what: str | int) -> torch.Generator:
    """A generator on the CPU for one purpose; draws are the same on every device."""
    import torch  # the recipe and the studio need seeds without it

    return torch.Generator().manual_seed(seed_for(seed, *what))


def fraction(text: str) -> float:
    """A number in [0, 1) that depends on nothing but the text: the seed of every split, the same in every run."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
