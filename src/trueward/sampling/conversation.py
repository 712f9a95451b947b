"""A conversation with a model, turn by turn: its history, and the history's left end when the context is full."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from trueward.data.collate import Collator
from trueward.data.conversations import TemplateRefusalError
from trueward.models.network import Network
from trueward.records import Completion, Message, Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams
from trueward.sampling.stream import stream


@dataclass
class Conversation:
    """What was written so far, and the model that answers.

    With a chat template a turn is a message and its answer. Without one everything is one text that the model goes on
    with: what is written, a space, what was answered, a space, what is written next.
    """

    network: Network
    params: SamplingParams
    seed: int = 0
    system: str = ""
    turns: list[tuple[str, str]] = field(default_factory=list)
    """(written, answered) of each turn that the model still sees, the oldest first."""
    drawn: int = 0
    """Answers so far: each is drawn with numbers of its own."""
    finished: bool = True
    """Whether the last answer ended by itself, and was not cut."""

    def __post_init__(self) -> None:
        self.collator = Collator(self.network.tokenizer, self.network.context)
        if self.system and not self.has_template:
            raise ValueError("the model's tokenizer has no chat template, so there is no place for a system message")
        if self.has_template:
            self._ids([("?", "")])  # a template that refuses the system message refuses it now

    @property
    def has_template(self) -> bool:
        """Whether it is a conversation; if not, a text that is continued."""
        return bool(self.network.tokenizer.chat_template)

    def reset(self) -> None:
        """Forget every turn."""
        self.turns.clear()

    def make_room(self, text: str) -> int:
        """Leave out the oldest turns until `text` and an answer fit into the context; how many went.

        Room is kept for `max_new_tokens`, or for half the context if that is less. `ValueError` if `text` alone doesn't fit;
        then nothing is left out.
        """
        context = self.network.context
        room = min(self.params.max_new_tokens, context // 2)
        for left_out in range(len(self.turns) + 1):
            if len(self._ids([*self.turns[left_out:], (text, "")])) + room <= context:
                del self.turns[:left_out]
                return left_out
        alone = len(self._ids([(text, "")]))
        raise ValueError(
            f"{alone} tokens don't fit into a context of {context} with {room} left for the answer; write less"
        )

    def answer(self, text: str) -> Iterator[str]:
        """The answer to `text` in pieces, as it is drawn; when all are taken the turn is part of the history.

        The pieces are the answer as `Collator` reads it. A turn that is broken off leaves no trace.
        """
        draws = Draws.purpose(self.seed, "chat", self.drawn)
        self.drawn += 1
        tokens: list[int] = []
        given = ""
        for token in stream(self.network, self._ids([*self.turns, (text, "")]), self.params, draws):
            tokens.append(token)
            whole = self._completion(tokens).response
            # a character of several tokens is not whole yet, and some tokenizers rewrite the last piece
            if whole.startswith(given) and not whole.endswith("\ufffd"):
                if piece := whole[len(given) :]:
                    yield piece
                given = whole
        complete = self._completion(tokens)
        if complete.response != given and complete.response.startswith(given):
            yield complete.response[len(given) :]
        self.finished = complete.finished
        self.turns.append((text, complete.response))

    def _completion(self, tokens: list[int]) -> Completion:
        return self.collator.completion(Prompt(text="-"), tokens)

    def _ids(self, turns: list[tuple[str, str]]) -> list[int]:
        """The prompt's ids, the answer to the last of these turns being what is missing."""
        if not self.has_template:
            return self.collator.prompt_ids(Prompt(text=_joined([part for turn in turns for part in turn][:-1])))
        messages = [Message(role="system", content=self.system)] if self.system else []
        for written, answered in turns:
            messages += [Message(role="user", content=written), Message(role="assistant", content=answered)]
        try:
            return self.collator.prompt_ids(Prompt(messages=tuple(messages[:-1])))
        except TemplateRefusalError as error:
            raise ValueError(f"the model's chat template refuses this conversation: {error.reason}") from None


def _joined(parts: list[str]) -> str:
    """One text, with a space where two parts meet that have none.

    >>> _joined(["the film", " was fine .", "but"])
    'the film was fine . but'
    """
    text = ""
    for part in parts:
        meets = text and part and not text[-1].isspace() and not part[0].isspace()
        text += (" " if meets else "") + part
    return text
