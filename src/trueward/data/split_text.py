"""Text that looks like control tokens, as ids of text."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from functools import cached_property

from tokenizers import AddedToken, Tokenizer

from trueward.data.control_tokens import ControlTokens, UnreadableError, any_of

Part = tuple[bool, str]
"""Whether it is a token, and its text: pieces of what is encoded, side by side."""


class UnsplittableError(UnreadableError):
    """A text holds a control token's, and the tokenizer makes that token of it in any case."""


def parts(text: str, tokens: Mapping[str, int]) -> list[Part]:
    """A text cut into these tokens and what stands between them.

    >>> parts("a<t>b", {"<t>": 1})
    [(False, 'a'), (True, '<t>'), (False, 'b')]
    """
    pieces = re.split(f"({any_of(tokens).pattern})", text)
    return [(place % 2 == 1, piece) for place, piece in enumerate(pieces) if piece]


class Splitter:
    """Encodes parts: those that are tokens as these tokens, all others as the text that they are."""

    def __init__(self, control: ControlTokens) -> None:
        self.control = control

    def ids(self, pieces: Sequence[Part], forbidden: frozenset[int], around: bool = False) -> list[int]:
        """The ids; `around`: with what the tokenizer puts around a text. `UnsplittableError` if text gives a forbidden id."""
        expected = sum(self.control.all[text] in forbidden for token, text in pieces if token)
        expected += self.control.around if around else 0
        readable: list[int] | None = None
        for way in (self._whole, self._broken) if self.control.tokenizer.is_fast else (self._piecewise,):
            ids = way(pieces, around)
            if sum(i in forbidden for i in ids) <= expected:
                if self.control.unknown.isdisjoint(ids):
                    return ids
                readable = ids  # a word beside the token's text may be lost with it; the next way keeps it
        if readable is None:
            pattern = any_of(self.control.all)
            names = sorted({name for token, text in pieces if not token for name in pattern.findall(text)})
            raise UnsplittableError(
                f"it holds {', '.join(names) or 'a control token'}, which this tokenizer can't read as text"
            )
        return readable

    @cached_property
    def _core(self) -> tuple[Tokenizer, str]:
        """A copy of the tokenizer to which special tokens are text. Others stand for them, called by this prefix and an id;
        nobody can guess it."""
        tokenizer = self.control.tokenizer
        table = json.loads(tokenizer.backend_tokenizer.to_str())
        for token in table["added_tokens"]:
            token["special"] = token["special"] or token["content"] in self.control.all
        core = Tokenizer.from_str(json.dumps(table))
        core.no_padding()
        core.no_truncation()
        core.encode_special_tokens = True
        prefix = f"\ue0f5{secrets.token_hex(8)}\ue0f6"
        added = {token.content: token for token in tokenizer.added_tokens_decoder.values()}
        alike = ("lstrip", "rstrip", "single_word", "normalized")
        stand_ins = [AddedToken(f"{prefix};", normalized=False, special=False)]
        for text, number in self.control.all.items():
            flags = {name: getattr(added[text], name) for name in alike} if text in added else {"normalized": False}
            stand_ins.append(AddedToken(f"{prefix}{number};", special=False, **flags))
        core.add_tokens(stand_ins)
        return core, prefix

    def _whole(self, pieces: Sequence[Part], around: bool) -> list[int]:
        """As the tokenizer splits all of it where special tokens are none."""
        return self._read("".join(self._stand_in(text) if token else text for token, text in pieces), around)

    def _broken(self, pieces: Sequence[Part], around: bool) -> list[int]:
        """Cut around each control token's text and behind its first character: for vocabularies that have it as a word."""
        pattern, cut = any_of(self.control.all), f"{self._core[1]};"
        text = ""
        for token, piece in pieces:
            cut_up = pattern.sub(lambda match: f"{cut}{match[0][:1]}{cut}{match[0][1:]}{cut}", piece)
            text += self._stand_in(piece) if token else cut_up
        return self._read(text, around)

    def _stand_in(self, token: str) -> str:
        return f"{self._core[1]}{self.control.all[token]};"

    def _read(self, text: str, around: bool) -> list[int]:
        core, prefix = self._core
        numbers = {core.token_to_id(f"{prefix}{number};"): number for number in self.control.all.values()}
        cut = core.token_to_id(f"{prefix};")
        return [numbers.get(i, i) for i in core.encode(text, add_special_tokens=around).ids if i != cut]

    def _piecewise(self, pieces: Sequence[Part], around: bool) -> list[int]:
        """Piece by piece, as a tokenizer written in Python reads what stands between added tokens."""
        tokenizer, joined = self.control.tokenizer, list[Part]()
        for token, text in pieces:
            if joined and not token and not joined[-1][0]:
                joined[-1] = (False, joined[-1][1] + text)
            else:
                joined.append((token, text))
        ids: list[int] = []
        for token, text in joined:
            split = [text] if token else tokenizer.tokenize(text, split_special_tokens=True)
            ids += tokenizer.convert_tokens_to_ids(split)
        return list(tokenizer.build_inputs_with_special_tokens(ids)) if around else ids
