"""How likely a text's words follow each other: word pairs with interpolated Kneser–Ney smoothing (Kneser and Ney 1995)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

DISCOUNT = 0.75
EDGE = "·"  # before the first word, and after the last one of a text that ended
RARE = 2  # a word that comes less often counts as unknown
UNKNOWN = "?"


class Bigrams:
    """P(word | the word before), fitted to text. Words are in lower case; punctuation marks are words too."""

    def __init__(self, pairs: dict[str, dict[str, int]], rare: int) -> None:
        """pairs: how often each word follows each other one, by the first and the second of the two.

        rare: how many different words count as unknown.
        """
        self.pairs, self.rare = pairs, rare
        self.totals = {first: sum(after.values()) for first, after in pairs.items()}
        kinds = Counter(second for after in pairs.values() for second in after)
        self.kinds, self.all_kinds = kinds, sum(kinds.values())

    @classmethod
    def fit(cls, texts: Iterable[str]) -> Bigrams:
        """Count the pairs of whole texts."""
        sequences = [_words(text) for text in texts]
        counts = Counter(word for sequence in sequences for word in sequence)
        pairs: dict[str, Counter[str]] = {}
        for sequence in sequences:
            known = [word if counts[word] >= RARE else UNKNOWN for word in sequence]
            for first, second in zip([EDGE, *known], [*known, EDGE], strict=True):
                pairs.setdefault(first, Counter())[second] += 1
        rare = sum(n < RARE for n in counts.values())
        return cls({first: dict(after) for first, after in sorted(pairs.items())}, max(rare, 1))

    def probability(self, first: str, second: str) -> float:
        """P(second | first), 1 in all over the known words, the end, and as many unknown words as were rare in the text."""
        first, second = self._known(first), self._known(second)
        anywhere = self.kinds[second] / self.all_kinds
        after, total = self.pairs[first], self.totals[first]
        share = (max(after.get(second, 0) - DISCOUNT, 0.0) + DISCOUNT * len(after) * anywhere) / total
        return share / self.rare if second == UNKNOWN else share

    def log_likelihood(self, before: str, text: str, ended: bool) -> float:
        """Mean log-probability of a word of `text`, nats, after the text `before`. ended: whether the text is whole.

        An empty text that didn't end has no word: NaN.
        """
        sequence = [*_words(text), *([EDGE] if ended else [])]
        previous = [*(_words(before)[-1:] or [EDGE]), *sequence]
        logs = [math.log(self.probability(*pair)) for pair in zip(previous, sequence, strict=False)]
        return sum(logs) / len(logs) if logs else math.nan

    def table(self) -> dict[str, Any]:
        """The counts as JSON: the words, and for each of them the number of each word that follows, and how often."""
        names = sorted({*self.pairs, *self.kinds})
        number = {name: i for i, name in enumerate(names)}
        after = [[[number[w], n] for w, n in sorted(self.pairs.get(name, {}).items())] for name in names]
        return {"words": names, "after": after, "rare": self.rare}

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> Bigrams:
        """What a `table` describes."""
        names: Sequence[str] = table["words"]
        pairs = {names[i]: {names[j]: n for j, n in row} for i, row in enumerate(table["after"]) if row}
        return cls(pairs, table["rare"])

    def _known(self, word: str) -> str:
        return word if word in self.kinds or word == EDGE else UNKNOWN


def _words(text: str) -> list[str]:
    return list(_tokens(text.lower()))


def _tokens(text: str) -> Iterator[str]:
    return (found.group() for found in re.finditer(r"[^\W_][\w']*|[^\w\s]", text))
