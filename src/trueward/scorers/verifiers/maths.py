r"""Mathematical equivalence, by `math-verify`: 1/2, 0.5 and \frac{1}{2} are one answer."""

from __future__ import annotations

import re
import threading
from typing import Any

from pydantic import Field

from trueward.extras import missing
from trueward.records import Prompt, Score
from trueward.scorers.verifiers.final import final, only_ascii_digits
from trueward.scorers.verifiers.verifier import Options, Verifier, passed

SEVERAL = re.compile(r"\b(?:or|and)\b|;|\\text\{\s*(?:or|and)\s*\}|\n|\\quad", re.IGNORECASE)
LONGEST = 400  # characters of a final answer; longer ones only cost time


class MathsOptions(Options):
    """Options of `maths`."""

    marker: str = Field("", max_length=80)
    """As in numeric."""
    seconds: int = Field(3, ge=1)
    """The longest that reading or comparing may take; then the score is 0."""


class Maths(Verifier[MathsOptions]):
    """Scores 1 for an expression that is equivalent to the answer key."""

    summary = "mathematically equal to the answer key, in LaTeX or plain (math-verify; needs the extra `verifiers`)"
    options_type = MathsOptions
    examples = (
        Prompt(text="What is a half of a third?", answer=r"\frac{1}{6}"),
        Prompt(text="Expand (x + 1)^2.", answer="x^2 + 2x + 1"),
        Prompt(text="What is 6 · 7?", answer="42"),
    )

    def __init__(self, options: MathsOptions) -> None:
        """`ImportError` if math-verify is not installed."""
        super().__init__(options)
        self.library = library()

    def check(self, answer: str) -> None:
        """As `Verifier`; the key has to be a mathematical expression."""
        super().check(answer)
        if not self.read(answer):
            raise ValueError(f"expected a mathematical expression as the answer key, got {answer[:60]!r}")

    def read(self, text: str, marker: str = "") -> list[Any]:
        """The final answer as an expression; empty if there are words beside it, or several answers."""
        last = final(text, marker)
        if last is None:
            return []
        last = re.sub(r"^\\[(\[]|\\[)\]]$", "", last.strip().rstrip(".").strip().strip("$").strip()).strip()
        if not last or len(last) > LONGEST or SEVERAL.search(last) or not only_ascii_digits(last):
            return []
        if re.search(r"(?<![\\A-Za-z])[A-Za-z]{4,}(?![A-Za-z{])", last) or re.search(r"[\w)}]\s+[0-9]", last):
            return []  # prose, or numbers side by side
        expressions = self.library.parse(rf"\boxed{{{last}}}", parsing_timeout=self.seconds)
        return list(expressions) if isinstance(expressions, list) else []

    @property
    def seconds(self) -> int | None:
        """The time limit; None outside the main thread, since math-verify sets it by an alarm."""
        return self.options.seconds if threading.current_thread() is threading.main_thread() else None

    def judge(self, response: str, answer: str) -> Score:
        """1 if the final answer is one expression, equivalent to the key."""
        expressions = self.read(response, self.options.marker)
        if not expressions:
            return passed(False, "not one expression")
        equal = self.library.verify(self.read(answer), expressions, timeout_seconds=self.seconds)
        return passed(bool(equal), "not equal to the key")

    def right(self, answer: str) -> str:
        """The key, after the marker if there is one."""
        return f"{self.options.marker} {final(answer)}".strip()


def library() -> Any:
    """The module `math_verify`. `ImportError` with the command that installs it."""
    try:
        import math_verify
    except ModuleNotFoundError:
        raise ImportError(str(missing("the verifier maths needs math-verify", "verifiers"))) from None
    return math_verify
