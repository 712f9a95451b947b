"""Text to token ids, in which text stays text: `<|im_end|>` in a message is ten characters, and never ends the message.

The template's own control tokens are tokens. A text without a control token's in it has the ids that the tokenizer gives by
itself.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from trueward.data.control_tokens import ControlTokens, Talk, any_of
from trueward.data.split_text import Part, Splitter, UnsplittableError, parts
from trueward.records import ASSISTANT

if TYPE_CHECKING:  # this room is read without torch and transformers
    from transformers import PreTrainedTokenizerBase

Version = tuple[object, ...]
_encoders: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[Version, Encoder]] = WeakKeyDictionary()


def encoder(tokenizer: PreTrainedTokenizerBase) -> Encoder:
    """The tokenizer's encoder; a new one if its template or its special tokens have changed."""
    version = (tokenizer.chat_template, len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id)
    if (known := _encoders.get(tokenizer)) is None or known[0] != version:
        known = _encoders[tokenizer] = version, Encoder(ControlTokens(tokenizer))
    return known[1]


class Encoder:
    """One tokenizer's way from text to ids."""

    def __init__(self, control: ControlTokens) -> None:
        self.control, self.splitter = control, Splitter(control)

    def plain(self, text: str, begun: str = "") -> list[int]:
        """A text, with what the tokenizer puts around it, and as much as there is of its answer.

        `UnsplittableError` if it can't stay text.
        """
        control = self.control
        ids = list(control.tokenizer(text + begun, verbose=False)["input_ids"])
        pieces = [(False, text), *parts(begun, control.tags)]
        if control.count(ids) == control.around + sum(token for token, _ in pieces):
            return ids
        return self.splitter.ids(pieces, control.forbidden, around=True)

    def plains(self, texts: Sequence[str]) -> list[list[int] | None]:
        """`plain` of several texts in one call; None for each that isn't text by itself, and has to be read alone."""
        if not texts:
            return []
        every = self.control.tokenizer(list(texts), verbose=False)["input_ids"]
        return [list(ids) if self.control.count(ids) == self.control.around else None for ids in every]

    def answers(self, texts: Sequence[str], strict: bool = False) -> list[list[int]]:
        """Answers, with nothing around them. One that can't stay text loses its control tokens; strict: it's an
        `UnsplittableError`."""
        every, forbidden = self.control.ids(texts), self.control.forbidden_in_answers
        return [
            ids if forbidden.isdisjoint(ids) else self._answer(text, ids, strict)
            for text, ids in zip(texts, every, strict=True)
        ]

    def _answer(self, text: str, ids: list[int], strict: bool) -> list[int]:
        forbidden = self.control.forbidden_in_answers
        try:
            return self.splitter.ids(parts(text, self.control.tags), forbidden)
        except UnsplittableError:
            if strict:
                raise
            return [i for i in ids if i not in forbidden]

    def conversation(self, talk: Talk, begun: str | None = "") -> list[int]:
        """Messages through the chat template, and as much as there is of the answer; None: no answer is to come.

        `UnsplittableError` as for `plain`.
        """
        control, opened = self.control, begun is not None
        if not self._is_doubtful(talk, begun or ""):
            return control.ids([control.render(talk, opened) + (begun or "")])[0]
        hidden: list[str] = []
        name = f"zq{secrets.token_hex(8)}x"
        renamed = replace(
            talk,
            messages=[self._renamed(message, name, hidden) for message in talk.messages],
            tools=_changed(talk.tools, self._renaming(control.all, name, hidden)),
        )
        pieces: list[Part] = []
        for place, piece in enumerate(re.split(f"{name}([0-9]+)z", control.render(renamed, opened))):
            pieces += [(False, hidden[int(piece)])] if place % 2 else parts(piece, control.all)
        return self.splitter.ids([*pieces, *parts(begun or "", control.tags)], control.forbidden)

    def _is_doubtful(self, talk: Talk, begun: str) -> bool:
        """Whether a text in there gives a control token."""
        answers, others = [begun], _strings(talk.tools)
        for message in talk.messages:
            (answers if message.get("role") == ASSISTANT else others).extend(_strings(message))
        control = self.control
        return control.made_by(answers, control.forbidden_in_answers) or control.made_by(others, control.forbidden)

    def _renamed(self, message: Mapping[str, Any], name: str, hidden: list[str]) -> dict[str, Any]:
        """The message with control tokens in it under another name, so that the template does with the rest what it does."""
        tags = self.control.tags if message.get("role") == ASSISTANT else {}
        tokens = {text: number for text, number in self.control.all.items() if text not in tags}
        return dict(_changed(dict(message), self._renaming(tokens, name, hidden)))

    def _renaming(self, tokens: Mapping[str, int], name: str, hidden: list[str]) -> Callable[[str], str]:
        def take(text: re.Match[str]) -> str:
            hidden.append(text[0])
            return f"{name}{len(hidden) - 1}z"

        pattern = any_of(tokens)
        return lambda text: pattern.sub(take, text)


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for pair in value.items() for part in pair for text in _strings(part)]
    return [text for part in value for text in _strings(part)] if isinstance(value, list | tuple) else []


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    """A value of JSON with all texts in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(name): _changed(inner, change) for name, inner in value.items()}
    return [_changed(part, change) for part in value] if isinstance(value, list | tuple) else value
