"""A judge as a scorer that sets each answer beside the reference policy's own answers to the same prompt.

A rating asks a judge for a number, and most answers get the same two or three. Beside another answer the question is which is
better, and the score has a zero that means something: as good as the reference policy's answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from trueward.records import Completion, Prompt, Score
from trueward.scorers.judge.llm_judge import LlmJudge
from trueward.scorers.judge.ranking import LETTERS, rank
from trueward.scorers.judge.rating import FAILED

Refer = Callable[[Sequence[Prompt]], Sequence[Completion]]
"""The reference policy's answers to prompts, as many to each, those to one prompt in a row."""
Judged = tuple[float | None, float, str]
"""A score from −1 to 1 or None, what it cost, and why there is none."""


class RelativeJudge:
    """Scores from −1 (worse for sure than the reference's answers) to 1; 0 is as good. Without a judgement it is `neutral`, and
    the part `failed` 1.

    pairwise: 2p − 1, p the probability that the answer is better, in both orders, the mean over the reference's answers.
    grouped: all answers to one prompt are ranked in one call with the reference's; an answer's score is how many places it
    stands before those, as a share of the most there can be. So it depends on which answers are scored with it.
    """

    bounds = (-1.0, 1.0)

    def __init__(
        self, judge: LlmJudge, mode: Literal["pairwise", "grouped"], refer: Refer, neutral: float | None = None
    ) -> None:
        """neutral: the score of an answer without a judgement; None: 0."""
        self.judge, self.mode, self.refer, self.neutral = judge, mode, refer, neutral or 0.0

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """One score for each completion. `ValueError` if more have none than `judge.max_failed` allows."""
        prompts = list(dict.fromkeys(c.prompt for c in completions))
        answers = self.refer(prompts) if prompts else []
        each = len(answers) // max(1, len(prompts))
        rivals = {p: answers[i * each : (i + 1) * each] for i, p in enumerate(prompts)}
        judged = (paired if self.mode == "pairwise" else placed)(self.judge, completions, rivals)
        return [
            Score(score=self.neutral, parts={FAILED: 1.0}, cost=cost, note=f"no judgement: {wrong}")
            if value is None
            else Score(score=value, parts={FAILED: 0.0}, cost=cost)
            for value, cost, wrong in judged
        ]


Rivals = dict[Prompt, Sequence[Completion]]


def paired(judge: LlmJudge, completions: Sequence[Completion], rivals: Rivals) -> list[Judged]:
    """Each completion beside each of its rivals. An equal text is a tie, without a question."""
    pairs = [(i, c, r) for i, c in enumerate(completions) for r in rivals[c.prompt]]
    asked = [k for k, (_, c, r) in enumerate(pairs) if c.response != r.response]
    preferences = judge.compare([pairs[k][1:] for k in asked]) if asked else []
    values: list[list[float | None]] = [[] for _ in completions]
    costs, wrong = np.zeros(len(completions)), [""] * len(completions)
    found = dict(zip(asked, preferences, strict=True))
    for k, (i, _, _) in enumerate(pairs):
        if (preference := found.get(k)) is None:
            values[i].append(0.0)
            continue
        values[i].append(None if preference.logit is None else float(np.tanh(preference.logit / 2)))
        costs[i] += preference.cost
        wrong[i] = wrong[i] or preference.wrong
    return [
        (None if any(x is None for x in own) else float(np.mean([x or 0.0 for x in own])), float(cost), why)
        for own, cost, why in zip(values, costs, wrong, strict=True)
    ]


def placed(judge: LlmJudge, completions: Sequence[Completion], rivals: Rivals) -> list[Judged]:
    """Each completion's place among all of its prompt's completions and rivals. Equal texts stand at one place.

    More texts than there are letters for are ranked in several calls, each with all rivals.
    """
    texts: dict[Prompt, dict[str, Completion]] = {}
    for c in completions:
        texts.setdefault(c.prompt, {}).setdefault(c.response, c)
    groups: list[list[Completion]] = []
    for prompt, own in texts.items():
        theirs = {r.response: r for r in rivals[prompt]}
        ours = [c for text, c in own.items() if text not in theirs]
        room = len(LETTERS) - len(theirs)
        parts = [ours[i : i + room] for i in range(0, len(ours), room)] or [[]]
        groups += [group for part in parts if len(group := [*part, *theirs.values()]) > 1]
    values: dict[tuple[Prompt, str], Judged] = {}
    for group, ranked in zip(groups, rank(judge, groups) if groups else [], strict=True):
        prompt, cost = group[0].prompt, ranked.cost / len(group)
        place = {c.response: i for i, c in enumerate(group)}
        for text, i in place.items():
            if ranked.places is None:
                values[prompt, text] = (None, cost, ranked.wrong)
                continue
            ahead = [ranked.places[place[r.response]] - ranked.places[i] for r in rivals[prompt]]
            values[prompt, text] = (float(np.mean(ahead)) / (len(group) - 1), cost, "")
    same: Judged = (0.0, 0.0, "")  # all answers to the prompt are one text
    return [values.get((c.prompt, c.response), same) for c in completions]
