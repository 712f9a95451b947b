"""Equality with the answer key: character by character, or by words whatever their case and punctuation."""

from __future__ import annotations

import re

from pydantic import Field

from trueward.records import Prompt, Score
from trueward.scorers.verifiers.final import final
from trueward.scorers.verifiers.verifier import Options, Verifier, passed

ARTICLES = re.compile(r"\b(a|an|the)\b")


class MatchOptions(Options):
    """Options of `exact`."""

    ignore_case: bool = False
    marker: str = Field("", max_length=80)
    """Compare what stands after its last place in the response; without it in the response the score is 0."""


class Exact(Verifier[MatchOptions]):
    """Scores 1 for the answer key, character by character."""

    summary = "the answer key, character by character; white space around it doesn't count"
    options_type = MatchOptions
    examples = (
        Prompt(text="What is the capital of France?", answer="Paris"),
        Prompt(text="How many legs has a spider?", answer="8"),
    )

    def judge(self, response: str, answer: str) -> Score:
        """1 if the response, or what follows the marker, is the key."""
        text = final(response, self.options.marker) if self.options.marker else response.strip()
        if text is None:
            return passed(False, f"no {self.options.marker!r} in it")
        key = answer.strip()
        return passed(text.casefold() == key.casefold() if self.options.ignore_case else text == key, "another text")

    def right(self, answer: str) -> str:
        """The key, after the marker if there is one."""
        return f"{self.options.marker} {answer}".strip()


class NormalisedOptions(Options):
    """Options of `normalised`."""

    marker: str = Field("", max_length=80)
    """As in exact."""


class Normalised(Verifier[NormalisedOptions]):
    """Scores 1 for the words of the answer key, whatever their case and punctuation."""

    summary = "the answer key in the same words: case, punctuation, articles and white space don't count (as in SQuAD)"
    options_type = NormalisedOptions
    examples = (
        Prompt(text="Who wrote Hamlet?", answer="William Shakespeare"),
        Prompt(text="How many legs has a spider?", answer="8"),
    )

    def check(self, answer: str) -> None:
        """As `Verifier`; the key has to be one that has a word in it."""
        super().check(answer)
        if not normalised(answer):
            raise ValueError(f"expected an answer key with a word in it, got {answer!r}")

    def judge(self, response: str, answer: str) -> Score:
        """1 if the response, or what follows the marker, has the words of the key."""
        text = final(response, self.options.marker) if self.options.marker else response
        if text is None:
            return passed(False, f"no {self.options.marker!r} in it")
        return passed(normalised(text) == normalised(answer), "other words")

    def right(self, answer: str) -> str:
        """The key, after the marker if there is one."""
        return f"{self.options.marker} {answer}".strip()


def normalised(text: str) -> str:
    """Lower case without articles; punctuation between words is one space, that within numbers (-3, 2.5) stays."""
    text = re.sub(r"(?<!\d)[.,](?!\d)|[.,](?!\d)|(?<!\d)[.,]", " ", text.casefold())
    text = re.sub(r"[^\w\s.,+\-−]|_", " ", text)
    text = re.sub(r"[+\-−](?!\d)", " ", text)
    return " ".join(ARTICLES.sub(" ", text).split())
