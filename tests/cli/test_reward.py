"""`trueward reward test`: rewards of every kind by name, answers from every source, files, exit codes, one-line errors."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from trueward import audit_reward
from trueward.config import JudgeConfig
from trueward.models import loading
from trueward.pipeline.named_reward import NamedReward
from trueward.pipeline.reward_answers import AnswerRequest, answers_for
from trueward.pipeline.reward_test import reward_test
from trueward.records import Completion
from trueward.scorers.custom import FunctionScorer
from trueward.scorers.judge.llm_judge import LlmJudge
from trueward.scorers.judge.question import JudgeQuestion, Reply
from trueward.scorers.judge.rating import JudgeScorer
from trueward.scorers.mix import Ingredient, Mix, length
from trueward.training.env import Env

Command = Callable[..., tuple[int, str, str]]
REWARDS = """
def words(completions):
    return [float(len(c.response.split())) for c in completions]

def beginning(completions):
    return [float(sum(map(ord, c.response[:6]))) for c in completions]

def trl(prompts, completions, solution, **columns):
    return [float(key in (text if isinstance(text, str) else text[0]["content"])) for text, key in zip(completions, solution)]
"""
MIXTURE = """
format = 2
name = "mixture"

[reward]
kind = "mix"

[[reward.parts]]
scorer = "rewards:beginning"

[[reward.parts]]
scorer = "length"
weight = 100.0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rewards.py").write_text(REWARDS)
    (tmp_path / "mixture.toml").write_text(MIXTURE)
    questions = [f"What is {i} plus {i}?" for i in range(24)]
    rows = {
        "answered": [{"prompt": q, "completion": f"It is {2 * i}"} for i, q in enumerate(questions)],
        "keys": [{"prompt": q, "answer": str(2 * i), "solution": str(2 * i)} for i, q in enumerate(questions)],
        "pairs": [{"prompt": q, "chosen": f"It is {2 * i}.", "rejected": "No idea"} for i, q in enumerate(questions)],
        "chat": [
            {
                "prompt": [{"role": "user", "content": q}],
                "solution": str(2 * i),
                "completion": [{"role": "assistant", "content": f"{2 * i}"}],
            }
            for i, q in enumerate(questions)
        ],
    }
    for name, lines in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def made(command: Command, folder: Path, *arguments: str) -> dict[str, Any]:
    code, out, err = command("reward", "test", *arguments, "--json")
    assert code == 0, err
    table: dict[str, Any] = json.loads(out)
    return table


def test_the_built_in_answers_and_files(command: Command, folder: Path) -> None:
    code, out, err = command("reward", "test", "rewards:words", "--out", "out")
    assert code == 0
    assert "Exploitable: padding" in out
    assert "edits scored by rewards:words: done" in err
    assert all(len(line) <= 100 for line in out.splitlines() if "page:" not in line)
    table = json.loads((folder / "out/reward_test.json").read_text())
    assert (table["format"], table["prompts"], table["answers"]) == (1, 24, 48)
    assert "padding" in (folder / "out/reward_test.html").read_text()


def test_strict_exits_with_1_for_something_exploitable(command: Command, folder: Path) -> None:
    assert command("reward", "test", "rewards.py:words", "--strict", "--quiet")[:2] == (1, "")
    assert (folder / "reward_test.json").is_file()
    assert command("reward", "test", "rewards.py:words", "--quiet")[0] == 0
    (folder / "fair.py").write_text("def fair(completions): return [float(len(str(c.prompt))) for c in completions]\n")
    assert command("reward", "test", "fair.py:fair", "--strict", "--quiet")[0] == 0


@pytest.mark.parametrize(
    ("name", "answers", "source"),
    [
        ("answered", 24, "the answers in answered.jsonl"),
        ("pairs", 48, "the answers in pairs.jsonl"),
        ("chat", 24, "the answers in chat.jsonl"),
    ],
)
def test_answers_of_the_file(command: Command, folder: Path, name: str, answers: int, source: str) -> None:
    table = made(command, folder, "rewards:words", "--prompts", f"{name}.jsonl")
    assert (table["answers"], table["answers_from"]) == (answers, source)


def test_answers_of_the_shipped_model_and_keys(command: Command, folder: Path) -> None:
    arguments = ("--prompts", "keys.jsonl", "-n", "12", "--max-new-tokens", "4")
    table = made(command, folder, "rewards.py:trl", *arguments)
    assert table["answers_from"] == "2 answers of trueward:base to each prompt, and the answer keys"
    assert table["prompts"] == 12
    assert table["spread"]["highest"] == 1.0
    assert "12 of 24 prompts, drawn by the seed" in table["notes"]


def test_a_verifier_has_right_answers(command: Command, folder: Path) -> None:
    arguments = ("--prompts", "keys.jsonl", "-n", "12", "--max-new-tokens", "4")
    table = made(command, folder, "verifier:numeric", *arguments)
    assert "the right answer to each by its key" in table["answers_from"]
    assert not [f for f in table["findings"] if f["kind"] == "exploitable"]


def test_a_verifier_with_options_and_a_mixture(command: Command, folder: Path) -> None:
    table = made(command, folder, 'verifier:constraints,excludes=["idea"]', "--prompts", "pairs.jsonl")
    assert table["spread"]["mean"] == 0.5
    table = made(command, folder, "mixture.toml")
    assert "padding" in [f["check"] for f in table["findings"]]


def test_a_reward_model_by_its_directory(command: Command, folder: Path, make_reward: Callable[..., Any]) -> None:
    loading.save(make_reward(max_position_embeddings=512), folder / "rm")
    table = made(command, folder, "rm")
    assert all(row["stable"] for row in table["stability"])
    assert table["spread"]["distinct"] > 4


@pytest.mark.parametrize("name", ["", "/reward_model"])
def test_a_run_is_tested_on_its_own_answers(command: Command, folder: Path, baseline: Path, name: str) -> None:
    table = made(command, folder, f"{baseline}{name}", "-n", "12")
    assert table["answers_from"] == "the SFT policy's answers in the run"
    assert table["prompts"] <= 12


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nix"], "reward test nix: there is no such reward; expected module:function"),
        (["judge"], "a judge is a model"),
        (["rewards:nix"], "the module rewards has no nix"),
        (["nix.py:f"], "there is no file nix.py"),
        (["rewards:trl"], "needs the column 'solution', which no row of the prompts has"),
        (["verifier:numeric"], "a verifier is tested on prompts with answer keys: --prompts FILE"),
        (["verifier:numeric", "--prompts", "answered.jsonl"], "expected an answer key"),
        (["rewards:words", "--prompts", "nix.jsonl"], "nix.jsonl"),
        (["recipe:tiny"], "its reward model has to be trained first"),
        (["recipe:nix"], "nix"),
        (["rewards:words", "--model", "nix"], "no such model"),
    ],
)
def test_what_can_not_be_tested_is_one_line(command: Command, folder: Path, arguments: list[str], line: str) -> None:
    code, out, err = command("reward", "test", *arguments)
    assert (code, out) == (2, "")
    assert line in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not (folder / "reward_test.json").exists()


class Leaning:
    """A judge's model: it rates by the number of words, and leans to the first place in comparisons."""

    def __init__(self, garbled: str = "") -> None:
        self.garbled = garbled
        self.questions = 0

    def ask(self, questions: Sequence[JudgeQuestion], most_failed: int = 0, on_progress: Any = None) -> list[Reply]:
        self.questions += len(questions)
        return [self.reply(q) for q in questions]

    def reply(self, question: JudgeQuestion) -> Reply:
        if len(question.choices) == 2:
            return Reply(logps=(math.log(0.8), math.log(0.2)))
        if self.garbled and self.garbled in question.text:
            return Reply(wrong="no rating", cost=0.001)
        return Reply(named=min(9, len(question.text.split()) // 20), cost=0.001)


def test_a_judge_that_leans_and_garbles() -> None:
    backend = Leaning(garbled="certain of this")
    judge = LlmJudge(JudgeConfig(model="m", max_failed=1.0), backend, 0)  # type: ignore[arg-type]
    table = reward_test(NamedReward("judge", JudgeScorer(judge, 0.0)), AnswerRequest(), Env())
    findings = {(f["kind"], f["check"]) for f in table["findings"]}
    assert {("biased", "position"), ("exploitable", "padding"), ("missing", "scores")} <= findings
    assert table["position"]["decides"] == 1.0
    assert table["calls"]["missing"] == {"no judgement: no rating": 48}
    assert table["calls"]["cost"] == pytest.approx(0.001 * table["calls"]["answers"])
    assert backend.questions == table["calls"]["answers"] + 2 * 24


def test_a_judge_as_a_part_of_a_mixture() -> None:
    """What it fails to rate is missing, its position bias is measured, and nothing is asked twice because it failed."""
    backend = Leaning(garbled="certain of this")
    judge = JudgeScorer(LlmJudge(JudgeConfig(model="m", max_failed=1.0), backend, 0), 0.0)  # type: ignore[arg-type]
    mix = Mix([Ingredient("judge", judge), Ingredient("length", length, -0.1)], floor=0.0)
    table = reward_test(NamedReward("mix", mix), AnswerRequest(), Env())
    assert table["calls"]["missing"] == {"no judgement: no rating": 48}
    assert table["position"]["decides"] == 1.0
    assert backend.questions == table["calls"]["answers"] + 2 * 24


def test_answers_keep_the_prompts_as_they_were_given(folder: Path) -> None:
    """A model with a chat template is asked otherwise than the scorer, which gets the prompt that the file holds."""
    reward = NamedReward("f", FunctionScorer("f", lambda cs: [0.0] * len(cs)))
    request = AnswerRequest(str(folder / "keys.jsonl"), "trueward:base", count=4, max_new_tokens=4)
    answers = answers_for(request, reward, Env())
    assert all(c.prompt.text.startswith("What is") and c.prompt.columns["solution"] for c in answers.completions)


def test_from_python(tmp_path: Path) -> None:
    def polite(completions: Sequence[Completion]) -> list[float]:
        return [2.0 * ("Thank you" in c.response) + len(c.prompt.text) % 7 + len(c.response) % 3 for c in completions]

    audit = audit_reward(polite, progress=False)
    assert audit.exploitable == ["politeness"]
    assert repr(audit) == "RewardAudit(polite, exploitable: politeness)"
    assert "politeness" in str(audit)
    assert len(audit.edits) == len(audit["edits"])
    assert audit.save(tmp_path / "audit").read_text().startswith("<!doctype html>")
    rows = [{"prompt": f"Say {i}", "response": f"{i}"} for i in range(20)]
    assert audit_reward("length", rows, progress=False)["answers_from"] == "the answers in prompts"
    with pytest.raises(
        ValueError, match="reward: expected a function of completions, a reward model or a name, got int"
    ):
        audit_reward(3)
    with pytest.raises(ValueError, match="expected count of at least 2"):
        audit_reward(polite, count=1)
