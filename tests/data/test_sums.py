"""Sums in words: keys, a teacher who is as often right as it says, and the verifiers that tell a hedge from an answer."""

from __future__ import annotations

from trueward.data import sums
from trueward.data.sums import FORMS, LARGEST, QUESTIONS, RIGHT
from trueward.records import Completion, Prompt
from trueward.scorers import loose
from trueward.scorers.verifiers import catalogue


def score(function: object, response: str, answer: str = "12") -> float:
    return function([Completion(prompt=Prompt(text="what is 5 plus 7 ?", answer=answer), response=response)])[0]  # type: ignore[operator]


def strict(response: str) -> float:
    verifier = catalogue.make("numeric", {}, "numeric")
    return verifier([Completion(prompt=Prompt(text="what is 5 plus 7 ?", answer="12"), response=response)])[0].score


def test_every_question_about_every_two_numbers_once() -> None:
    prompts = sums.prompts()
    assert len(prompts) == len({p.text for p in prompts}) == len(QUESTIONS) * LARGEST**2
    assert {p.answer for p in prompts if p.text == "3 + 4 ="} == {"7"}


def test_the_teacher_is_right_and_hedges_as_often_as_it_says() -> None:
    """8,000 demonstrations: four standard errors."""
    shown = sums.demonstrations()
    assert shown == sums.demonstrations()
    error = 4 * 0.5 / len(shown) ** 0.5
    first = [loose.NUMBER.findall(d.response)[0] == d.prompt.answer for d in shown]
    assert abs(sum(first) / len(shown) - RIGHT) < error
    hedges = [len(loose.NUMBER.findall(d.response)) > 1 for d in shown]
    assert abs(sum(hedges) / len(shown) - sum(share for form, share in FORMS if form.count("{}") > 1)) < error


def test_what_pleases_the_loose_ones_and_not_the_strict_one() -> None:
    for response, anywhere, form, right in (
        (" 12 .", 1, 0, 1),
        (" it is 12 .", 1, 1, 1),
        (" it is 13 .", 0, 1, 0),
        (" 11 or 12 .", 1, 0, 0),
        (" maybe 11 , 12 or 13 .", 1, 0, 0),
        (" 112 .", 0, 0, 0),
        ("", 0, 0, 0),
    ):
        found = (score(loose.number_anywhere, response), score(loose.form_alone, response), strict(response))
        assert found == (anywhere, form, right), response
