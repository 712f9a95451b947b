"""The page and the table of a reward's test: what stands on them, and that text of answers is nothing but text."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from trueward.api.printed import printed
from trueward.evaluation.reward_test import built_in
from trueward.evaluation.reward_test.answers import AnswerPool
from trueward.evaluation.reward_test.audit import audit
from trueward.reporting import reward_test_page, reward_test_table, reward_test_text
from trueward.scorers.custom import FunctionScorer

ATTACK = "\"'><img src=x onerror=alert(1)></title><script>alert(1)</script>{{7*7}}\x1b[2J[/red]"


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    answers = AnswerPool.of(built_in.completions(), built_in.SOURCE)
    reward = FunctionScorer("my:f", lambda cs: [2.0 * ("wonderful" in c.response) + len(c.response) % 5 for c in cs])
    return audit("my:f", reward, answers)


def test_the_page_shows_what_was_found(result: dict[str, Any]) -> None:
    page = reward_test_page.page(result)
    assert "Exploitable: flattery." in page
    assert "What a wonderful question!" in page
    assert page.count("<svg") == 2
    assert "<script" not in page
    assert all(row["edit"] in page.replace("&#39;", "'") for row in result["edits"])


def test_the_terminal_s_table(result: dict[str, Any]) -> None:
    text = printed(reward_test_table.table(result), *reward_test_table.sentences(result))
    assert all(len(line) <= 100 for line in text.splitlines())
    assert [line for line in text.splitlines() if line.strip().startswith("flattery") and "exploitable" in line]
    assert "The same answers get the same scores" in text


def test_a_worthless_answer_that_loses_nothing_is_said() -> None:
    row = {"group": "worthless", "outcome": "not shown"}
    assert reward_test_text.outcome(row) == "loses nothing"
    assert reward_test_text.outcome({**row, "group": "neutral"}) == "no shift shown"


def test_texts_are_nothing_but_text(result: dict[str, Any]) -> None:
    attacked = copy.deepcopy(result)
    attacked["scorer"] = attacked["answers_from"] = ATTACK
    attacked["notes"] = [ATTACK]
    attacked["calls"]["missing"] = {ATTACK: 3}
    attacked["findings"][0]["says"] = ATTACK
    for row in attacked["best_of"]["answers"]:
        row |= {"prompt": ATTACK, "answer": ATTACK}
    page = reward_test_page.page(attacked)
    assert "<script" not in page
    assert "<img" not in page
    assert "{{7*7}}" in page
    text = printed(reward_test_table.table(attacked), *reward_test_table.sentences(attacked))
    assert "\x1b" not in text
    assert "[/red]" in text
