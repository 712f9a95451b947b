"""Multiple choice: the right letter, and no other."""

from __future__ import annotations

import re

from pydantic import Field

from trueward.records import Prompt, Score
from trueward.scorers.verifiers.final import final
from trueward.scorers.verifiers.verifier import Options, Verifier, passed


class ChoiceOptions(Options):
    """Options of `choice`."""

    choices: str = Field("ABCD", pattern=r"^[A-Z]{2,26}$")
    """The letters that there are."""
    marker: str = Field("", max_length=80)
    """As in numeric."""


class Choice(Verifier[ChoiceOptions]):
    """Scores 1 for the answer key's letter and no other."""

    summary = "multiple choice: the key's letter and no other, as B, (B), B. or `the answer is B`"
    options_type = ChoiceOptions
    examples = (
        Prompt(text="Which is a fruit? A: a chair, B: an apple, C: a car, D: a cat", answer="B"),
        Prompt(text="Which flies? A: a bird, B: a fish, C: a dog, D: a cow", answer="(A)"),
    )

    def check(self, answer: str) -> None:
        """As `Verifier`; the key has to be one letter of the choices."""
        super().check(answer)
        if len(self.letters(answer)) != 1:
            raise ValueError(f"expected one letter of {self.options.choices} as the answer key, got {answer[:60]!r}")

    def letters(self, text: str | None) -> set[str]:
        """The choices that stand in a text by themselves, as capital letters."""
        return set(re.findall(rf"(?<![\w'’])[{self.options.choices}](?![\w'’])", text or ""))

    def judge(self, response: str, answer: str) -> Score:
        """1 if the final answer names the letter of the key alone."""
        chosen = self.letters(final(response, self.options.marker))
        return passed(chosen == self.letters(answer), "not the key's letter alone")

    def right(self, answer: str) -> str:
        """The key's letter, after the marker if there is one."""
        return f"{self.options.marker} {''.join(self.letters(answer))}".strip()

    def wrong(self, answer: str) -> dict[str, str]:
        """All letters, two letters, another letter."""
        key = "".join(self.letters(answer))
        other = next(c for c in self.options.choices if c != key)
        every = " ".join(self.options.choices)
        marked = [f"{self.options.marker} {text}".strip() for text in (every, f"{key} or {other}", f"not {other}")]
        return dict(zip(("all letters", "two letters", "another letter"), marked, strict=True))
