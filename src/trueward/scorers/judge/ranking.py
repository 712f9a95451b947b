"""A judge that ranks several answers to a prompt in one call, asked once in each of two opposite orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trueward.records import Completion, response_id
from trueward.scorers.judge.llm_judge import LlmJudge
from trueward.scorers.judge.question import JudgeQuestion, Reply, fill
from trueward.seeds import seed_for

LETTERS = "ABCDEFGHIJ"
RANK = """Rank answers to a prompt by this principle: {principle}

Prompt:
{prompt}

{answers}

Rank all of them by the principle, from the best to the worst."""
AT_ONCE = " Reply with the letters alone, as in {form}.\n\nAnswer:"
REASONS = " Think it over in a few sentences. Then end with a line of its own, “Answer: {form}”, with all letters."


@dataclass(frozen=True)
class Ranked:
    """The judgement of one group: each answer's place from 0, the best, mean over orders and principles, [k]; or why not."""

    places: np.ndarray | None
    wins: np.ndarray | None = None
    """How often each answer was ranked before each other one, [k, k], from 0 to 1."""
    wrong: str = ""
    cost: float = 0.0
    """Of all its calls, in the currency of the prices."""


def rank(judge: LlmJudge, groups: Sequence[Sequence[Completion]]) -> list[Ranked]:
    """One judgement for each group of two to ten different answers to one prompt.

    The first order is drawn from the texts and the seed, the second is its reverse: a liking for a place falls on both ends.
    """
    questions: list[JudgeQuestion] = []
    orders: list[list[int]] = []
    spans: list[int] = []
    for group in groups:
        names = [response_id(c.prompt, c.response) for c in group]
        drawn = sorted(range(len(group)), key=lambda i: seed_for(judge.seed, "ranked", names[i], *sorted(names)))
        for principle in judge.principles(*group):
            for order in (drawn, drawn[::-1]):
                questions.append(_question(judge, principle, [group[i] for i in order]))
                orders.append(order)
        spans.append(len(questions))
    replies = judge.ask(questions, len(groups))
    starts = [0, *spans[:-1]]
    found = [_ranked(replies[a:b], orders[a:b]) for a, b in zip(starts, spans, strict=True)]
    judge.note_failures([r.wrong for r in found])
    return found


def _question(judge: LlmJudge, principle: str, group: Sequence[Completion]) -> JudgeQuestion:
    letters = LETTERS[: len(group)]
    answers = "\n\n".join(f"Answer {letter}:\n{c.response}" for letter, c in zip(letters, group, strict=True))
    values = {"principle": principle, "prompt": str(group[0].prompt), "answers": answers}
    ending = fill(REASONS if judge.settings.reasons else AT_ONCE, {"form": " > ".join(reversed(letters))})
    return JudgeQuestion(fill(RANK, values) + ending, tuple(letters), ranks=True)


def _ranked(replies: Sequence[Reply], orders: Sequence[Sequence[int]]) -> Ranked:
    cost = sum(r.cost for r in replies)
    if wrong := next((r.wrong for r in replies if r.wrong), ""):
        return Ranked(None, wrong=wrong, cost=cost)
    k = len(orders[0])
    places = np.zeros(k)
    wins = np.zeros((k, k))
    for reply, order in zip(replies, orders, strict=True):
        assert reply.ranking is not None
        mine = np.empty(k)
        mine[[order[shown] for shown in reply.ranking]] = np.arange(k)
        places += mine / len(replies)
        wins += (mine[:, None] < mine[None, :]) / len(replies)
    return Ranked(places, wins, cost=cost)
