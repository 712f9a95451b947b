"""The one way from records to token ids: every model that reads a completion reads it through here.

A policy's rollout, a reward model's training and its scoring all take the same text the same way, so a reward model
sees in PPO exactly the tokens that it saw in training: chat format, end-of-sequence and its absence included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from trueward.data.conversations import refusals
from trueward.records import Completion, Prompt

if TYPE_CHECKING:  # this room is read without torch and transformers
    from transformers import PreTrainedTokenizerBase

    from trueward.batches import Tokens

# Prompts come back at every epoch and every evaluation, so their token ids are remembered, by tokenizer and text.
_remembered: WeakKeyDictionary[PreTrainedTokenizerBase, dict[str, list[int]]] = WeakKeyDictionary()


class Collator:
    """Text to token ids for one tokenizer and a model's context length."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, context: int) -> None:
        self.tokenizer, self.context = tokenizer, context
        self.end: int = tokenizer.eos_token_id
        self.pad: int = tokenizer.pad_token_id
        self.known = _remembered.setdefault(tokenizer, {})

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Text with the tokenizer's own opening tokens, or messages through its chat template.

        `ValueError` for messages without a template, or that the template refuses (`TemplateRefusalError`).
        """
        if prompt.messages:
            if not self.tokenizer.chat_template:
                raise ValueError(
                    "the prompts are conversations, but the model's tokenizer has no chat template; give plain text prompts"
                )
            messages = [m.model_dump() for m in prompt.messages]
            with refusals(prompt):
                text = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            return self._ids([text])[0]
        if prompt.text not in self.known:
            self.known[prompt.text] = self._opened(prompt.text)
        return self.known[prompt.text]

    def _opened(self, text: str) -> list[int]:
        ids = list(self.tokenizer(text, verbose=False)["input_ids"])
        while ids and ids[-1] == self.end and len(ids) > 1:  # some tokenizers close what they encode
            ids.pop()
        if not ids:  # a tokenizer that opens with nothing, and an empty text
            ids = [self.end]
        return ids

    def response_ids(self, text: str, finished: bool) -> list[int]:
        """The response's tokens; with end-of-sequence if it is finished. A truncated, empty response has none."""
        return self.responses_ids([(text, finished)])[0]

    def responses_ids(self, responses: Iterable[tuple[str, bool]]) -> list[list[int]]:
        """`response_ids` of several responses, (text, finished) each; one call is several times faster."""
        both = list(responses)
        every = self._ids([text for text, _ in both])
        return [ids + ([self.end] if finished else []) for ids, (_, finished) in zip(every, both, strict=True)]

    def _ids(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        return list(self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"])

    def completion(self, prompt: Prompt, ids: Sequence[int]) -> Completion:
        """A policy's response as text, without its end-of-sequence and other special tokens."""
        finished = bool(ids) and ids[-1] == self.end
        text = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Completion(prompt=prompt, response=text, finished=finished)

    def completions(self, prompts: Sequence[Prompt], ids: Sequence[Sequence[int]]) -> list[Completion]:
        """`completion` of several responses; one call is several times faster."""
        if not self.tokenizer.is_fast:
            return [self.completion(p, i) for p, i in zip(prompts, ids, strict=True)]
        texts = self.tokenizer.backend_tokenizer.decode_batch(ids, skip_special_tokens=True)
        return [
            Completion(prompt=prompt, response=text, finished=bool(i) and i[-1] == self.end)
            for prompt, text, i in zip(prompts, texts, ids, strict=True)
        ]

    def pairs(self, completions: Sequence[Completion]) -> list[tuple[list[int], list[int]]]:
        """Prompt and response ids of each completion, the response truncated to the context.

        `ValueError` if a prompt alone is longer than the context.
        """
        prompts: dict[str, list[int]] = {}
        out = []
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
