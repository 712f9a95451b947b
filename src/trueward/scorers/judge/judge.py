"""A judge: two answers compared in both orders, or one rated; and what it says of its own reliability.

Both orders are averaged in logits: with l(i, j) the log-odds that the one shown first is better, the preference is
(l(1, 2) − l(2, 1)) / 2 and what is left, (l(1, 2) + l(2, 1)) / 2, is the bias towards the first place. A bias that is a
constant in logits cancels exactly; averaging probabilities would shrink the preference instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from trueward.config import Calls
from trueward.config import Judge as Settings
from trueward.models import loading
from trueward.models.schedule import seed_for
from trueward.records import Comparison, Completion, Response, response_id
from trueward.scorers.judge.endpoint import Endpoint
from trueward.scorers.judge.local import Local
from trueward.scorers.judge.question import COMPARE, RATE, Backend, Question, Reply, ending, fill

Pair = tuple[Completion, Completion]


@dataclass(frozen=True)
class Preference:
    """Of one pair: the log-odds that the first is better, the bias towards the place shown first (None without one),
    how probable the choices were, what it cost; or what was wrong."""

    logit: float | None
    bias: float | None = None
    mass: float | None = None
    cost: float = 0.0
    wrong: str = ""


@dataclass(frozen=True)
class Rating:
    """Of one answer: its expected rating, from 1 to the number of ratings; or what was wrong."""

    value: float | None
    mass: float | None = None
    cost: float = 0.0
    wrong: str = ""


class Judge:
    """Asks a backend by the settings' questions. What is drawn depends on the seed and the texts alone."""

    def __init__(self, settings: Settings, backend: Backend, seed: int) -> None:
        self.settings, self.backend, self.seed = settings, backend, seed
        self.template = settings.question or COMPARE + ending(settings.choices, settings.reasons)
        self.rating_template = settings.rating or RATE + ending(settings.ratings, settings.reasons)
        self.alone = "{response}" in self.template  # each answer is asked about by itself, so there's no order

    def compare(self, pairs: Sequence[Pair], tell: Callable[[int], None] = lambda done: None) -> list[Preference]:
        """One preference for each pair. `ValueError` if more fail than `max_failed` allows."""
        asked: list[Question] = []
        spans = []
        for one, other in pairs:
            for principle in self.principles(one, other):
                asked += self._both(principle, one, other)
            spans.append(len(asked))
        replies = self._ask(asked, len(pairs), tell)
        starts = [0, *spans[:-1]]
        found = [self._preference(replies[a:b]) for a, b in zip(starts, spans, strict=True)]
        self._refuse([f.wrong for f in found], "pairs")
        return found

    def rate(self, completions: Sequence[Completion]) -> list[Rating]:
        """One rating for each answer, averaged over the principles asked. `ValueError` if too many fail."""
        ratings = self.settings.ratings
        ends = {"worst": ratings[0].strip(), "best": ratings[-1].strip()}
        asked: list[Question] = []
        spans = []
        for c in completions:
            for principle in self.principles(c):
                values = {**ends, "principle": principle, "prompt": str(c.prompt), "response": c.response}
                asked.append(Question(fill(self.rating_template, values), ratings))
            spans.append(len(asked))
        replies = self._ask(asked, len(completions))
        found = [self._rating(replies[a:b]) for a, b in zip([0, *spans[:-1]], spans, strict=True)]
        self._refuse([f.wrong for f in found], "answers")
        return found

    def principles(self, *sides: Completion) -> tuple[str, ...]:
        """Those that these answers are judged by: the same in any order of them, and whenever they are asked about."""
        every = self.settings.principles
        if self.settings.draw == "all" or len(every) == 1:
            return every
        names = sorted(response_id(c.prompt, c.response) for c in sides)
        return (every[seed_for(self.seed, "principle", *names) % len(every)],)

    def probability(self, logit: float) -> float:
        """The soft label, held between clamp and 1 − clamp."""
        p, c = 0.5 * (1.0 + math.tanh(0.5 * logit)), self.settings.clamp
        return p if c is None else min(max(p, c), 1.0 - c)

    def _both(self, principle: str, one: Completion, other: Completion) -> list[Question]:
        common = {"principle": principle, "prompt": str(one.prompt)}
        if self.alone:
            values = [{"response": one.response}, {"response": other.response}]
        else:
            values = [
                {"first": one.response, "second": other.response},
                {"first": other.response, "second": one.response},
            ]
        return [Question(fill(self.template, {**common, **v}), self.settings.choices) for v in values]

    def _preference(self, replies: Sequence[Reply]) -> Preference:
        cost = sum(r.cost for r in replies)
        if wrong := next((r.wrong for r in replies if r.wrong), ""):
            return Preference(None, cost=cost, wrong=wrong)
        logits = np.array([self._logit(r) for r in replies]).reshape(-1, 2)
        if self.alone:
            return Preference(float((logits[:, 0] - logits[:, 1]).mean()), None, _mass(replies), cost)
        halves = logits / 2
        return Preference(
            float((halves[:, 0] - halves[:, 1]).mean()), float(halves.sum(1).mean()), _mass(replies), cost
        )

    def _logit(self, reply: Reply) -> float:
        if reply.logps is not None:
            return reply.logps[0] - reply.logps[1]
        sure = math.log(self.settings.certainty / (1 - self.settings.certainty))
        return sure if reply.named == 0 else -sure

    def _rating(self, replies: Sequence[Reply]) -> Rating:
        cost = sum(r.cost for r in replies)
        if wrong := next((r.wrong for r in replies if r.wrong), ""):
            return Rating(None, cost=cost, wrong=wrong)
        return Rating(float(np.mean([expected(r) for r in replies])), _mass(replies), cost)

    def _ask(
        self, asked: Sequence[Question], rows: int, tell: Callable[[int], None] = lambda done: None
    ) -> list[Reply]:
        """Gives up as soon as too many rows must have failed. `tell` is told how many rows are done, about."""
        each = max(1, len(asked) // max(1, rows))
        return self.backend.ask(asked, int(self.settings.max_failed * rows) * each, lambda done: tell(done // each))

    def _refuse(self, wrong: Sequence[str], what: str) -> None:
        failed = [w for w in wrong if w]
        if len(failed) > self.settings.max_failed * len(wrong):
            raise ValueError(
                f"the judge {self.settings.model} gave no judgement of {len(failed)} of {len(wrong)} {what}, more than "
                f"judge.max_failed = {self.settings.max_failed:g} allows; the first: {failed[0]}"
            )


def expected(reply: Reply) -> float:
    """Σ i·p_i over the ratings 1, 2, …, with p their probabilities among themselves; or the one that was named."""
    if reply.logps is None:
        assert reply.named is not None
        return reply.named + 1.0
    logps = np.array(reply.logps)
    p = np.exp(logps - logps.max())
    return float((p * np.arange(1, len(p) + 1)).sum() / p.sum())


def labelled(pairs: Sequence[Pair], found: Sequence[Preference], judge: Judge) -> list[Comparison]:
    """Comparisons with soft labels; a pair without a judgement, or of the same text twice, is none."""
    return [
        Comparison(
            prompt=one.prompt,
            first=_side(one),
            second=_side(other),
            probability=judge.probability(p.logit),
            source="judge",
        )
        for (one, other), p in zip(pairs, found, strict=True)
        if p.logit is not None and (one.response, one.finished) != (other.response, other.finished)
    ]


def make(settings: Settings, calls: Calls, seed: int, device: torch.device, micro_batch_tokens: int) -> Judge:
    """The judge of a recipe. `ValueError` in one line if there is no such model, or no key for its service."""
    if settings.endpoint:
        return Judge(settings, Endpoint(settings, calls, seed), seed)
    network = loading.causal(settings.model, seed, device)
    network.model.requires_grad_(False)
    return Judge(settings, Local(network, micro_batch_tokens), seed)


def _mass(replies: Sequence[Reply]) -> float | None:
    known = [m for r in replies if (m := r.mass) is not None]
    return float(np.mean(known)) if known else None


def _side(c: Completion) -> Response:
    ending = "" if c.finished else " (cut)"
    return Response(id=response_id(c.prompt, c.response + ending), text=c.response, finished=c.finished)
