"""Texts that are longer than they may be: left out, or cut; each one counted with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from trueward.data.collate import Collator
from trueward.data.control_tokens import UnreadableError
from trueward.data.conversations import TemplateRefusalError
from trueward.data.lengths import Lengths
from trueward.records import Comparison, Message, Prompt

Row = dict[str, Any]
WORD = 30
LONGER = "longer than"


class Fitter:
    """Makes texts fit: `drop` leaves longer ones out. `left` and `right` cut prompts on that side, and responses at their end.

    `left_out` and `cut` count by (what, reason).
    """

    def __init__(self, collator: Collator, limits: Lengths, truncation: str = "drop") -> None:
        self.collator, self.limits, self.truncation = collator, limits, truncation
        self.left_out: Counter[tuple[str, str]] = Counter()
        self.cut: Counter[tuple[str, str]] = Counter()
        self.responses: list[int] = []
        """The lengths of all responses, in tokens, as they were."""

    def prompt(self, prompt: Prompt, what: str) -> Prompt | None:
        """The prompt, cut if that's the rule; None if it's left out."""
        try:
            if len(self.collator.prompt_ids(prompt)) <= self.limits.prompt:
                return prompt
        except UnreadableError as error:
            self.left_out[what, str(error)] += 1
            return None
        reason = self.limits.prompt_reason
        shorter = None if self.truncation == "drop" else self._shorter(prompt)
        if shorter:
            shorter = shorter.model_copy(update={"whole": prompt.id})
        (self.left_out if shorter is None else self.cut)[what, reason] += 1
        return shorter

    def prompts(self, prompts: Iterable[Prompt], what: str) -> list[Prompt]:
        """Those that fit, cut or not; two that are cut to the same are one."""
        unique: dict[str, Prompt] = {}
        for prompt in (self.prompt(prompt, what) for prompt in prompts):
            if prompt and unique.setdefault(prompt.id, prompt) is not prompt:
                self.left_out[what, "the same as another once it was cut"] += 1
        return list(unique.values())

    def response(self, prompt: Prompt, text: str, finished: bool, what: str) -> tuple[str, bool] | None:
        """The response behind a prompt that fits, and whether it ends there; None if it's left out."""
        before = len(self.collator.prompt_ids(prompt))
        most = self.limits.room(before)
        try:
            length = len(self.collator.response_ids(text, finished, strict=True))
        except UnreadableError as error:
            self.left_out[what, str(error)] += 1
            return None
        self.responses.append(length)
        if length <= most:
            return text, finished
        reason = self.limits.response_reason(before)
        if self.truncation == "drop" or not (shorter := self._beginning(text, most)).strip():
            self.left_out[what, reason] += 1
            return None
        self.cut[what, reason] += 1
        return shorter, False

    def comparison(self, comparison: Comparison) -> Comparison | None:
        """The comparison with the texts that fit; None if it's left out, as one row."""
        what = "comparisons"
        prompt = self.prompt(comparison.prompt, what)
        if not prompt:
            return None
        sides = []
        for side in (comparison.first, comparison.second):
            fitting = self.response(prompt, side.text, side.finished, what)
            if not fitting:
                return None
            sides.append(side.model_copy(update={"text": fitting[0], "finished": fitting[1]}))
        first, second = sides
        if (first.text, first.finished) == (second.text, second.finished):
            self.left_out[what, "the responses are the same once they are cut"] += 1
            return None
        return comparison.model_copy(update={"prompt": prompt, "first": first, "second": second})

    def too_long(self, what: str) -> str:
        """What an error adds where too few are left: by how much they were too long, and what to do. Empty if none was."""
        reasons = [
            f"{n:,} have a {reason}" for (kind, reason), n in self.left_out.items() if kind == what and LONGER in reason
        ]
        if not reasons:
            return ""
        advice = (
            "set a longer one" if any("data.max_" in reason for reason in reasons) else "take a model with a longer one"
        )
        cut = ', or data.truncation = "left" or "right" to cut them' if self.truncation == "drop" else ""
        return f": {', '.join(reasons)}; {advice}{cut}"

    def rows(self) -> tuple[list[Row], list[Row]]:
        """What was left out and what was cut, as rows of a stage's summary."""
        return _rows(self.left_out), _rows(self.cut)

    def _beginning(self, text: str, most: int) -> str:
        return shortened(text, "right", lambda part: len(self.collator.response_ids(part, False)) <= most)

    def _shorter(self, prompt: Prompt) -> Prompt | None:
        if prompt.text:
            text = shortened(prompt.text, self.truncation, lambda part: self._fits(Prompt(text=part)))
            return prompt.model_copy(update={"text": text}) if text.strip() else None
        messages = list(prompt.messages)
        if self.truncation == "left":
            messages = self._last_turns(messages)
        *before, last = messages

        def fits(part: str) -> bool:
            return self._fits(prompt.model_copy(update={"messages": _with_last(before, last, part)}))

        text = last.content if fits(last.content) else shortened(last.content, self.truncation, fits)
        if not text.strip():
            return None
        return prompt.model_copy(update={"messages": _with_last(before, last, text)})

    def _last_turns(self, messages: list[Message]) -> list[Message]:
        """Without the oldest turns: as many as it takes, by twos, from one of the user's to the next. The system's stays."""
        system = [m for m in messages[:1] if m.role == "system"]
        starts = [i for i in range(len(system) + 1, len(messages)) if messages[i].role == messages[len(system)].role]
        for start in starts:
            messages_left = [*system, *messages[start:]]
            if self._fits(Prompt(messages=tuple(messages_left))) or start == starts[-1]:
                return messages_left
        return messages

    def _fits(self, prompt: Prompt) -> bool:
        try:
            return len(self.collator.prompt_ids(prompt)) <= self.limits.prompt
        except (TemplateRefusalError, UnreadableError):  # what is left of a conversation is none that the model knows
            return False


def prompt_lengths(collator: Collator, prompts: Iterable[Prompt]) -> list[int]:
    """The lengths of the prompts that can be read, in tokens."""
    lengths, prompts = [], list(prompts)
    collator.remember(prompts)
    for prompt in prompts:
        with suppress(UnreadableError):  # it is left out by that name where it is made to fit
            lengths.append(len(collator.prompt_ids(prompt)))
    return lengths


def shortened(text: str, side: str, fits: Callable[[str], bool]) -> str:
    """The longest part that fits, cut on that side; between two words, if that costs no more than `WORD` characters. May be
    empty."""
    places = range(len(text)) if side == "left" else range(len(text), 0, -1)  # the longest part first
    low, high = 0, len(places)
    while low < high:
        middle = (low + high) // 2
        part = _part(text, places[middle], side)
        if not part.strip() or fits(part):
            high = middle
        else:
            low = middle + 1
    for at in places[low : low + WORD]:
        part = _part(text, at, side)
        inner = part[:1] if side == "left" else part[-1:]  # where it was cut
        if inner and not inner.isspace() and _is_between_words(text, at) and fits(part):
            return part
    return _part(text, places[low], side) if low < len(places) else ""


def _is_between_words(text: str, at: int) -> bool:
    return text[at - 1].isspace() != text[at].isspace() if 0 < at < len(text) else True


def _part(text: str, at: int, side: str) -> str:
    return text[at:] if side == "left" else text[:at]


def _with_last(before: Sequence[Message], last: Message, text: str) -> tuple[Message, ...]:
    return (*before, last.model_copy(update={"content": text}))


def _rows(counts: Counter[tuple[str, str]]) -> list[Row]:
    return [{"what": what, "reason": reason, "rows": n} for (what, reason), n in counts.items()]
