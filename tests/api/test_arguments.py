"""Arguments of the functions: what can't be meant is refused in one line before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trueward as tw
from trueward.data import toy

QUICK: dict[str, Any] = {"sampler": {"max_new_tokens": 6}, "runtime": {"threads": 1}, "progress": False}


def vowels(completions: list[tw.Completion]) -> list[float]:
    return [float(sum(c.response.count(v) for v in "aeiou")) for c in completions]


@pytest.fixture(scope="module")
def sft() -> tw.SupervisedPolicy:
    return tw.sft("trueward:tiny", prompts=[prompt for prompt, _ in toy.reviews(40, seed=2)], **QUICK)


SWEEPS: list[tuple[Any, str]] = [
    ({"policy.kl_coef": []}, "over policy.kl_coef: expected at least one value"),
    ({"policy.kind": "ppo"}, "over policy.kind: expected a list of values, got 'ppo'"),
    ({"policy.kl_coef": 0.1}, "over policy.kl_coef: expected a list of values, got 0.1"),
    ({"seed": [1, 2]}, "seeds are swept with seeds=N"),
    ({"runtime.threads": [1, 2]}, r"over runtime.threads: \[runtime\] changes no result"),
    ({"policy.kl_coef": [0], "policy.steps": [1]}, "expected one setting with its values, got 2"),
]


@pytest.mark.parametrize(("over", "message"), SWEEPS)
def test_what_can_not_be_swept(over: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"^trueward\.sweep: {message}|^trueward\.sweep: over: {message}"):
        tw.sweep("nano", over, out=tmp_path / "sweep", progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("runs", [[], "reviews", Path("runs/reviews")])
def test_a_frontier_is_of_a_list_of_runs(runs: Any) -> None:
    with pytest.raises(ValueError, match=r"^trueward\.frontier: expected a list of at least one run, got "):
        tw.frontier(runs)


@pytest.mark.parametrize("count", [0, -1])
def test_counts_that_leave_nothing(sft: tw.SupervisedPolicy, count: int) -> None:
    with pytest.raises(ValueError, match=r"^trueward\.compare: comparisons\.count: .* got "):
        tw.compare(sft, sft.prompts, annotator=lambda first, second: True, count=count, **QUICK)
    with pytest.raises(ValueError, match=r"^trueward\.evaluate: count: expected at least 2, got "):
        tw.evaluate(sft, sft.prompts, scorers=vowels, count=count, progress=False)


@pytest.mark.parametrize("name", ["given", "people:films"])
def test_a_truth_may_not_be_called_what_means_something_else(sft: tw.SupervisedPolicy, name: str) -> None:
    """A truth called as the reward is in the recipe would be the reward, and one of people is asked of people."""
    with pytest.raises(ValueError, match=rf"^trueward\.optimize: truths: '{name}' has a meaning of its own"):
        tw.optimize(sft, vowels, truths={name: vowels}, steps=1, **QUICK)


ONE: list[Callable[[str], Any]] = [str, lambda text: {"prompt": text}, lambda text: tw.Prompt(text=text)]


@pytest.mark.parametrize("form", ONE, ids=["str", "dict", "Prompt"])
def test_one_prompt_is_answered_by_one_text(sft: tw.SupervisedPolicy, form: Callable[[str], Any]) -> None:
    expected = sft.generate("a fine film", max_new_tokens=4)
    assert isinstance(expected, str)
    assert sft.generate(form("a fine film"), max_new_tokens=4) == expected
    assert sft.generate([form("a fine film")], max_new_tokens=4) == [expected]
    two = sft.generate(form("a fine film"), n=2, max_new_tokens=4)
    assert [type(answer) for answer in two] == [str, str]


def test_a_reward_model_that_was_kept_has_its_metrics(sft: tw.SupervisedPolicy, tmp_path: Path) -> None:
    rows = [{"prompt": p, "chosen": r, "rejected": r[: len(r) // 2]} for p, r in toy.reviews(40, seed=2)]
    made = tw.fit_reward_model(sft, rows, out=tmp_path / "reward", **QUICK)
    read = tw.load_reward_model(tmp_path / "reward")
    assert made.metrics == read.metrics != []
    assert read.score("a fine film", " was great .") == pytest.approx(made.score("a fine film", " was great ."))


def test_the_command_in_the_report_makes_the_same_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import importlib

    module = importlib.import_module("trueward.api.run")
    commands: list[str] = []
    monkeypatch.setattr(module, "run_pipeline", lambda *rest, command, **more: commands.append(command))
    monkeypatch.setattr(module, "Run", Path)
    tw.run("tiny", {"seed": 3}, without=["anchor"], out=tmp_path / "a run", progress=False)
    assert commands == [f"trueward run tiny --set seed=3 --without anchor --out '{tmp_path}/a run'"]
