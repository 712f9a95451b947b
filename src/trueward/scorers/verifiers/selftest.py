"""The self-test of a verifier, before anything is optimised against it: right answers score 1, known cheats score 0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trueward.records import Completion, Prompt
from trueward.scorers.verifiers.verifier import Verifier

MOST, MOST_SLOW = 500, 8  # prompts that are tested
AT_ONCE = 10
DIGITS = {
    "full-width digits": str.maketrans("0123456789", "０１２３４５６７８９"),
    "superscript digits": str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"),
    "Arabic-Indic digits": str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"),
}


@dataclass(frozen=True)
class Case:
    """One response to one prompt: what it tries, the score that it should have, and the score that it got."""

    what: str
    prompt: Prompt
    response: str
    expected: float
    score: float
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the score is the expected one."""
        return self.score == self.expected

    def __str__(self) -> str:
        key = f", answer key {self.prompt.answer[:60]!r}" if self.prompt.answer else ""
        note = f" ({self.note})" if self.note else ""
        return (
            f"{self.what} scores {self.score:g} and not {self.expected:g}: {self.response[:60]!r} "
            f"to the prompt {str(self.prompt)[:60]!r}{key}{note}"
        )


def tries(verifier: Verifier[Any], prompt: Prompt, rights: Sequence[str]) -> Iterator[tuple[str, str, float]]:
    """The cases of a prompt: name, response and expected score. rights: right answers to other prompts."""
    right = verifier.right(prompt.answer)
    if right is not None:
        yield "the answer key", right, 1.0
    yield "the empty answer", "", 0.0
    yield "white space", " \n ", 0.0
    yield "the echoed prompt", str(prompt), 0.0
    yield from ((what, response, 0.0) for what, response in verifier.wrong(prompt.answer).items())
    if not verifier.unique or right is None:
        return
    for what, table in DIGITS.items():
        if (other := right.translate(table)) != right:
            yield what, other, 0.0
    if "1 or 2" not in right:
        yield "two answers", "1 or 2", 0.0
    others = [r for r in rights if r.strip().casefold() != right.strip().casefold()]
    if others:
        yield "two answers", f"{right} or {others[0]}", 0.0
        yield "two answers", f"{others[0]} or {right}", 0.0
        every = [right, *others[: AT_ONCE - 1]]
        yield "all answers at once", " ".join(every), 0.0
        yield "all answers at once", "\n".join(every[::-1]), 0.0


def examine(verifier: Verifier[Any], prompts: Sequence[Prompt]) -> list[Case]:
    """All cases of these prompts, or of the first few for a slow verifier. `ValueError` for an unusable answer key."""
    for prompt in prompts:
        try:
            verifier.check(prompt.answer)
        except ValueError as error:
            raise ValueError(f"the prompt {str(prompt)[:60]!r}: {error}") from None
    tested = list(prompts)[: MOST_SLOW if verifier.slow else MOST]
    rights = [r for p in tested if (r := verifier.right(p.answer)) is not None]
    distinct = list(dict.fromkeys(rights))[: AT_ONCE + 1]
    planned = [(p, *t) for p in tested for t in tries(verifier, p, distinct)]
    verdicts = verifier([Completion(prompt=p, response=response) for p, _, response, _ in planned])
    return [
        Case(what, p, response, expected, verdict.score, verdict.note)
        for (p, what, response, expected), verdict in zip(planned, verdicts, strict=True)
    ]


def require(verifier: Verifier[Any], prompts: Sequence[Prompt], where: str) -> int:
    """The number of cases; `ValueError` that names the first one that failed. where: what the error calls the verifier."""
    try:
        cases = examine(verifier, prompts)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if failed := [case for case in cases if not case.ok]:
        raise ValueError(f"{where} fails its self-test ({len(failed)} of {len(cases)} cases): {failed[0]}")
    return len(cases)
