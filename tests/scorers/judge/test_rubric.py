"""A judge by the criteria of each prompt, and the map of criteria by steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from trueward.config import JudgeConfig
from trueward.records import Completion, Prompt
from trueward.reporting.criteria_map import maps, sentences, shade
from trueward.scorers.judge.call_limit import REACHED, CallLimit
from trueward.scorers.judge.llm_judge import LlmJudge
from trueward.scorers.judge.question import JudgeQuestion, Reply
from trueward.scorers.judge.rubric import Criterion, RubricScorer, read_criteria


class Counting:
    """A backend that rates an answer by how often the criterion's word is in it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def ask(self, questions: Sequence[JudgeQuestion], most_failed: int = 0, on_progress: Any = None) -> list[Reply]:
        self.asked += [q.text for q in questions]
        found = []
        for question in questions:
            criterion, response = question.text.split("|")
            found.append(Reply(wrong="garbage") if criterion == "broken" else Reply(named=response.count(criterion)))
        return found


def scorer(columns: dict[str, Any], limit: CallLimit | None = None) -> tuple[RubricScorer, Counting]:
    backend = Counting()
    settings = JudgeConfig(model="m", rating="{principle}|{response}", max_failed=0.1)
    return RubricScorer(LlmJudge(settings, backend, 0, limit or CallLimit()), "rubric", columns), backend


def test_the_score_is_the_mean_by_weights() -> None:
    one, other = Prompt(text="one"), Prompt(text="other")
    criteria = {"rubric": [{"criterion": "a", "weight": 3, "name": "As"}, {"criterion": "b"}]}
    rates, backend = scorer({one.id: criteria, other.id: {"rubric": ["c"]}})
    answers = [
        Completion(prompt=one, response="aab"),
        Completion(prompt=other, response="ccc"),
        Completion(prompt=Prompt(text="none"), response="aaa"),
    ]
    scores = rates(answers)
    assert [s.score for s in scores[:2]] == [(3 * 3 + 2) / 4, 4.0]  # ratings are worth 1, 2, 3, …
    assert [s.parts["failed"] for s in scores] == [0.0, 0.0, 1.0]
    assert "no criteria" in scores[2].note
    assert len(backend.asked) == 3
    ratings = rates.ratings(answers)
    assert list(ratings) == ["As", "b", "c"]
    assert ratings["As"][0] == 3.0
    assert np.isnan(ratings["As"][1:]).all()


def test_a_missing_criterion_makes_no_score() -> None:
    prompt = Prompt(text="p")
    rates, _ = scorer({prompt.id: {"rubric": ["a", "broken"]}})
    (score,) = rates([Completion(prompt=prompt, response="a")])
    assert (score.parts["failed"], "garbage" in score.note) == (1.0, True)
    assert rates.ratings([Completion(prompt=prompt, response="a")])["a"][0] == 2.0, "what was said is kept"
    rates, backend = scorer({prompt.id: {"rubric": ["a", "b"]}}, CallLimit(1))
    (score,) = rates([Completion(prompt=prompt, response="a")])
    assert (len(backend.asked), score.parts["failed"], REACHED in score.note) == (1, 1.0, True)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("be good", "expected a list"),
        ([], "expected a list"),
        ([{"weight": 2}], "criterion 1: expected a text"),
        ([{"criterion": "x", "weight": 0}], "criterion 1: weight: expected a number above 0, got 0"),
        ([{"criterion": "x", "weight": "2"}], "got '2'"),
        (["x", "x"], "two criteria are called 'x'"),
        ([["x"]], "criterion 1: expected a text"),
    ],
)
def test_what_is_no_rubric_is_one_line(value: Any, said: str) -> None:
    with pytest.raises(ValueError, match="rubric: ") as error:
        read_criteria(value, "rubric")
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    prompt = Prompt(text="p")
    with pytest.raises(ValueError, match=r"evaluation.judge j: the prompt 'p': rubric: "):
        scorer({prompt.id: {"rubric": value}})[0].check([prompt], "evaluation.judge j")


def test_a_column_that_is_nowhere_is_said() -> None:
    with pytest.raises(ValueError, match="no row of the prompts has a column 'rubric'"):
        scorer({})[0].check([Prompt(text="p")], "evaluation.judge j")
    assert read_criteria(["x"], "r") == (Criterion("x"),)


def report(gains: dict[str, Callable[[int], float]]) -> dict[str, Any]:
    def row(step: int) -> dict[str, Any]:
        criteria = {
            n: {"gain": g(step), "gain_se": 0.1, "gain_z": g(step) / 0.1, "items": 60} for n, g in gains.items()
        }
        return {"step": step, "judges": {"j": {"criteria": criteria}}}

    return {"history": [{"step": 0}, row(5), row(10)], "policies": {"policy": row(15)}}


def test_the_map_names_what_was_given_up() -> None:
    (found,) = maps(report({"polite": lambda s: 0.05 * s, "true": lambda s: -0.05 * s, "short": lambda s: -0.001 * s}))
    assert found.steps == ["5", "10", "end"]
    assert [name for name, _, _ in found.rows] == ["true", "short", "polite"]
    assert found.hacked == ["true"]
    assert sentences(report({"true": lambda s: -0.05 * s}))[0].startswith("By the judge j the policy gave up “true”")
    assert "--proxy" in shade({"gain": -0.5})
    assert "--truth" in shade({"gain": 0.5})
    assert shade(None) == "transparent"
    assert maps({}) == []
