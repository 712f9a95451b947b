"""The section about a model that judges: which one, and what it is asked."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from trueward.config.section import NonNegative, Positive, Section, Share

Word = Annotated[str, Field(min_length=1)]


class Judge(Section):
    """[judge]: a model that says which of two answers is better, or how good one is."""

    model: str = ""
    """A causal language model, as in model.base; with `endpoint`, what it is called there."""
    endpoint: str = ""
    """The base address of a service with OpenAI's interface, up to and with /v1; empty: the model runs here."""
    principles: Annotated[tuple[Word, ...], Field(min_length=1)] = (
        "The better answer is helpful, honest and harmless.",
    )
    """The constitution: what answers are judged by."""
    draw: Literal["one", "all"] = "one"
    """One principle drawn for each label, or all of them asked and averaged."""
    question: str = ""
    """What is asked of two answers, with {principle}, {prompt}, {first}, {second}; or of each alone, with {response}."""
    choices: Annotated[tuple[Word, ...], Field(min_length=2, max_length=2)] = ("A", "B")
    """What stands for the first and the second answer; of an answer alone, for good and for bad."""
    rating: str = ""
    """reward.kind = "judge": what is asked of an answer, with {principle}, {prompt}, {response}."""
    ratings: Annotated[tuple[Word, ...], Field(min_length=2)] = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "10")
    """reward.kind = "judge": the answers to that, from worst to best; they are worth 1, 2, 3, …"""
    clamp: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    """c. If set, a label's probability is held between c and 1 − c (Constitutional AI: 0.4 with chain of thought)."""
    reasons: Annotated[int, Field(ge=0)] = 0
    """Tokens of reasons that it may write before it answers (chain of thought); 0: none. Needs `endpoint`."""
    temperature: NonNegative = 0.0
    """With `endpoint`: that of its answers."""
    logprobs: bool = True
    """With `endpoint`: whether log-probs are asked for; without them an answer's text is all there is."""
    certainty: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """What probability an answer stands for that came as text alone."""
    max_failed: Share = 0.05
    """The share of pairs (or answers) without a judgement beyond which the run fails."""
    check: Positive = 200
    """With comparisons.path: on how many of people's comparisons it is held against them."""

    @model_validator(mode="after")
    def _questions_ask(self) -> Judge:
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
    def _can_be_asked(self) -> Judge:
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
