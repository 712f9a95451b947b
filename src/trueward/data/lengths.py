"""How long texts may be, in tokens: as the recipe says, else as long as nearly all of the data are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

SHARE = 0.99
PROMPT, RESPONSE = "data.max_prompt_tokens", "data.max_response_tokens"


@dataclass(frozen=True)
class Lengths:
    """The longest prompt and response, in tokens, and the model's context, which prompt and response share."""

    prompt: int
    response: int
    context: int
    prompt_from_data: bool = False
    """Whether the length is that of the data; else the recipe sets it."""
    response_from_data: bool = False

    @classmethod
    def of(
        cls,
        prompt: int | None,
        response: int | None,
        context: int,
        prompts: Iterable[Sequence[int]] = (),
        responses: Iterable[Sequence[int]] = (),
    ) -> Lengths:
        """What the recipe sets, or None for the data's own.

        prompts, responses: the lengths in each kind of data (demonstrations, prompts...); of each kind nearly all are to fit.
        `ValueError` for a length that leaves no room for an answer.
        """
        if prompt is not None and prompt >= context:
            raise ValueError(
                f"{PROMPT}: {prompt} leaves no room for an answer in the model's context of {context} tokens"
            )
        longest_prompt = prompt or min(max(map(nearly_all, prompts), default=context - 1), context - 1)
        longest_response = response or min(max(map(nearly_all, responses), default=context), context)
        return cls(longest_prompt, longest_response, context, prompt is None, response is None)

    def room(self, prompt: int) -> int:
        """The longest response behind a prompt of so many tokens."""
        return min(self.response, self.context - prompt)

    @property
    def prompt_reason(self) -> str:
        """Why a longer prompt is left out."""
        return "prompt longer than " + self._named(PROMPT, self.prompt, self.prompt_from_data, self.context - 1)

    def response_reason(self, prompt: int) -> str:
        """Why a longer response is left out, behind a prompt of so many tokens."""
        if self.context - prompt < self.response:
            return f"response longer than what the prompt leaves of the model's context of {self.context} tokens"
        return "response longer than " + self._named(RESPONSE, self.response, self.response_from_data, self.context)

    def _named(self, setting: str, length: int, from_data: bool, most: int) -> str:
        if from_data and length == most:
            return f"the model's context of {self.context} tokens"
        return f"{setting} = {length}" + (f", the length of {SHARE:.0%} of them" if from_data else "")

    @property
    def sentence(self) -> str:
        """What was taken from the data, as a line; empty if the recipe sets both."""
        taken = [
            f"{name} = {length}"
            for name, length, from_data in (
                (PROMPT, self.prompt, self.prompt_from_data),
                (RESPONSE, self.response, self.response_from_data),
            )
            if from_data
        ]
        if not taken:
            return ""
        return f"{' and '.join(taken)}: as long as {SHARE:.0%} of the data, up to the model's context of {self.context}"

    def table(self) -> dict[str, Any]:
        """The two lengths, as a stage's summary has them, and the sentence."""
        return {"max_prompt_tokens": self.prompt, "max_response_tokens": self.response, "note": self.sentence}


def nearly_all(lengths: Sequence[int]) -> int:
    """The smallest length that at least 99 % of them don't pass; of fewer than 100 the longest. 1 if there are none."""
    ordered = sorted(lengths)
    return max(1, ordered[math.ceil(SHARE * len(ordered)) - 1]) if ordered else 1
