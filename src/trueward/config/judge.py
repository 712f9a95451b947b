"""[judge]: a language model that compares or rates answers: which one, and its questions."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from trueward.config.section import NonNegative, Positive, Section, Share

Word = Annotated[str, Field(min_length=1)]


class JudgeConfig(Section):
    """[judge]: a model that says which of two answers is better, or how good one is."""

    model: str = ""
    """A causal language model, as in model.base; with `endpoint`, the model's name there."""
    endpoint: str = ""
    """Base URL of an OpenAI-compatible service, /v1 included; empty: the model runs in this process."""
    principles: Annotated[tuple[Word, ...], Field(min_length=1)] = (
        "The better answer is helpful, honest and harmless.",
    )
    """The constitution: the principles by which answers are judged."""
    draw: Literal["one", "all"] = "one"
    """one: a random principle for each label; all: every principle is asked and the answers averaged."""
    question: str = ""
    """The question about two answers, with {principle}, {prompt}, {first}, {second}; or about each alone, with {response}."""
    choices: Annotated[tuple[Word, ...], Field(min_length=2, max_length=2)] = ("A", "B")
    """The judge's two words: for the first and the second answer; of an answer alone, for good and bad."""
    rating: str = ""
    """With reward.kind = "judge": the question about one answer, with {principle}, {prompt}, {response}."""
    ratings: Annotated[tuple[Word, ...], Field(min_length=2)] = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "10")
    """With reward.kind = "judge": the possible ratings, from worst to best; they are worth 1, 2, 3, …"""
    clamp: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    """If set to c, label probabilities are clamped to [c, 1 − c] (Constitutional AI: 0.4 with chain of thought)."""
    reasons: Annotated[int, Field(ge=0)] = 0
    """Maximum tokens of chain of thought before the answer; 0: none. Needs `endpoint`."""
    temperature: NonNegative = 0.0
    """With `endpoint`: sampling temperature of the judge."""
    logprobs: bool = True
    """With `endpoint`: whether log-probs are requested; without them the judge's text is the label."""
    certainty: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Probability of a label that came as text alone."""
    max_failed: Share = 0.05
    """Largest share of pairs (or answers) without a judgement; with more of them the run fails."""
    check: Positive = 200
    """With comparisons.path: number of people's comparisons on which the judge's agreement with them is measured."""

    @model_validator(mode="after")
    def _questions_ask(self) -> JudgeConfig:
        pair = "{first}" in self.question and "{second}" in self.question
        alone = "{response}" in self.question
        if self.question and pair == alone:
            raise ValueError(
                "question has to hold {first} and {second}, to compare two answers, or {response}, to ask about one alone"
            )
        if self.rating and "{response}" not in self.rating:
            raise ValueError("rating has to hold {response}, the answer that is rated")
        for name, words in (("choices", self.choices), ("ratings", self.ratings)):
            if len({w.strip() for w in words}) < len(words):
                raise ValueError(f"{name}: two of them are the same")
        return self

    @model_validator(mode="after")
    def _endpoint_fits(self) -> JudgeConfig:
        if self.endpoint:
            address = urlsplit(self.endpoint)
            if address.scheme not in ("http", "https") or not address.hostname:
                raise ValueError("endpoint: expected an address such as http://localhost:8000/v1")
            if address.username or address.password or address.query:
                raise ValueError(
                    "endpoint: an address is saved with the run, so it holds no key; "
                    "name its variable in runtime.judge.key"
                )
        elif self.reasons:
            raise ValueError("reasons: a model that runs here writes no text, its log-probs are read; give `endpoint`")
        return self


def refuse_without_ranking(judge: JudgeConfig) -> None:
    """`ValueError` if this judge can't put a group of answers in an order (`reward.judge_mode = "grouped"`)."""
    if not judge.endpoint:
        raise ValueError(
            'reward.judge_mode = "grouped": a model that runs here writes no ranking, its log-probs are read; '
            "give judge.endpoint"
        )
    if judge.question:
        raise ValueError(
            'judge.question: it asks about two answers; with reward.judge_mode = "grouped" the question is a fixed one'
        )
