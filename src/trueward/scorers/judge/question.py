"""The question to a judge with its choices, and the reply."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

COMPARE = """Compare two answers to a prompt by this principle: {principle}

Prompt:
{prompt}

Answer A:
{first}

Answer B:
{second}

Which answer is better by the principle?"""
RATE = """Rate an answer to a prompt by this principle: {principle}

Prompt:
{prompt}

Answer:
{response}

How good is the answer by the principle, from {worst}, very bad, to {best}, perfect?"""
AT_ONCE = " Reply with {choices} alone.\n\nAnswer:"
REASONS = " Think it over in a few sentences. Then end with a line of its own, “Answer: ” and {choices}."


@dataclass(frozen=True)
class JudgeQuestion:
    """One question and its choices. Questions with the same text and choices are equal."""

    text: str
    choices: tuple[str, ...]
    ranks: bool = False
    """Whether the choices are put in an order, and not one of them is named."""


@dataclass(frozen=True)
class Reply:
    """The answer to a question: log-probs of the choices [k] in nats, the index of the named choice, or what was wrong."""

    logps: tuple[float, ...] | None = None
    named: int | None = None
    wrong: str = ""
    cost: float = 0.0
    ranking: tuple[int, ...] | None = None
    """The indices of the choices, the best first."""

    @property
    def mass(self) -> float | None:
        """The probability that the answer is one of the choices at all; None without log-probs."""
        return None if self.logps is None else min(1.0, sum(math.exp(min(x, 0.0)) for x in self.logps))


class Backend(Protocol):
    """A model that answers questions, in their order."""

    def ask(
        self, questions: Sequence[JudgeQuestion], most_failed: int = ..., on_progress: Callable[[int], None] = ...
    ) -> list[Reply]:
        """One reply to each question. It may give up, with `ValueError`, once more than `most_failed` have no answer.

        on_progress: gets the number of questions done.
        """


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with each {name} replaced, in one pass: braces inside an inserted value are left as they are."""
    return re.sub(r"\{(\w+)\}", lambda m: values.get(m[1], m[0]), template)


def ending(choices: Sequence[str], reasons: int) -> str:
    """The end of a built-in question: what to reply, and in which form. reasons: 0 for a reply without reasons first."""
    words = [c.strip() for c in choices]
    named = f"{', '.join(words[:-1])} or {words[-1]}" if len(words) < 5 else f"a number from {words[0]} to {words[-1]}"
    return fill(REASONS if reasons else AT_ONCE, {"choices": named})
