"""A judge that ranks several answers in one call, and the truth that is made of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.service import Service

from trueward.config import JudgeCallsConfig, JudgeConfig
from trueward.evaluation.grouped_truth import GroupedTruth
from trueward.records import Completion, Prompt
from trueward.scorers.judge import llm_judge
from trueward.scorers.judge.call_limit import CallLimit
from trueward.scorers.judge.llm_judge import LlmJudge
from trueward.scorers.judge.ranking import rank
from trueward.scorers.judge.reading import read_ranking

PROMPT = Prompt(text="p")


def answer(text: str) -> Completion:
    return Completion(prompt=PROMPT, response=text)


def by_length(body: dict[str, Any], before: int = 0) -> dict[str, Any]:
    """Ranks the longest first; of equally long ones the one that is shown first."""
    shown = re.findall(r"Answer (\w):\n(.*)", body["messages"][0]["content"])
    return {"text": " > ".join(letter for letter, _ in sorted(shown, key=lambda one: -len(one[1])))}


def made(service: Service, **settings: Any) -> LlmJudge:
    config = JudgeConfig(model="m", endpoint=service.address, **settings)
    calls = JudgeCallsConfig(cache="", retries=0)
    import torch

    return llm_judge.make(config, calls, 0, torch.device("cpu"), 4096, CallLimit())


def test_places_and_wins(serve: Callable[..., Service]) -> None:
    service = serve(by_length)
    (found,) = rank(made(service), [[answer("bb"), answer("a"), answer("cccc")]])
    assert found.places is not None
    assert found.wins is not None
    assert list(found.places) == [1.0, 2.0, 0.0]
    assert found.wins.tolist() == [[0, 1, 0], [0, 0, 0], [1, 1, 0]]
    one, other = (re.findall(r"Answer \w:\n(.*)", b["messages"][0]["content"]) for b in service.bodies)
    assert one == other[::-1], "both orders"
    assert "logprobs" not in service.bodies[0]


def test_a_liking_for_the_first_place_is_a_tie(serve: Callable[..., Service]) -> None:
    (found,) = rank(made(serve(lambda body, before: {"text": "A > B > C"})), [[answer(t) for t in ("x", "y", "z")]])
    assert found.places is not None
    assert list(found.places) == [1.0, 1.0, 1.0]


def test_a_truth_is_the_share_that_it_beats(serve: Callable[..., Service]) -> None:
    truth = GroupedTruth("judge:j", made(serve(by_length)))
    ours = [answer("bb"), answer("a"), answer("dddd"), answer("e")]
    rivals = [
        [answer("c"), answer("cc"), answer("c"), answer("e")],
        [answer("ccc"), answer("ccc"), answer("c"), answer("e")],
    ]
    assert truth.beside(ours, rivals).tolist() == [0.0, -1.0, 1.0, 0.0]
    half = [[answer("e")], [answer("ff")]]
    assert truth.beside([answer("e")], half).tolist() == [-0.5], "a tie with itself, and one lost"


@pytest.mark.parametrize(
    "text", ["B", "A > B", "A > B > C > D", "A, A, B", "best is C > A > B, I think", "", "A>B>C B"]
)
def test_what_is_no_ranking_is_missing(serve: Callable[..., Service], text: str) -> None:
    judge = made(serve(lambda body, before: {"text": text}))
    (found,) = rank(judge, [[answer(t) for t in ("x", "y", "z")]])
    assert found.places is None
    assert found.wrong.startswith("not a ranking of 3 answers")
    assert judge.failure == found.wrong
    truth = GroupedTruth("judge:j", judge).beside([answer("x")], [[answer("y")], [answer("z")]])
    assert np.isnan(truth).all()


@pytest.mark.parametrize(
    ("text", "reasons", "order"),
    [
        ("C > A > B", False, (2, 0, 1)),
        ("C, A, B.", False, (2, 0, 1)),
        ("**C > A > B**", False, (2, 0, 1)),
        ("It is B.\nAnswer: C > A > B", True, (2, 0, 1)),
        ("C > A > B", True, None),
    ],
)
def test_rankings_as_they_are_written(text: str, reasons: bool, order: tuple[int, ...] | None) -> None:
    assert read_ranking({"message": {"content": text}}, "ABC", reasons).ranking == order
