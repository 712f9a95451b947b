"""A prompt as somebody asks it: as the user's message, where the model has a chat template."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trueward.records import Message, Prompt

if TYPE_CHECKING:  # this room is read without torch and transformers
    from transformers import PreTrainedTokenizerBase

SYSTEM = "system"


def asked(prompt: Prompt, tokenizer: PreTrainedTokenizerBase, system: str = "", plain: bool = False) -> Prompt:
    """The prompt that the model is given. system: a system message in front. plain: text stays text that is continued.

    `ValueError` for a system message or messages without a chat template, or where the prompt begins with one.
    """
    if plain or not tokenizer.chat_template:
        why = "a plain prompt is a text that is continued" if plain else "the model's tokenizer has no chat template"
        if system:
            raise ValueError(f"{why}, so there is no place for a system message")
        if prompt.messages:
            raise ValueError(f"{why}, so there is no place for messages; give text")
        return prompt
    messages = prompt.messages or (Message(role="user", content=prompt.text),)
    if system:
        if messages[0].role == SYSTEM:
            raise ValueError("expected a system message, got two: the conversation begins with one")
        messages = (Message(role=SYSTEM, content=system), *messages)
    return prompt.model_copy(update={"text": "", "messages": messages})
