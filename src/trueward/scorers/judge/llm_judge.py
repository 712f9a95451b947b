"""A language model as judge: two responses compared in both orders, or one rated.

Both orders are averaged in logits: with l(i, j) the log-odds that the response in the first place is better, the preference
is (l(1, 2) − l(2, 1)) / 2 and the rest, (l(1, 2) + l(2, 1)) / 2, is the bias towards the first place. A bias that is a
constant in logits cancels exactly; averaging probabilities would shrink the preference instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trueward.config import JudgeCallsConfig
from trueward.config import JudgeConfig as Settings
from trueward.records import Comparison, Completion, Response, response_id
from trueward.scorers.judge.call_limit import REACHED, CallLimit
from trueward.scorers.judge.endpoint import Endpoint
from trueward.scorers.judge.question import COMPARE, RATE, Backend, JudgeQuestion, Reply, ending, fill
from trueward.seeds import seed_for

if TYPE_CHECKING:  # a judge behind a service needs no torch
    import torch

    from trueward.token_budget import Budget

Pair = tuple[Completion, Completion]
FEWEST_FAILED = 8  # questions without an answer, from which on a service that goes on failing is asked no more


@dataclass(frozen=True)
class Preference:
    """The judgement of one pair."""

    logit: float | None
    """Log-odds that the first response is better; None without a judgement."""
    bias: float | None = None
    """Towards the response in the first place, in log-odds; None where each response is judged alone."""
    mass: float | None = None
    """Probability of all choices together."""
    cost: float = 0.0
    """In the currency of the prices."""
    wrong: str = ""
    """Why there is no judgement."""


@dataclass(frozen=True)
class Rating:
    """The judgement of one response; `mass`, `cost` and `wrong` as in `Preference`."""

    value: float | None
    """The expected rating, from 1 to the number of ratings; None without a judgement."""
    mass: float | None = None
    cost: float = 0.0
    wrong: str = ""


class LlmJudge:
    """Puts questions to a backend, made from the settings' templates.

    Which of several principles a response is judged by depends on the seed and the texts alone.
    """

    def __init__(self, settings: Settings, backend: Backend, seed: int, limit: CallLimit | None = None) -> None:
        """backend: the model that answers. seed: for the choice of principles.

        limit: of its calls; then no failure is an error: what can't be asked has no judgement, whatever the reason.
        """
        self.settings, self.backend, self.seed, self.limit = settings, backend, seed, limit
        self.failure = ""  # why the last answer without a judgement has none
        self.template = settings.question or COMPARE + ending(settings.choices, settings.reasons)
        self.rating_template = settings.rating or RATE + ending(settings.ratings, settings.reasons)
        self.alone = "{response}" in self.template  # each response is judged by itself, so there is no order

    def compare(
        self, pairs: Sequence[Pair], on_progress: Callable[[int], None] = lambda done: None
    ) -> list[Preference]:
        """One preference for each pair. `ValueError` if more fail than `judge.max_failed` allows.

        on_progress: gets the number of pairs done, about.
        """
        questions: list[JudgeQuestion] = []
        spans = []
        for one, other in pairs:
            for principle in self.principles(one, other):
                questions += self._both(principle, one, other)
            spans.append(len(questions))
        replies = self._ask(questions, len(pairs), on_progress)
        starts = [0, *spans[:-1]]
        preferences = [self._preference(replies[a:b]) for a, b in zip(starts, spans, strict=True)]
        self._refuse([f.wrong for f in preferences], "pairs")
        return preferences

    def rate(
        self, completions: Sequence[Completion], criteria: Sequence[tuple[str, ...]] | None = None
    ) -> list[Rating]:
        """One rating for each completion, the mean over its principles. criteria: those of each, in the place of the settings'.

        `ValueError` if more fail than `judge.max_failed` allows.
        """
        ratings = self.settings.ratings
        ends = {"worst": ratings[0].strip(), "best": ratings[-1].strip()}
        questions: list[JudgeQuestion] = []
        spans = []
        for i, c in enumerate(completions):
            for principle in self.principles(c) if criteria is None else criteria[i]:
                values = {**ends, "principle": principle, "prompt": str(c.prompt), "response": c.response}
                questions.append(JudgeQuestion(fill(self.rating_template, values), ratings))
            spans.append(len(questions))
        replies = self._ask(questions, len(completions))
        preferences = [self._rating(replies[a:b]) for a, b in zip([0, *spans[:-1]], spans, strict=True)]
        self._refuse([f.wrong for f in preferences], "answers")
        return preferences

    def principles(self, *sides: Completion) -> tuple[str, ...]:
        """The principles that these responses are judged by: the same in any order of them, and every time."""
        every = self.settings.principles
        if self.settings.draw == "all" or len(every) == 1:
            return every
        names = sorted(response_id(c.prompt, c.response) for c in sides)
        return (every[seed_for(self.seed, "principle", *names) % len(every)],)

    def probability(self, logit: float) -> float:
        """The soft label for a preference's log-odds, limited to [clamp, 1 − clamp]."""
        p, c = 0.5 * (1.0 + math.tanh(0.5 * logit)), self.settings.clamp
        return p if c is None else min(max(p, c), 1.0 - c)

    def _both(self, principle: str, one: Completion, other: Completion) -> list[JudgeQuestion]:
        common = {"principle": principle, "prompt": str(one.prompt)}
        if self.alone:
            values = [{"response": one.response}, {"response": other.response}]
        else:
            values = [
                {"first": one.response, "second": other.response},
                {"first": other.response, "second": one.response},
            ]
        return [JudgeQuestion(fill(self.template, {**common, **v}), self.settings.choices) for v in values]

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

    def ask(self, questions: Sequence[JudgeQuestion], rows: int) -> list[Reply]:
        """The replies to questions of one's own, as many for each of `rows` judgements."""
        return self._ask(questions, rows)

    def note_failures(self, wrong: Sequence[str]) -> None:
        """Keep why judgements are missing; `ValueError` for more than `judge.max_failed` of a judge that has no `limit`."""
        self._refuse(wrong, "groups")

    def _ask(
        self, questions: Sequence[JudgeQuestion], rows: int, on_progress: Callable[[int], None] = lambda done: None
    ) -> list[Reply]:
        """The replies; gives up as soon as too many rows have failed. `on_progress` gets the number of rows done, about."""
        each = max(1, len(questions) // max(1, rows))
        most_failed = int(self.settings.max_failed * rows) * each
        if self.limit is None:
            return self.backend.ask(questions, most_failed, lambda done: on_progress(done // each))
        return self._ask_within(questions, each, most_failed, self.limit)

    def _ask_within(
        self, questions: Sequence[JudgeQuestion], each: int, most_failed: int, limit: CallLimit
    ) -> list[Reply]:
        """The replies to as many whole rows as the limit allows. A round that ended early leaves what it has got."""
        in_cache = getattr(self.backend, "in_cache", lambda question: False)
        fresh: set[JudgeQuestion] = set()
        last = 0
        for start in range(0, len(questions), each):
            more = {q for q in questions[start : start + each] if q not in fresh and not in_cache(q)}
            if len(fresh) + len(more) > limit.left:
                break
            fresh |= more
            last = start + each
        asked = questions[:last]
        before = getattr(self.backend, "requests", 0)
        try:
            replies = self.backend.ask(asked, max(most_failed, FEWEST_FAILED)) if asked else []
        except ValueError as error:
            reason, cached = str(error), getattr(self.backend, "cached", None)
            replies = cached(asked, reason) if cached else [Reply(wrong=reason) for _ in asked]
            limit.count(min(len(fresh), getattr(self.backend, "requests", 0) - before))  # the others were not asked
        else:
            limit.count(len(fresh))
        return [*replies, *(Reply(wrong=REACHED) for _ in questions[last:])]

    def _refuse(self, wrong: Sequence[str], what: str) -> None:
        failed = [w for w in wrong if w]
        self.failure = failed[0] if failed else self.failure
        if self.limit is None and len(failed) > self.settings.max_failed * len(wrong):
            raise ValueError(
                f"the judge {self.settings.model} gave no judgement of {len(failed)} of {len(wrong)} {what}, more than "
                f"judge.max_failed = {self.settings.max_failed:g} allows; the first: {failed[0]}"
            )


def expected(reply: Reply) -> float:
    """Σ i·p_i over the ratings 1, 2, …, with their probabilities p normalised; the named rating if there are no log-probs."""
    if reply.logps is None:
        assert reply.named is not None
        return reply.named + 1.0
    logps = np.array(reply.logps)
    p = np.exp(logps - logps.max())
    return float((p * np.arange(1, len(p) + 1)).sum() / p.sum())


def labelled(pairs: Sequence[Pair], preferences: Sequence[Preference], judge: LlmJudge) -> list[Comparison]:
    """Comparisons with soft labels; pairs without a judgement, or of the same text twice, are left out."""
    return [
        Comparison(
            prompt=one.prompt,
            first=_side(one),
            second=_side(other),
            probability=judge.probability(p.logit),
            source="judge",
        )
        for (one, other), p in zip(pairs, preferences, strict=True)
        if p.logit is not None and (one.response, one.finished) != (other.response, other.finished)
    ]


def make(
    settings: Settings,
    calls: JudgeCallsConfig,
    seed: int,
    device: torch.device,
    micro_batch_tokens: Budget,
    limit: CallLimit | None = None,
    dtype: torch.dtype | None = None,
) -> LlmJudge:
    """The recipe's judge. `ValueError` in one line if there is no such model, or no key for its service."""
    if settings.endpoint:
        return LlmJudge(settings, Endpoint(settings, calls, seed), seed, limit)
    from trueward.models import loading, precision
    from trueward.scorers.judge.local import Local

    network = loading.causal(settings.model, seed, device, dtype)
    precision.keep(network.model.requires_grad_(False))
    return LlmJudge(settings, Local(network, micro_batch_tokens), seed, limit)


def _mass(replies: Sequence[Reply]) -> float | None:
    known = [m for r in replies if (m := r.mass) is not None]
    return float(np.mean(known)) if known else None


def _side(c: Completion) -> Response:
    ending = "" if c.finished else " (cut)"
    return Response(id=response_id(c.prompt, c.response + ending), text=c.response, finished=c.finished)
