"""How varied answers are: the share of distinct words and word pairs, and the longest phrase that repeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Words = Sequence[str]


def distinct(answers: Sequence[Words], n: int) -> float:
    """Distinct-n (Li et al. 2016, arXiv 1510.03055): distinct n-grams / n-grams, over all answers together; 0 for none."""
    grams = [tuple(words[i : i + n]) for words in answers for i in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def longest_repeat(words: Words) -> int:
    """Words of the longest phrase that occurs twice (it may overlap itself); 0 if no word does."""

    def repeats(n: int) -> bool:
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        return len(set(grams)) < len(grams)

    low, high = 0, len(words)  # a phrase of `low` words occurs twice, one of `high` does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if repeats(middle) else (low, middle)
    return low


def figures(answers: Sequence[Words]) -> dict[str, Any]:
    """Distinct-1 and distinct-2 over all answers together, and the mean of their longest repeats, in words."""
    return {
        "distinct_1": distinct(answers, 1),
        "distinct_2": distinct(answers, 2),
        "longest_repeat": sum(map(longest_repeat, answers)) / max(1, len(answers)),
    }
