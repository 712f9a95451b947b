"""A regular expression that the answer has to match."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from pydantic import Field, field_validator

from trueward.records import Prompt, Score
from trueward.scorers.verifiers.verifier import Options, Verifier, passed

KEY = "{answer}"


class RegexOptions(Options):
    """Options of `regex`."""

    pattern: str = Field(min_length=1)
    """Python's syntax, ASCII meaning of \\d, \\w and \\s; {answer} stands for the prompt's key, taken literally."""
    example: str = Field(min_length=1)
    """An answer that matches, for the self-test; {answer} stands for the key."""
    whole: bool = True
    """Whether all of the answer has to match, or only a part of it."""
    ignore_case: bool = False

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern.replace(KEY, "x"), re.ASCII)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern


class Regex(Verifier[RegexOptions]):
    """Scores 1 for a response that matches a regular expression."""

    summary = "a regular expression, which may hold the answer key"
    options_type = RegexOptions
    example_options: ClassVar[dict[str, Any]] = {"pattern": r"(?:It is )?{answer}\.?", "example": "It is {answer}."}
    examples = (
        Prompt(text="How many legs has a spider?", answer="8"),
        Prompt(text="And how many has a dog?", answer="4"),
    )

    @property
    def keyed(self) -> bool:
        """Whether the pattern has {answer} in it."""
        return KEY in self.options.pattern

    @property
    def unique(self) -> bool:  # type: ignore[override]
        """Whether the pattern has {answer} in it."""
        return self.keyed

    def judge(self, response: str, answer: str) -> Score:
        """1 if the response matches, whole or in part as the options say."""
        flags = re.ASCII | (re.IGNORECASE if self.options.ignore_case else 0)
        pattern = re.compile(self.options.pattern.replace(KEY, re.escape(answer.strip())), flags)
        text = response.strip()
        return passed(bool(pattern.fullmatch(text) if self.options.whole else pattern.search(text)), "no match")

    def right(self, answer: str) -> str:
        """The example of the options, with the key filled in."""
        return self.options.example.replace(KEY, answer.strip())
