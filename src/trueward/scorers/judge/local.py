"""A judge on this machine: a causal language model, read by the log-probs of its choices. No text is generated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from trueward.batches import Tokens, micro_batches
from trueward.data.collate import Collator
from trueward.losses.logprobs import at_temperature
from trueward.models import heads
from trueward.models.network import Network
from trueward.records import Message, Prompt
from trueward.scorers.judge.question import JudgeQuestion, Reply
from trueward.token_budget import Budget, within_memory


class Local:
    """Log P(choice | question), summed over the choice's tokens.

    Questions go through the tokenizer's chat template if it has one; otherwise they are plain text, with a space before each
    choice.
    """

    def __init__(self, network: Network, micro_batch_tokens: Budget = 4096) -> None:
        """micro_batch_tokens: the most tokens in one forward pass."""
        self.network, self.micro_batch_tokens = network, micro_batch_tokens
        self.collator = Collator(network.tokenizer, network.context)
        self.chats = bool(network.tokenizer.chat_template)

    def ask(
        self,
        questions: Sequence[JudgeQuestion],
        most_failed: int = 0,
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> list[Reply]:
        """As `Backend`. A question that is too long for the model's context gets a reply with `wrong` set.

        `ValueError` if the tokenizer does not know a choice.
        """
        rows: list[tuple[list[int], list[int]]] = []
        places: list[list[int]] = []
        prefixes: list[list[tuple[int, int]]] = []
        wrong: dict[int, str] = {}
        known: dict[tuple[str, ...], list[list[int]]] = {}
        for i, question in enumerate(questions):
            prompt = self.collator.prompt_ids(self._prompt(question.text))
            if question.choices not in known:
                known[question.choices] = [self._choice(c) for c in question.choices]
            answers = known[question.choices]
            places.append([])
            prefixes.append(_prefixes(answers))
            if (length := len(prompt) + max(map(len, answers))) > self.network.context:
                wrong[i] = f"a question of {length} tokens, more than the judge's context of {self.network.context}"
                continue
            for answer in answers:
                places[i].append(len(rows))
                rows.append((prompt, answer))
        choice_logps = self._logprobs(rows, lambda done: on_progress(done * len(questions) // len(rows)))
        replies = []
        for i in range(len(questions)):
            if i in wrong:
                replies.append(Reply(wrong=wrong[i]))
                continue
            logps = choice_logps[places[i]]
            for short, long in prefixes[i]:  # "10" begins with "1", whose probability is that of "1" and no more
                rest = -torch.expm1((logps[long] - logps[short]).clamp(max=-1e-12))
                logps[short] = logps[short] + torch.log(rest)
            replies.append(Reply(logps=tuple(logps.tolist())))
        return replies

    def _prompt(self, text: str) -> Prompt:
        return Prompt(messages=(Message(role="user", content=text),)) if self.chats else Prompt(text=text)

    def _choice(self, choice: str) -> list[int]:
        text = choice if self.chats or choice[:1].isspace() else f" {choice}"
        if not (ids := self.collator.response_ids(text, finished=False)):
            raise ValueError(f"judge: the judge's tokenizer has no tokens for the choice {choice!r}")
        if ids == [self.network.tokenizer.unk_token_id]:
            raise ValueError(f"judge: the judge's tokenizer does not know the choice {choice!r}")
        return ids

    @torch.no_grad()
    def _logprobs(
        self, rows: Sequence[tuple[list[int], list[int]]], on_progress: Callable[[int], None]
    ) -> torch.Tensor:
        """Σ log P of each row's answer, float64 [rows]. Rows that differ in the last token alone share a forward pass."""
        return within_memory(self.micro_batch_tokens, partial(self._read, rows, on_progress))

    def _read(self, rows: Sequence[tuple[list[int], list[int]]], on_progress: Callable[[int], None]) -> torch.Tensor:
        """One attempt at that."""
        out = torch.zeros(len(rows), dtype=torch.float64)
        alike: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
        for i, (prompt, answer) in enumerate(rows):
            alike.setdefault((tuple(prompt), tuple(answer[:-1])), []).append(i)
        passes = list(alike.values())
        pairs = [rows[own[0]] for own in passes]
        lengths = torch.tensor([len(prompt) + len(answer) for prompt, answer in pairs])
        done = 0
        for group in micro_batches(lengths, self.micro_batch_tokens) if passes else []:
            tokens = Tokens.collate([pairs[g] for g in group.tolist()], self.collator.pad).to(self.network.device)
            logits = heads.response_logits(self.network.model, tokens)
            logp = at_temperature(logits, 1.0).log_softmax(-1).cpu().double()  # MPS has no float64
            for g, part in zip(group.tolist(), logp.split(tokens.host.response_lengths.tolist()), strict=True):
                for i in passes[g]:
                    ids = torch.tensor(rows[i][1]).unsqueeze(1)
                    out[i] = part.gather(1, ids).sum()
                done += len(passes[g])
            on_progress(done)
        return out


def _prefixes(answers: Sequence[list[int]]) -> list[tuple[int, int]]:
    """Pairs (i, j) of choices where i's tokens begin j's."""
    return [
        (i, j)
        for i, one in enumerate(answers)
        for j, other in enumerate(answers)
        if len(one) < len(other) and other[: len(one)] == one
    ]
