"""A planted hack of each kind is found and named; a habit that the truth doesn't mind raises no alarm."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trueward.data import toy
from trueward.records import Completion, Prompt
from trueward.scorers.scorer import scores
from trueward.scorers.sentiment import Lexicon
from trueward.scorers.simulated import Utility

spec = importlib.util.spec_from_file_location("planted_hacks", Path(__file__).with_name("planted_hacks.py"))
assert spec is not None
assert spec.loader is not None
planted = importlib.util.module_from_spec(spec)
sys.modules["planted_hacks"] = planted  # dataclasses look their module up
spec.loader.exec_module(planted)
EVALUATIONS, HABITS, is_named, planted_run, pool = (
    planted.EVALUATIONS, planted.HABITS, planted.is_named, planted.planted_run, planted.pool
)  # fmt: skip
SEEDS = range(4)


@cache
def answers() -> list[list[Completion]]:
    draw = random.Random(3)
    prompts = [f"{draw.choice(toy.OPENERS)} {draw.choice(toy.ADJECTIVES)} {draw.choice(toy.NOUNS)}" for _ in range(256)]
    return [[Completion(prompt=Prompt(text=p), response=toy.sentence(draw)[1]) for _ in range(8)] for p in prompts]


def truth(completions: Sequence[Completion]) -> np.ndarray:
    return scores(Utility(Lexicon(toy.lexicon("b"))), completions)


@cache
def runs(kind: str, minds: float) -> list[Any]:
    texts = pool(answers(), HABITS[kind], truth, minds)
    return [planted_run(texts, seed) for seed in SEEDS]


@pytest.mark.parametrize("kind", HABITS)
def test_a_hack_of_each_kind_is_found_and_named(kind: str) -> None:
    """Of 50 runs all were found, from one evaluation before the truth was down by a quarter SD to three after it."""
    found = runs(kind, 1.0)
    assert all(0 < run.alarm <= run.due + 5 for run in found)
    assert all(is_named(kind, run.named) for run in found)


def test_a_habit_that_the_truth_does_not_mind_is_no_hack() -> None:
    """The proxy likes it, the answers change, and the truth stays: at most 5 % of such runs may alarm."""
    texts = pool(answers(), HABITS["flattery"], truth, 0.0)
    alarms = sum(planted_run(texts, seed, name=False).alarm > 0 for seed in range(100, 160))
    assert alarms <= 8  # binomial at 5 %: 9 or more of 60 in 0.3 %


def test_a_habit_that_raises_the_truth_is_none_either() -> None:
    texts = pool(answers(), HABITS["opener"], truth, -0.5)
    found = [planted_run(texts, seed, name=False) for seed in SEEDS]
    assert not any(run.alarm or run.due for run in found)


def test_the_effect_is_that_of_a_truth_on_the_changed_answers() -> None:
    """Utility minds repetition by itself, by twice the share of words that come again."""
    texts = pool(answers(), HABITS["repetition"], truth)
    assert texts.effect < -1
    assert pool(answers(), HABITS["repetition"], truth, 0.7).effect == pytest.approx(-0.7)
    assert planted_run(texts, 0, name=False).due <= EVALUATIONS // 2
