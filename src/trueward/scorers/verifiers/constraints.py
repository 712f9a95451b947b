"""Instructions that a program can check (after IFEval, Zhou et al. 2023, arXiv 2311.07911), in any combination."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from trueward.records import Prompt, Score
from trueward.scorers.verifiers.verifier import Options, Verifier, read_options

WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
SENTENCE = re.compile(r"[^.!?]*[^\W_][^.!?]*(?:[.!?]+|$)")
FORMATS = ("", "json", "bullets", "lowercase", "uppercase", "one_line")


class Constraints(Options):
    """Options of `constraints`: each one that is set is a part of the score, 1 or 0."""

    contains: tuple[str, ...] = ()
    """Words or phrases that are there, as whole words, in any case."""
    excludes: tuple[str, ...] = ()
    min_words: int | None = Field(None, ge=1)
    max_words: int | None = Field(None, ge=1)
    min_sentences: int | None = Field(None, ge=1)
    max_sentences: int | None = Field(None, ge=1)
    starts_with: str = ""
    ends_with: str = ""
    format: Literal["", "json", "bullets", "lowercase", "uppercase", "one_line"] = ""
    score: Literal["all", "share"] = "all"
    """1 if all are satisfied, else 0; or the share that is."""

    @field_validator("contains", "excludes", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _order(self) -> Constraints:
        for what in ("words", "sentences"):
            low, high = getattr(self, f"min_{what}"), getattr(self, f"max_{what}")
            if low is not None and high is not None and low > high:
                raise ValueError(f"min_{what} ({low}) is more than max_{what} ({high})")
        return self


class ConstraintsVerifier(Verifier[Constraints]):
    """Scores by the constraints that a response satisfies: those of the options and of its answer key."""

    summary = "instructions: contains, excludes, words, sentences, starts and ends with, format; all of them or a share"
    options_type = Constraints
    unique = False
    example_options: ClassVar[dict[str, Any]] = {"contains": ["film"], "max_words": 12, "ends_with": "."}
    examples = (
        Prompt(text="Say something about a film, in at most 12 words."),
        Prompt(text="Now in two sentences.", answer='{"min_sentences": 2, "max_sentences": 2}'),
        Prompt(text="Now in small letters.", answer='{"format": "lowercase"}'),
    )

    @property
    def keyed(self) -> bool:
        """True if the options set no constraint."""
        return not checks(self.options)

    def check(self, answer: str) -> None:
        """`ValueError` if neither the options nor this answer key set a constraint."""
        if not checks(self.of(answer)):
            known = ", ".join(name for name in Constraints.model_fields if name != "score")
            raise ValueError(
                f"expected a constraint, in the options or in the prompt's answer key, got none; known: {known}"
            )

    def of(self, answer: str) -> Constraints:
        """The options with those of one prompt's answer key on top, a JSON object of the same fields."""
        if not answer.strip():
            return self.options
        try:
            own = json.loads(answer)
        except ValueError:
            own = None
        if not isinstance(own, dict):
            raise ValueError(f"the answer key of a prompt under constraints is a JSON object, got {answer[:60]!r}")
        merged = {**self.options.model_dump(), **own}
        return read_options(Constraints, merged, "answer")  # type: ignore[no-any-return]

    def judge(self, response: str, answer: str) -> Score:
        """1 if all constraints hold, or the share that does; a part for each constraint."""
        self.check(answer)
        options = self.of(answer)
        parts = {name: float(holds(response)) for name, holds in checks(options).items()}
        share = sum(parts.values()) / len(parts)
        missed = ", ".join(name for name, value in parts.items() if not value)
        score = share if options.score == "share" else float(share == 1.0)
        return Score(score=score, parts=parts, note=f"missed: {missed}" if missed else "")

    def right(self, answer: str) -> str:
        """A text made to satisfy the constraints."""
        return example(self.of(answer))


def words(text: str) -> list[str]:
    """The words of a text."""
    return WORD.findall(text)


def sentences(text: str) -> int:
    """How many sentences: stretches with a letter or digit, up to a full stop, question or exclamation mark, or the end."""
    return len(SENTENCE.findall(text))


def has(text: str, phrase: str) -> bool:
    """Whether a word or phrase is in the text, not as a part of a longer word; case makes no difference."""
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text, re.IGNORECASE) is not None


def checks(options: Constraints) -> dict[str, Callable[[str], bool]]:
    """For each constraint that is set, by its name: whether a text satisfies it."""
    o = options
    all_checks: dict[str, Callable[[str], bool]] = {
        "contains": lambda text: all(has(text, w) for w in o.contains),
        "excludes": lambda text: not any(has(text, w) for w in o.excludes),
        "min_words": lambda text: len(words(text)) >= (o.min_words or 0),
        "max_words": lambda text: len(words(text)) <= (o.max_words or 0),
        "min_sentences": lambda text: sentences(text) >= (o.min_sentences or 0),
        "max_sentences": lambda text: sentences(text) <= (o.max_sentences or 0),
        "starts_with": lambda text: text.strip().startswith(o.starts_with),
        "ends_with": lambda text: text.strip().endswith(o.ends_with),
        "format": lambda text: formatted(text.strip(), o.format),
    }
    return {name: check for name, check in all_checks.items() if getattr(o, name)}


def formatted(text: str, how: str) -> bool:
    """Whether a text is JSON, a list of bullets (- or *), all in one case, or on one line, as `how` says."""
    if how == "json":
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return False
        return True
    if how == "bullets":
        lines = [line for line in text.splitlines() if line.strip()]
        return bool(lines) and all(re.match(r"\s*[-*] \S", line) for line in lines)
    if how == "one_line":
        return len(text.splitlines()) == 1
    return text == (text.lower() if how == "lowercase" else text.upper())


def example(options: Constraints) -> str:
    """A text that satisfies the constraints, unless they contradict each other: filler around the required words."""
    need = options.min_words or 0
    count = max(options.min_sentences or 1, 1)
    inside = [*options.contains]
    spent = len(words(" ".join([options.starts_with, *inside, options.ends_with])))
    inside += ["so"] * max(count - 1, need - spent, 1 if not inside else 0)
    pieces = [" ".join(inside[i::count]) for i in range(count)]
    body = ". ".join(pieces)
    text = f"{options.starts_with} {body}".strip()
    if options.ends_with and not text.endswith(options.ends_with):
        text += options.ends_with if not options.ends_with[0].isalnum() else f" {options.ends_with}"
    changed: dict[str, Any] = {
        "json": lambda: json.dumps([text]),
        "bullets": lambda: f"- {text}",
        "lowercase": text.lower,
        "uppercase": text.upper,
    }
    return str(changed.get(options.format, lambda: text)())
