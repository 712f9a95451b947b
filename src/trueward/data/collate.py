"""The one way from records to token ids: every model that reads a completion reads it through here.

A policy's rollout, a reward model's training and its scoring all take the same text the same way, so a reward model
sees in PPO exactly the tokens that it saw in training: chat format, end-of-sequence and its absence included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from trueward.data.control_tokens import Talk
from trueward.data.conversations import refusals
from trueward.data.encoder import Encoder, encoder
from trueward.data.ends import ends
from trueward.data.tool_calls import require_written
from trueward.records import Completion, Message, Prompt

if TYPE_CHECKING:  # this room is read without torch and transformers
    from transformers import PreTrainedTokenizerBase

    from trueward.batches import Tokens

# Prompts come back at every epoch and every evaluation, so their token ids are remembered, by tokenizer and text.
_remembered: WeakKeyDictionary[PreTrainedTokenizerBase, dict[str, list[int]]] = WeakKeyDictionary()


class Collator:
    """Text to token ids for one tokenizer and a model's context length."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, context: int) -> None:
        self.tokenizer, self.context = tokenizer, context
        self.ends = ends(tokenizer)
        self.end = self.ends[0]
        self.pad: int = tokenizer.pad_token_id
        self.known = _remembered.setdefault(tokenizer, {})

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Text with the tokenizer's own opening tokens, or messages through its chat template.

        `ValueError` for messages without a template; `TemplateRefusalError` for those that it refuses; `UnreadableError` for
        the text of a control token that the tokenizer can't read as text, and for calls that the template leaves out.
        """
        if prompt.messages:
            if not self.tokenizer.chat_template:
                raise ValueError(
                    "the prompts are conversations, but the model's tokenizer has no chat template; give plain text prompts"
                )
            with refusals(prompt):
                asked = talk(prompt)
                require_written(self.encoder.control, asked)
                return self.encoder.conversation(asked)
        if prompt.text not in self.known:
            self.known[prompt.text] = self._opened(prompt.text)
        return self.known[prompt.text]

    def remember(self, prompts: Iterable[Prompt]) -> None:
        """Reads the plain prompts that are new together, which is several times faster than one by one."""
        new = list(dict.fromkeys(p.text for p in prompts if not p.messages and p.text not in self.known))
        for text, ids in zip(new, self.encoder.plains(new), strict=True):
            if ids is not None:
                self.known[text] = self._closed(ids)

    @property
    def encoder(self) -> Encoder:
        """The tokenizer's way from text to ids."""
        return encoder(self.tokenizer)

    def _opened(self, text: str) -> list[int]:
        return self._closed(self.encoder.plain(text))

    def _closed(self, ids: list[int]) -> list[int]:
        """A plain prompt's ids as a model goes on from them."""
        own: int = self.tokenizer.eos_token_id
        while ids and ids[-1] == own and len(ids) > 1:  # some tokenizers close what they encode
            ids.pop()
        if not ids:  # a tokenizer that opens with nothing, and an empty text
            ids = [own]
        return ids

    def response_ids(self, text: str, finished: bool, strict: bool = False) -> list[int]:
        """The response's tokens; with end-of-sequence if it is finished. A truncated, empty response has none.

        strict: `UnsplittableError` for the text of a control token that the tokenizer can't read as text; else it's left out.
        """
        return self.responses_ids([(text, finished)], strict)[0]

    def responses_ids(self, responses: Iterable[tuple[str, bool]], strict: bool = False) -> list[list[int]]:
        """`response_ids` of several responses, (text, finished) each; one call is several times faster."""
        both = list(responses)
        without_end = self.encoder.control.without_end
        every = self.encoder.answers([without_end(text) if finished else text for text, finished in both], strict)
        return [ids + ([self.end] if finished else []) for ids, (_, finished) in zip(every, both, strict=True)]

    def completion(self, prompt: Prompt, ids: Sequence[int]) -> Completion:
        """A policy's response as text, without end-of-sequence and padding; other special tokens stand in it."""
        return self.completions([prompt], [ids])[0]

    def completions(self, prompts: Sequence[Prompt], ids: Sequence[Sequence[int]]) -> list[Completion]:
        """`completion` of several responses; one call is several times faster."""
        return [
            Completion(prompt=prompt, response=text, finished=self._is_finished(i))
            for prompt, text, i in zip(prompts, texts(self.tokenizer, ids), ids, strict=True)
        ]

    def _is_finished(self, ids: Sequence[int]) -> bool:
        return bool(ids) and ids[-1] in self.ends

    def pairs(self, completions: Sequence[Completion]) -> list[tuple[list[int], list[int]]]:
        """Prompt and response ids of each completion, the response truncated to the context.

        `ValueError` if a prompt alone is longer than the context.
        """
        prompts: dict[str, list[int]] = {}
        out = []
        self.remember(c.prompt for c in completions)
        responses = self.responses_ids((c.response, c.finished) for c in completions)
        for c, response in zip(completions, responses, strict=True):
            key = c.prompt.id if c.prompt.messages else c.prompt.text
            if key not in prompts:
                prompts[key] = self.prompt_ids(c.prompt)
                if len(prompts[key]) >= self.context:
                    raise ValueError(
                        f"a prompt of {len(prompts[key])} tokens leaves no room in a context of {self.context}: "
                        f"{str(c.prompt)[:60]!r}"
                    )
            out.append((prompts[key], response[: max(0, self.context - len(prompts[key]))]))
        return out

    def tokens(self, completions: Sequence[Completion]) -> Tokens:
        """Prompt and response ids of each completion as one batch, padded on the right. `ValueError` as `pairs`."""
        from trueward.batches import Tokens

        return Tokens.collate(self.pairs(completions), self.pad)


def talk(prompt: Prompt) -> Talk:
    """The prompt's messages, or its text as the user's, as chat templates take them."""
    messages = prompt.messages or (Message(role="user", content=prompt.text),)
    return Talk([message.model_dump(mode="json") for message in messages], prompt.tools)


def texts(tokenizer: PreTrainedTokenizerBase, ids: Sequence[Sequence[int]]) -> list[str]:
    """What a policy wrote as people and scorers read it: all of its tokens but its ends and padding.

    Without a chat template the opening and the unknown token are left out too: these two stand for no text. With one they may
    be its marks, and so may an opening token that padding has borrowed.
    """
    silent = {*ends(tokenizer), tokenizer.pad_token_id}
    if not tokenizer.chat_template:
        silent |= {tokenizer.bos_token_id, tokenizer.unk_token_id}
    elif tokenizer.pad_token_id == tokenizer.bos_token_id:
        silent = set(ends(tokenizer))
    written = [[i for i in row if i not in silent] for row in ids]
    if tokenizer.is_fast:
        return list(tokenizer.backend_tokenizer.decode_batch(written, skip_special_tokens=False))
    return [str(tokenizer.decode(row, clean_up_tokenization_spaces=False)) for row in written]
