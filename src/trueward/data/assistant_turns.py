"""What SFT learns from a conversation: each of the assistant's turns, with the ids that it would be sampled with.

A turn is its prompt, which is the template's of what came before it, and the ids of what the assistant wrote with its end.
Where the next turn's prompt begins with both, as in most templates, they are one sequence; where a template writes the history
another way (it leaves out thoughts, or moves the system's message), each turn is a sequence by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from trueward.data.collate import Collator, talk
from trueward.data.control_tokens import Talk
from trueward.records import ASSISTANT, Completion, Message, Prompt


@dataclass
class TrainedSequence:
    """A prompt's ids, what follows it, and which of these tokens are learned."""

    prompt: list[int]
    response: list[int] = field(default_factory=list)
    learned: list[bool] = field(default_factory=list)

    def extend(self, ids: Sequence[int], learned: bool) -> None:
        """Add tokens at the end."""
        self.response += ids
        self.learned += [learned] * len(ids)

    def begins(self, prompt: Sequence[int]) -> bool:
        """Whether a turn's prompt goes on from here."""
        so_far = self.prompt + self.response
        return list(prompt[: len(so_far)]) == so_far


def sequences(collator: Collator, demonstrations: Sequence[Completion], every: bool) -> list[list[TrainedSequence]]:
    """The sequences of each demonstration, at least one. every: all of the assistant's turns are learned, not the last."""
    answers = collator.pairs(demonstrations)
    return [_sequences(collator, d, last, every) for d, last in zip(demonstrations, answers, strict=True)]


def _sequences(
    collator: Collator, demonstration: Completion, last: tuple[list[int], list[int]], every: bool
) -> list[TrainedSequence]:
    earlier = _earlier(collator, demonstration.prompt) if every else []
    out: list[TrainedSequence] = []
    for prompt, response in [*earlier, last]:
        if not out or not out[-1].begins(prompt):
            out.append(TrainedSequence(prompt))
        else:
            out[-1].extend(prompt[len(out[-1].prompt) + len(out[-1].response) :], False)
        out[-1].extend(response, True)
    return out


def _earlier(collator: Collator, prompt: Prompt) -> list[tuple[list[int], list[int]]]:
    """Prompt and response of the assistant's turns in a prompt; one that nobody's words precede is no answer."""
    pairs = []
    for place, message in enumerate(prompt.messages):
        if message.role == ASSISTANT and place:
            before = prompt.model_copy(update={"messages": prompt.messages[:place]})
            ids = collator.prompt_ids(before)
            response = _response(collator, before, message, ids)
            if response and len(ids) + len(response) <= collator.context:
                pairs.append((ids, response))
    return pairs


def _response(collator: Collator, before: Prompt, message: Message, ids: list[int]) -> list[int]:
    """What the assistant wrote. Calls are written as the template does; none if that can't be told from what's around it."""
    if not message.tool_calls:
        return collator.response_ids(message.content, True) if message.content.strip() else []
    asked = talk(before)
    whole = collator.encoder.conversation(Talk([*asked.messages, message.model_dump(mode="json")], asked.tools), None)
    rest = whole[len(ids) :]
    if whole[: len(ids)] != ids or collator.end not in rest:
        return []
    return rest[: rest.index(collator.end) + 1]
