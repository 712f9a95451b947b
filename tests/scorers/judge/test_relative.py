"""A judge that sets each answer beside the reference policy's own."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from tests.service import Service

from trueward.config import JudgeCallsConfig, JudgeConfig
from trueward.records import Completion, Prompt
from trueward.scorers.judge import llm_judge
from trueward.scorers.judge.llm_judge import LlmJudge
from trueward.scorers.judge.relative import RelativeJudge

PROMPT, OTHER = Prompt(text="p"), Prompt(text="q")
SURE = math.tanh(math.log(0.95 / 0.05) / 2)


def answers(*texts: str, prompt: Prompt = PROMPT) -> list[Completion]:
    return [Completion(prompt=prompt, response=text) for text in texts]


def longest(body: dict[str, Any], before: int = 0) -> dict[str, Any]:
    """Ranks, or chooses, the longest first; of equally long ones the one that is shown first."""
    text = body["messages"][0]["content"]
    shown = re.findall(r"Answer (\w):\n(.*)", text)
    order = [letter for letter, _ in sorted(shown, key=lambda one: -len(one[1]))]
    return {"text": " > ".join(order) if text.startswith("Rank") else order[0]}


def made(service: Service, **settings: Any) -> LlmJudge:
    config = JudgeConfig(model="m", endpoint=service.address, **settings)
    return llm_judge.make(config, JudgeCallsConfig(cache="", retries=0), 0, torch.device("cpu"), 4096)


def refer(*texts: str) -> Callable[[Sequence[Prompt]], list[Completion]]:
    return lambda prompts: [one for prompt in prompts for one in answers(*texts, prompt=prompt)]


def scores(scorer: RelativeJudge, completions: Sequence[Completion]) -> list[float]:
    return [v.score for v in scorer(completions)]


def test_pairs_are_asked_in_both_orders_and_an_equal_text_is_a_tie(serve: Callable[..., Service]) -> None:
    service = serve(longest)
    scorer = RelativeJudge(made(service), "pairwise", refer("bbb"))
    texts = [*answers("aaaaa", "b", "bbb", "ccc"), *answers("z", prompt=OTHER)]
    assert scores(scorer, texts) == pytest.approx([SURE, -SURE, 0.0, 0.0, -SURE])
    assert len(service.bodies) == 8, "two orders of four pairs, none of the equal text"
    assert scorer([]) == []


def test_several_references_are_averaged(serve: Callable[..., Service]) -> None:
    scorer = RelativeJudge(made(serve(longest)), "pairwise", refer("aa", "aaaa"))
    assert scores(scorer, answers("aaa", "aaaaa", "aa")) == pytest.approx([0.0, SURE, -SURE / 2])


def test_a_group_is_ranked_in_one_call_for_each_order(serve: Callable[..., Service]) -> None:
    service = serve(longest)
    scorer = RelativeJudge(made(service), "grouped", refer("aa", "aaaa"))
    found = scores(scorer, [*answers("aaa", "aaaaa", "aa", "aaa"), *answers("a", prompt=OTHER)])
    # places of p: aaaaa 0, aaaa 1, aaa 2, aa 3; the references stand at 1 and 3 of 0 to 3
    assert found == pytest.approx([0.0, 2 / 3, -1 / 3, 0.0, -1.5 / 2])
    assert len(service.bodies) == 4, "two prompts, two orders; equal texts share a place"


def test_more_answers_than_letters_are_ranked_in_parts_with_all_references(serve: Callable[..., Service]) -> None:
    service = serve(longest)
    scorer = RelativeJudge(made(service), "grouped", refer("x" * 20, "x" * 21))
    found = scores(scorer, answers(*("y" * (30 + i) for i in range(12))))
    assert len(service.bodies) == 4
    assert all(value > 0 for value in found), "each is longer than both references"
    assert found[:8] == sorted(found[:8])
    assert {len(re.findall("xxx", b["messages"][0]["content"])) > 6 for b in service.bodies} == {True}


def test_one_text_in_all_places_asks_nothing(serve: Callable[..., Service]) -> None:
    service = serve(longest)
    for mode in ("pairwise", "grouped"):
        assert scores(RelativeJudge(made(service), mode, refer("x", "x")), answers("x", "x")) == [0.0, 0.0]  # type: ignore[arg-type]
    assert service.bodies == []


@pytest.mark.parametrize("mode", ["pairwise", "grouped"])
def test_without_a_judgement_it_is_neutral_and_counted(serve: Callable[..., Service], mode: Any) -> None:
    def says(body: dict[str, Any], before: int) -> dict[str, Any]:
        return {"text": "?"} if "odd" in body["messages"][0]["content"] else longest(body)

    texts = [*answers("odd"), *answers("aaa", prompt=OTHER)]
    scorer = RelativeJudge(made(serve(says), max_failed=0.5), mode, refer("b"), neutral=0.25)
    missing, known = scorer(texts)
    assert (missing.score, missing.parts["failed"]) == (0.25, 1.0)
    assert missing.note.startswith("no judgement")
    assert known.score > 0
    with pytest.raises(ValueError, match=r"gave no judgement of 1 of 2 .*judge.max_failed"):
        RelativeJudge(made(serve(says)), mode, refer("b"))(texts)
