"""Features of an answer: its first words, phrases, punctuation, length and form.

Each feature is present or absent in an answer, and has a name that a reader understands.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Kind = Literal["opener", "phrase", "repeat", "punctuation", "length", "format"]
PIECES = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
LONGEST = 3  # words of a phrase
NEARLY_EMPTY = 2  # words
FORMS = {
    "is cut off": None,  # not visible in the text
    "has several lines": re.compile(r"\S[^\S\n]*\n\s*\S"),
    "has a list": re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.M),
    "has a heading": re.compile(r"^#+\s", re.M),
    "has bold words": re.compile(r"\*\*\S|__\S"),
    "has code": re.compile(r"`"),
    "has digits": re.compile(r"\d"),
    "has a word in capitals": re.compile(r"\b[A-Z]{3,}\b"),
    "does not end with punctuation": re.compile(r"[\w\s]\Z|\A\Z"),
}


class Feature(NamedTuple):
    """`of`: its words or its mark; `least`: how many occurrences at least, or a number of words."""

    kind: Kind
    of: tuple[str, ...]
    least: int = 1

    @property
    def name(self) -> str:
        """In words, as the end of a sentence that begins with "The answer"."""
        quoted = f"“{' '.join(self.of)}”"
        often = {1: "", 2: " twice or more", 3: " three times or more"}
        if self.kind == "opener":
            return f"starts with {quoted}"
        if self.kind in ("phrase", "repeat"):
            return f"says {quoted}{often[self.least]}"
        if self.kind == "punctuation":
            return f"uses {quoted}{often[self.least]}"
        if self.kind == "format":
            return self.of[0]
        if self.of == ("more",):
            return f"has more than {self.least} words"
        return "is empty" if self.least == 1 else f"has fewer than {self.least} words"

    @property
    def telling(self) -> tuple[int, int, int]:
        """A sort key: of two features of the same answers, the one with the higher key is named."""
        if self.kind == "length":
            return 5, max(0, 4 - self.least) if self.of == ("fewer",) else 0, 0
        order = ("format", "punctuation", "phrase", "repeat", "opener").index(self.kind)
        return order, len(self.of), self.least


class Text(NamedTuple):
    """An answer as pieces: words in lower case and single marks; "" where something was removed."""

    pieces: tuple[str, ...]
    forms: frozenset[str]

    @property
    def words(self) -> int:
        """The number of words."""
        return sum(is_word(p) for p in self.pieces)


def read(text: str, finished: bool) -> Text:
    """The pieces and forms of an answer."""
    forms = {name for name, form in FORMS.items() if form is not None and form.search(text.strip())}
    return Text(tuple(PIECES.findall(text.lower())), frozenset(forms | ({"is cut off"} if not finished else set())))


def is_word(piece: str) -> bool:
    """Whether a piece is a word and not a mark."""
    return piece[:1].isalnum() or piece[:1] == "_"


def runs(pieces: Iterable[str]) -> list[list[str]]:
    """Runs of words without a mark between them."""
    stretches: list[list[str]] = [[]]
    for piece in pieces:
        if is_word(piece):
            stretches[-1].append(piece)
        elif stretches[-1]:
            stretches.append([])
    return [run for run in stretches if run]


def phrases(pieces: Iterable[str]) -> Counter[tuple[str, ...]]:
    """How often each phrase of one to three words occurs."""
    return Counter(
        tuple(run[i : i + n]) for run in runs(pieces) for n in range(1, LONGEST + 1) for i in range(len(run) - n + 1)
    )


def features(text: Text, lengths: Sequence[int]) -> set[Feature]:
    """All features of an answer. lengths: the numbers of words that its length is compared with."""
    counts = phrases(text.pieces)
    out = {Feature("phrase", phrase) for phrase in counts}
    out |= {Feature("repeat", phrase, 2) for phrase, times in counts.items() if times > 1}
    if text.pieces and not is_word(text.pieces[0]):
        out |= {Feature("opener", text.pieces[:1])} if text.pieces[0] else set()
    elif text.pieces:
        first = runs(text.pieces)[0]
        out |= {Feature("opener", tuple(first[:n])) for n in range(1, min(LONGEST, len(first)) + 1)}
    marks = Counter(p for p in text.pieces if p and not is_word(p))
    out |= {Feature("punctuation", (mark,), n) for mark, times in marks.items() for n in (1, 3) if times >= n}
    words = text.words
    out |= {Feature("length", ("more",), n) for n in lengths if words > n}
    out |= {Feature("length", ("fewer",), n) for n in {1, NEARLY_EMPTY + 1, *lengths} if words < n}
    out |= {Feature("format", (form,)) for form in text.forms}
    if any(len(phrase) == LONGEST and times > 1 for phrase, times in counts.items()):
        out.add(Feature("format", (f"says the same {LONGEST} words twice",)))
    return out


def without(text: Text, feature: Feature) -> Text:
    """The answer with the words or marks of a feature removed; a feature of length or form changes nothing."""
    pieces, size = list(text.pieces), len(feature.of)
    if feature.kind in ("length", "format"):
        return text
    starts = [0] if feature.kind == "opener" else range(len(pieces) - size + 1)
    for start in starts:
        if text.pieces[start : start + size] == feature.of:
            pieces[start : start + size] = [""] * size
    return Text(tuple(pieces), text.forms)


def cut(text: Text, words: int) -> Text:
    """The first `words` words of an answer, with the marks that follow the last of them."""
    seen = 0
    for at, piece in enumerate(text.pieces):
        seen += is_word(piece)
        if seen > words:
            return Text(text.pieces[:at], text.forms)
    return text


def whole_phrase(feature: Feature, texts: Sequence[Text], share: float = 0.9, longest: int = 8) -> Feature:
    """The phrase extended by the words that stand before and after it in nearly all texts, so that no part of one is named.

    share: of its occurrences, those with the same word there. longest: in words.
    """
    if feature.kind not in ("phrase", "repeat"):
        return feature
    of = feature.of
    while len(of) < longest:
        before: Counter[str] = Counter()
        after: Counter[str] = Counter()
        seen = 0
        for text in texts:
            for run in runs(text.pieces):
                for i in range(len(run) - len(of) + 1):
                    if tuple(run[i : i + len(of)]) == of:
                        seen += 1
                        before[run[i - 1] if i else ""] += 1
                        after[run[i + len(of)] if i + len(of) < len(run) else ""] += 1
        ahead, behind = (
            max(after.items(), key=_often, default=("", 0)),
            max(before.items(), key=_often, default=("", 0)),
        )
        if ahead[0] and ahead[1] >= share * seen:
            of = (*of, ahead[0])
        elif behind[0] and behind[1] >= share * seen:
            of = (behind[0], *of)
        else:
            break
    return Feature(feature.kind, of, feature.least)


def _often(item: tuple[str, int]) -> tuple[int, str]:
    return item[1], item[0]
