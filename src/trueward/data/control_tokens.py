"""Which tokens of a tokenizer no text may become.

A control token is a special one (what opens, ends or pads, and the others), or one that the chat template writes around
messages. In an answer, where a model writes it, a special pair of tags (`<think>`, `</think>`) is no control token.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import ref

from trueward.records import ASSISTANT

if TYPE_CHECKING:  # this room is read without torch and transformers
    from transformers import PreTrainedTokenizerBase

MARK = re.compile(r"[<\[{｜【].+[>\]}｜】]", re.DOTALL)
"""What a token that isn't flagged as special looks like if it's a template's mark: no line's end, run of spaces or word."""
TAG = re.compile(r"([<\[])/?([^<>\[\]|｜]+)([>\]])")
OTHERS = frozenset(
    ("s", "inst", "system_prompt", "available_tools", "tool_results", "tool_response", "user", "system", "human")
)
"""Tags around what others than the model write, wherever they are used."""
GIBBERISH = "\ue0f7\ue0f8"  # private characters: a text that no tokenizer has a word for
USER = [{"role": "user", "content": "x"}]


@dataclass(frozen=True)
class Talk:
    """A conversation as templates take it: messages, and the functions that are offered to the model."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()


class UnreadableError(ValueError):
    """A row that a model's tokenizer or template can't read as what it is. The message says why, and not where."""


class ControlTokens:
    """Those of one tokenizer, which it doesn't keep alive."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = ref(tokenizer)

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Whose tokens they are."""
        tokenizer = self._tokenizer()
        assert tokenizer is not None
        return tokenizer

    def ids(self, texts: Sequence[str], **more: bool) -> list[list[int]]:
        """What the tokenizer makes of texts by itself, with nothing around them. more: how it's called, beside the texts."""
        if not texts:
            return []
        return list(self.tokenizer(list(texts), add_special_tokens=False, verbose=False, **more)["input_ids"])

    def render(self, talk: Talk, opened: bool) -> str:
        """What the template makes of a conversation. opened: an answer is what comes next."""
        more: dict[str, Any] = {"tools": list(talk.tools)} if talk.tools else {}
        messages = [dict(message) for message in talk.messages]
        return str(self.tokenizer.apply_chat_template(messages, add_generation_prompt=opened, tokenize=False, **more))

    @cached_property
    def all(self) -> dict[str, int]:
        """Text and id of each control token."""
        added = self.tokenizer.added_tokens_decoder
        special = {str(t): self.tokenizer.convert_tokens_to_ids(str(t)) for t in self.tokenizer.all_special_tokens}
        special |= {token.content: number for number, token in added.items() if token.special}
        written = self._tried(USER, True) or str(self.tokenizer.chat_template or "")
        marks = {t.content: number for number, t in added.items() if MARK.fullmatch(t.content.strip())}
        return special | {text: number for text, number in marks.items() if text in written}

    def _tried(self, messages: list[dict[str, Any]], opened: bool) -> str:
        """What the template makes of messages; nothing if it refuses them, or there's none."""
        if not self.tokenizer.chat_template:
            return ""
        try:
            return self.render(Talk(messages), opened)
        except Exception:  # whatever somebody's template raises: where a real conversation is read it's raised again
            return ""

    @cached_property
    def tags(self) -> dict[str, int]:
        """The control tokens that an answer may hold: `<x>` and `</x>`, both of them tokens, where the template writes
        neither around a user's message, and neither opens, ends or pads."""
        own = {text for text in self.tokenizer.special_tokens_map.values() if isinstance(text, str)}
        around = self._tried(USER, False)
        known = {token.content for token in self.tokenizer.added_tokens_decoder.values()}
        tags = {}
        for text, number in self.all.items():
            if (tag := TAG.fullmatch(text)) is not None and tag[2].casefold() not in OTHERS:
                both = {f"{tag[1]}{slash}{tag[2]}{tag[3]}" for slash in ("", "/")}
                if both <= known - own and not any(each in around for each in both):
                    tags[text] = number
        return tags

    @cached_property
    def unknown(self) -> frozenset[int]:
        """The control tokens that the tokenizer makes of a text that it knows nothing of. Not all that are called unknown:
        with bytes for tokens nothing is."""
        (ids,) = self.ids([GIBBERISH])
        return frozenset(ids) & frozenset(self.all.values())

    @cached_property
    def forbidden(self) -> frozenset[int]:
        """Ids that no text may give."""
        return frozenset(self.all.values()) - self.unknown

    @cached_property
    def forbidden_in_answers(self) -> frozenset[int]:
        """Ids that no answer may give."""
        return self.forbidden - frozenset(self.tags.values())

    @cached_property
    def around(self) -> int:
        """How many control tokens the tokenizer puts around a plain text."""
        return self.count(self.tokenizer(GIBBERISH, verbose=False)["input_ids"])

    def count(self, ids: Iterable[int]) -> int:
        """How many of the ids no text may give."""
        return sum(i in self.forbidden for i in ids)

    @cached_property
    def _texts(self) -> re.Pattern[str]:
        return any_of({_folded(text) for text in self.all})

    def made_by(self, texts: Iterable[str], forbidden: frozenset[int], **more: bool) -> bool:
        """Whether the tokenizer makes one of these ids of one of the texts. more: how it's called, beside the text."""
        doubtful = [text for text in texts if self._texts.search(_folded(text))]
        return any(not forbidden.isdisjoint(ids) for ids in self.ids(doubtful, **more))

    def spaced(self, text: str) -> str:
        """A text with a space behind the first character of each control token's, where it can't be text otherwise."""
        return any_of(self.all).sub(lambda match: f"{match[0][:1]} {match[0][1:]}", text)

    @cached_property
    def _end(self) -> re.Pattern[str]:
        ends = {str(self.tokenizer.eos_token)} if self.tokenizer.eos_token else set()
        answered = [*USER, {"role": ASSISTANT, "content": GIBBERISH}]
        if written := any_of(self.all).search(self._tried(answered, False).partition(GIBBERISH)[2]):
            ends.add(written[0])
        return re.compile(rf"(?:(?:{any_of(ends).pattern})\s*)+$")

    def without_end(self, text: str) -> str:
        """An answer without the text of its end, if somebody has left that in it."""
        return self._end.sub("", text)


def any_of(texts: Iterable[str]) -> re.Pattern[str]:
    """One of the texts, the longest that fits; nothing if there are none."""
    return re.compile("|".join(map(re.escape, sorted(texts, key=lambda t: (-len(t), t)))) or r"(?!)")


def _folded(text: str) -> str:
    """As the least particular of tokenizers would take it."""
    return unicodedata.normalize("NFKC", text).casefold()
