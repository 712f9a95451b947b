"""TRL's reward functions as they are, in Python and in a run on disk: all columns, messages, None."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trueward as tw

QUICK: dict[str, Any] = {"sampler": {"max_new_tokens": 6}, "runtime": {"threads": 1}, "progress": False}
LESS: dict[str, Any] = {"kind": "grpo", "group": {"size": 2}, "steps": 2, "batch_size": 8, "minibatches": 2}
ROWS = [{"prompt": f"the film {i}", "length": i % 5, "level": "hard" if i % 2 else None} for i in range(60)]
SOURCE = '''
"""As TRL's documentation writes them."""


def near(prompts, completions, length, **kwargs):
    assert set(kwargs) == {"level"}, sorted(kwargs)
    assert all(isinstance(text, str) for text in prompts + completions)
    assert all(isinstance(n, int) for n in length)
    return [None if level is None else -abs(n - len(text.split()))
            for text, n, level in zip(completions, length, kwargs["level"])]


def brief(completions, **kwargs):
    return [-float(len(text)) for text in completions]
'''
EVALUATED = {"every": 2, "step_prompts": 8}


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    file = tmp_path_factory.mktemp("trl") / "trl_rewards.py"
    file.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("trl_rewards", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Callable[..., Any] = module.near
    return function


@pytest.fixture(scope="module")
def sft() -> tw.SupervisedPolicy:
    return tw.sft("trueward:tiny", prompts=ROWS, **QUICK)


def test_a_function_of_trls_form_is_a_reward_and_a_truth(sft: tw.SupervisedPolicy, near: Any) -> None:
    policy = tw.optimize(sft, near, truths={"near": near}, evaluation=EVALUATED, **LESS, **QUICK)
    assert len(policy.rollouts) == 16
    figures = tw.evaluate(policy, sft.held_out, scorers={"near": near}, max_new_tokens=6, progress=False)
    assert len(figures["scorers"]) == 1


def test_prompts_keep_their_rows_columns(sft: tw.SupervisedPolicy) -> None:
    assert {p.columns["length"] for p in sft.prompts} == {0, 1, 2, 3, 4}
    assert all(set(p.columns) <= {"length", "level"} for p in sft.prompts)


def test_a_column_that_is_missing_is_known_before_training(sft: tw.SupervisedPolicy) -> None:
    def lacking(completions: Any, target: Any, **kwargs: Any) -> list[float]:
        return [0.0] * len(completions)

    for call in (
        lambda: tw.optimize(sft, lacking, **LESS, **QUICK),
        lambda: tw.optimize(sft, len, truths={"mine": lacking}, **LESS, **QUICK),
        lambda: tw.evaluate(sft, sft.held_out, scorers={"mine": lacking}, progress=False),
        lambda: tw.compare(sft, sft.prompts, utility=lacking, count=4, **QUICK),
    ):
        with pytest.raises(
            ValueError, match=r"needs the column 'target', which no row of the prompts has; there are: "
        ):
            call()


def test_an_annotator_that_raises_is_one_line(sft: tw.SupervisedPolicy) -> None:
    def annotator(first: tw.Completion, second: tw.Completion) -> float:
        return float(first.text)  # type: ignore[attr-defined]  # the mistake that is to be named

    with pytest.raises(ValueError, match=r"the annotator raised AttributeError: .*test_trl_rewards.py, line \d+\)$"):
        tw.compare(sft, sft.prompts, annotator=annotator, count=4, **QUICK)


def digests(run: Path) -> dict[str, str]:
    return {row["name"]: row["digest"] for row in json.loads((run / "pipeline.json").read_text())}


@pytest.mark.parametrize("truncation", ["drop", "left"])
def test_in_a_run_all_columns_of_the_prompts_file_are_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, truncation: str
) -> None:
    """Cut prompts too; and no stage before the reward depends on who reads them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(SOURCE)
    long = " ".join(["and the story"] * 9)
    rows = [{**row, "prompt": f"{long} {row['prompt']}"} if truncation == "left" else row for row in ROWS]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {
        "data.prompts": "asked.jsonl",
        "data.truncation": truncation,
        "evaluation.truths": ["mine:near"],
        "evaluation.proxy_is_truth": True,
        "evaluation.control": "never",
        "evaluation.final_prompts": 6,
        "evaluation.step_prompts": 6,
        "sft.epochs": 0.1,
        "sampler.max_new_tokens": 6,
        "policy.steps": 2,
        "policy.batch_size": 8,
        "runtime.threads": 1,
    }
    reward = {"reward.kind": "verifier", "reward.verifier": "mine:near"}
    run = tw.run("tiny", {**settings, **reward}, out=tmp_path / "run", progress=False)
    assert not any("was not used" in note for note in run.table["notes"])
    assert "columns" not in (tmp_path / "run/prepare/prompts.jsonl").read_text()
    other = {**settings, "evaluation.truths": [], "evaluation.proxy_is_truth": False}
    tw.run(
        "tiny", {**other, "reward.kind": "verifier", "reward.verifier": "mine:brief"}, out=tmp_path / "two", until="sft"
    )
    one, two = digests(tmp_path / "run"), digests(tmp_path / "two")
    assert {name: one[name] for name in two} == two
    assert len(run.rollouts) == 16


def test_calls_read_rows_as_their_settings_say() -> None:
    shown = [{"frage": f"the film {i}", "reply": " is good"} for i in range(40)]
    how = {"data": {"columns": {"prompt": "frage", "completion": "reply", "chosen": "gut", "rejected": "schlecht"}}}
    sft = tw.sft("trueward:tiny", shown, epochs=0.1, **how, **QUICK)
    assert len(sft.prompts) + len(sft.held_out) == 40
    pairs = tw.compare(sft, shown[:6], annotator=lambda first, second: 0.5, **how, **QUICK)
    assert pairs.summary["source"] == "annotator"
    rated = [{"frage": f"the film {i}", "gut": " is good", "schlecht": " is dull"} for i in range(40)]
    assert tw.fit_reward_model(sft, rated, **how, **QUICK).summary
    with pytest.raises(ValueError, match=r'missing field of data.columns = \{prompt = "question"\}'):
        tw.compare(sft, shown, annotator=lambda first, second: 0.5, data={"columns": {"prompt": "question"}}, **QUICK)
    with pytest.raises(ValueError, match=r"trueward.sft: data.order"):
        tw.sft("trueward:tiny", shown, data={"order": "worst-first"}, **QUICK)


def test_lengths_come_from_the_data_and_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": f"the film {i}", "completion": " is good " * (30 if i == 7 else 3)} for i in range(300)]
    sft = tw.sft("trueward:tiny", rows, epochs=0.02, **{**QUICK, "progress": True})
    said = capsys.readouterr().err
    assert "prepare: data.max_prompt_tokens = " in said
    assert "prepare: 1 demonstrations left out: response longer than data.max_response_tokens = " in said
    assert len(sft.prompts) + len(sft.held_out) == 300
    again = tw.optimize(sft, "length", **LESS, **{**QUICK, "progress": True})
    assert again.summary
    assert "prompts left out" not in capsys.readouterr().err, "what is too long was left out before"
