"""Both orders, averaged in logits; ratings; failures. The judge here is a program with a planted bias."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from trueward.config import JudgeConfig as Settings
from trueward.evaluation import judge_report
from trueward.records import Completion, Prompt
from trueward.scorers.judge.llm_judge import LlmJudge, expected, labelled
from trueward.scorers.judge.question import JudgeQuestion, Reply, fill
from trueward.scorers.judge.rating import JudgeScorer

ASK = "{principle}|{prompt}|{first}|{second}"


class Program:
    """A backend that answers by a function of the question's text."""

    def __init__(self, says: Callable[[str], Reply]) -> None:
        self.says = says
        self.as_json: list[str] = []

    def ask(
        self,
        questions: Sequence[JudgeQuestion],
        most_failed: int = 0,
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> list[Reply]:
        self.as_json += [q.text for q in questions]
        self.most_failed = most_failed
        return [self.says(q.text) for q in questions]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def logps(logit: float, mass: float = 1.0) -> Reply:
    return Reply((math.log(mass * sigmoid(logit)), math.log(mass * sigmoid(-logit))), 0 if logit > 0 else 1)


def biased(bias: float) -> Program:
    """Likes the longer answer, one nat a letter, and whatever is shown first."""

    def says(text: str) -> Reply:
        _, _, first, second = text.split("|")
        return logps(len(first) - len(second) + bias)

    return Program(says)


def side(text: str, finished: bool = True) -> Completion:
    return Completion(prompt=Prompt(text="p"), response=text, finished=finished)


def pairs(*texts: tuple[str, str]) -> list[tuple[Completion, Completion]]:
    return [(side(a), side(b)) for a, b in texts]


def judge(backend: Program, **settings: object) -> LlmJudge:
    given = {"model": "m", "question": ASK, "principles": ["longer"], **settings}
    return LlmJudge(Settings.model_validate(given), backend, 0)


def test_both_orders_are_asked() -> None:
    program = biased(0.0)
    judge(program).compare(pairs(("xx", "x")))
    assert program.as_json == ["longer|p|xx|x", "longer|p|x|xx"]


@pytest.mark.parametrize("bias", [0.0, 2.0, -3.0])
def test_a_planted_bias_cancels_exactly(bias: float) -> None:
    """EXACT 25. A preference of 1 logit is σ(1) = .731 at any bias; averaging probabilities gives .611 at a bias of 2."""
    one = judge(biased(bias))
    (got,), (back,) = one.compare(pairs(("xx", "x"))), one.compare(pairs(("x", "xx")))
    assert got.logit == pytest.approx(1.0, abs=1e-12)
    assert back.logit == pytest.approx(-1.0, abs=1e-12), "antisymmetric"
    assert got.bias == back.bias == pytest.approx(bias, abs=1e-12)
    assert one.probability(got.logit) == pytest.approx(0.7310586, abs=1e-7)
    by_probability = (sigmoid(1 + bias) + 1 - sigmoid(-1 + bias)) / 2
    if bias == 2.0:
        assert by_probability == pytest.approx(0.611, abs=5e-4)


def test_logits_are_averaged_over_orders_and_principles_by_hand() -> None:
    table = {"k1|p|x|y": 1.5, "k1|p|y|x": 0.5, "k2|p|x|y": -0.25, "k2|p|y|x": 1.75}
    program = Program(lambda text: logps(table[text], mass=0.5))
    (got,) = judge(program, principles=["k1", "k2"], draw="all").compare(pairs(("x", "y")))
    assert got.logit == pytest.approx(((1.5 - 0.5) / 2 + (-0.25 - 1.75) / 2) / 2)
    assert got.bias == pytest.approx(((1.5 + 0.5) / 2 + (-0.25 + 1.75) / 2) / 2)
    assert got.mass == pytest.approx(0.5)


def test_an_answer_in_words_is_worth_its_certainty() -> None:
    program = Program(lambda text: Reply(named=0 if text.endswith("x|y") else 1))
    (sure,) = judge(program).compare(pairs(("x", "y")))
    assert judge(program).probability(sure.logit or 0) == pytest.approx(0.95)
    assert judge(program, certainty=0.8).compare(pairs(("x", "y")))[0].logit == pytest.approx(math.log(4))
    (torn,) = judge(Program(lambda text: Reply(named=0))).compare(pairs(("x", "y")))
    assert torn.logit == pytest.approx(0.0, abs=1e-12), "the first place in both orders is no preference"
    assert torn.bias == pytest.approx(math.log(19))


def test_answers_asked_about_alone_are_subtracted() -> None:
    program = Program(lambda text: logps(float(len(text))))
    (got,) = judge(program, question="{response}").compare(pairs(("xxx", "x")))
    assert program.as_json == ["xxx", "x"]
    assert (got.logit, got.bias) == (pytest.approx(2.0), None)


@pytest.mark.parametrize(("logit", "label"), [(5.0, 0.6), (-5.0, 0.4), (0.1, sigmoid(0.1))])
def test_the_clamp(logit: float, label: float) -> None:
    assert judge(biased(0), clamp=0.4).probability(logit) == pytest.approx(label)


def test_one_principle_is_drawn_for_a_pair_in_any_order() -> None:
    one = judge(biased(0), principles=["k1", "k2", "k3"])
    drawn = [one.principles(side("x" * i), side("y" * i)) for i in range(300)]
    assert drawn == [one.principles(side("y" * i), side("x" * i)) for i in range(300)]
    assert all(len(d) == 1 for d in drawn)
    for k in ("k1", "k2", "k3"):  # 100 expected, SD 8.2
        assert abs(drawn.count((k,)) - 100) < 4.5 * math.sqrt(300 * (1 / 3) * (2 / 3))
    other = LlmJudge(one.settings, biased(0), 1)
    assert drawn != [other.principles(side("x" * i), side("y" * i)) for i in range(300)], "the seed counts"


def test_a_pair_without_a_judgement_is_dropped_and_counted() -> None:
    def says(text: str) -> Reply:
        return Reply(wrong="not an answer: 'hm'", cost=0.5) if text.endswith("|zz|z") else logps(1.0)

    one = judge(Program(says), max_failed=0.5)
    compared = pairs(("xx", "x"), ("z", "zz"), ("y", "yy"))
    got = one.compare(compared)
    assert [f.logit is None for f in got] == [False, True, False]
    rows = labelled(compared, got, one)
    assert [(r.first.text, r.source) for r in rows] == [("xx", "judge"), ("y", "judge")]
    figures = judge_report.of_preferences(got, one.settings)
    assert (figures["requests"], figures["failed"], figures["failure"]) == (3, 1, "not an answer: 'hm'")
    assert figures["cost"] == 0.5


def test_too_many_failures_are_an_error() -> None:
    program = Program(lambda text: Reply(wrong="hm") if "|a" in text else logps(1.0))
    compared = pairs(*[("a", "b")] * 6, *[("x", "y")] * 94)
    with pytest.raises(ValueError, match=r"the judge m gave no judgement of 6 of 100 pairs.*max_failed = 0.05.*: hm"):
        judge(program).compare(compared)
    assert program.most_failed == 10, "questions: five pairs of two"
    assert sum(f.logit is None for f in judge(program, max_failed=0.06).compare(compared)) == 6


def test_what_is_reported_of_a_biased_judge() -> None:
    """Preferences ±1, ±3 at a bias of 2: the first two are flipped by the order, the others not."""
    one = judge(biased(2.0))
    got = one.compare(pairs(("xx", "x"), ("x", "xx"), ("xxxx", "x"), ("x", "xxxx")))
    figures = judge_report.of_preferences(got, one.settings)
    assert figures["position_bias"] == pytest.approx(2.0)
    assert figures["position_bias_se"] == pytest.approx(0.0, abs=1e-9)
    assert figures["flipped"] == 0.5
    assert figures["mass"] == pytest.approx(1.0)


def test_agreement_with_its_interval() -> None:
    """8 right of 10 and one even: 8.5/11; two that the other calls equal, and one without a judgement, are aside."""
    judged = np.array([1.0] * 8 + [-1.0] * 2 + [0.0] + [1.0, -1.0] + [np.nan])
    other = np.array([1.0] * 11 + [0.0, 0.0] + [1.0])
    got = judge_report.agreement(judged, other, "u")
    p, n, z = 8.5 / 11, 11, 1.959964
    middle, half = (p + z * z / 2 / n), z * math.sqrt(p * (1 - p) / n + z * z / 4 / n**2)
    assert got["agreement"] == pytest.approx(p, abs=1e-5)
    assert got["agreement_low"] == pytest.approx((middle - half) / (1 + z * z / n), abs=1e-5)
    assert got["agreement_high"] == pytest.approx((middle + half) / (1 + z * z / n), abs=1e-5)
    assert (got["agreement_pairs"], got["agreement_with"]) == (11, "u")
    assert judge_report.agreement(np.zeros(0), np.zeros(0), "")["agreement"] is None


def test_the_expected_rating_by_hand() -> None:
    p = [0.1, 0.2, 0.1]  # .4 in all: the rest is on other words
    assert expected(Reply(tuple(map(math.log, p)))) == pytest.approx((0.1 * 1 + 0.2 * 2 + 0.1 * 3) / 0.4)
    assert expected(Reply(named=6)) == 7.0


def test_rating_is_a_score_and_a_failure_is_none() -> None:
    def says(text: str) -> Reply:
        return Reply(wrong="hm", cost=1.0) if "bad" in text else Reply(named=len(text.split("|")[1]) - 1, cost=2.0)

    one = judge(Program(says), rating="{principle}|{response}", max_failed=0.5)
    answers = [side("x"), side("bad"), side("xxx")]
    got = JudgeScorer(one, neutral=4.5)(answers)
    assert [v.score for v in got] == [1.0, 4.5, 3.0]
    assert [v.parts["failed"] for v in got] == [0.0, 1.0, 0.0]
    assert [v.cost for v in got] == [2.0, 1.0, 2.0]
    assert got[1].note == "no judgement: hm"
    assert JudgeScorer(one)(answers)[1].score == 2.0, "the mean of the others"
    with pytest.raises(ValueError, match="no judgement of 2 of 3 answers"):
        JudgeScorer(one, 4.5)([side("bad"), side("bad"), side("x")])


def test_the_questions_that_ship() -> None:
    program = Program(lambda text: logps(0.0))
    one = LlmJudge(Settings(model="m", principles=("Be brief.",)), program, 0)
    one.compare(pairs(("short", "long")))
    one.rate([side("short")])
    first, second, rating = program.as_json
    assert "Be brief." in first
    assert first.index("short") < first.index("long")
    assert second.index("long") < second.index("short")
    assert first.endswith("Reply with A or B alone.\n\nAnswer:")
    assert "from 1, very bad, to 10, perfect" in rating
    assert "a number from 1 to 10 alone" in rating
    thinks = LlmJudge(Settings(model="m", endpoint="http://x/v1", reasons=9), program, 0)
    assert thinks.template.endswith("“Answer: ” and A or B.")


def test_braces_in_answers_stay_what_they_are() -> None:
    assert fill("{a} {b} {c}", {"a": "{b}", "b": "\\1"}) == "{b} \\1 {c}"
