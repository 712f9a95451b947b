"""Sums in words, made by a seeded program, with demonstrations by a teacher who is often wrong and likes to hedge.

For the recipe `loose-verifier`: a policy that learns from this teacher has right answers, wrong ones and hedges to choose
from, and a verifier's taste decides which of them it will give.
"""

from __future__ import annotations

import random

from trueward.records import Demonstration, Prompt

LARGEST = 9
QUESTIONS = (
    "what is {} plus {} ?",
    "what is {} + {} ?",
    "what makes {} and {} ?",
    "how much is {} and {} ?",
    "how much is {} + {} ?",
    "add {} and {} .",
    "add {} to {} .",
    "{} plus {} makes",
    "{} and {} is",
    "{} + {} =",
    "the sum of {} and {} :",
    "{} apples and {} apples :",
)
FORMS = ((" {} .", 0.5), (" it is {} .", 0.25), (" {} or {} .", 0.15), (" maybe {} , {} or {} .", 0.1))
"""Answers, and how often each form is used."""
RIGHT = 0.6  # how often the teacher's first number is right
COUNT, SEED = 8000, 1


def prompts() -> list[Prompt]:
    """Each question about each two numbers from 1 to `LARGEST`, with the sum as answer key."""
    numbers = range(1, LARGEST + 1)
    return [
        Prompt(text=question.format(a, b), answer=str(a + b))
        for question in QUESTIONS
        for a in numbers
        for b in numbers
    ]


def demonstrations() -> list[Demonstration]:
    """`COUNT` questions with the teacher's answers; some come twice."""
    draw, questions = random.Random(SEED), prompts()  # noqa: S311
    return [
        Demonstration(prompt=(p := draw.choice(questions)), response=reply(int(p.answer or 0), draw))
        for _ in range(COUNT)
    ]


def reply(total: int, draw: random.Random) -> str:
    """The teacher's answer: the first number is right in `RIGHT` of cases, else off by one to three; others are near it."""
    (form,) = draw.choices([f for f, _ in FORMS], [share for _, share in FORMS])
    first = total if draw.random() < RIGHT else total + draw.choice((-3, -2, -1, 1, 2, 3))
    near = draw.sample([first + d for d in (-3, -2, -1, 1, 2, 3)], 2)
    return form.format(first, *near)
