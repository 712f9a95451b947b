"""`trueward.run` and what a `Run` holds; sweep, frontier, doctor."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import trueward as tw
from trueward.api.run import overrides

LESS: dict[str, Any] = {
    "runtime": {"threads": 1},
    "sft.epochs": 0.1,
    "comparisons.count": 60,
    "policy": {"steps": 2, "batch_size": 16},
    "sampler": {"max_new_tokens": 8},
    "evaluation": {"final_prompts": 16, "step_prompts": 16, "every": 1, "control": "never"},
}
SECTIONS = {name: value for name, value in LESS.items() if isinstance(value, dict)}
DOTTED = {name: value for name, value in LESS.items() if not isinstance(value, dict)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tw.Run:
    out = tmp_path_factory.mktemp("api") / "run"
    return tw.run("tiny", DOTTED, out=out, progress=False, **SECTIONS)


def test_a_run_holds_what_its_files_say(run: tw.Run) -> None:
    table = json.loads((run.path / "report.json").read_text())
    assert run.report.model_dump(mode="json", exclude_unset=True) == table
    assert run.verdict is not None
    assert run.verdict.word == table["verdict"]["word"]
    assert run.sentence.lower().startswith(str(run.verdict.word)[:5])
    assert list(run.evaluations["step"]) == [0, 1, 2]
    assert list(run.metrics["step"]) == [1, 2]
    assert len(run.rollouts) == 2 * 16
    assert len(run.samples) == 3 * 16
    assert run.recipe.policy.batch_size == 16
    assert run.best is not None
    assert run.policy.generate("this film", seed=1) == tw.Run(run.path).policy.generate("this film", seed=1)
    assert run.reward_model.summary["comparisons"] + run.reward_model.summary["held_out"] <= 60
    assert "policy" in str(run)
    assert tw.Run(run.path).name == "run"


def test_the_same_call_goes_on_and_another_is_refused(run: tw.Run, tmp_path: Path) -> None:
    before = (run.path / "report.json").stat().st_mtime_ns
    tw.run("tiny", DOTTED, out=run.path, progress=False, **SECTIONS)
    assert (run.path / "policy/manifest.json").is_file()
    assert (run.path / "report.json").stat().st_mtime_ns >= before
    with pytest.raises(ValueError, match="holds a run of another recipe"):
        tw.run("tiny", DOTTED, out=run.path, progress=False, **{**SECTIONS, "seed": 1})
    half = tw.run("tiny", DOTTED, out=tmp_path / "half", until="sft", progress=False, **SECTIONS)
    assert half.sft.generate("this film")
    for name in ("policy", "reward_model", "report", "evaluations", "best"):
        with pytest.raises(ValueError, match=r"has no \w+ yet; the same trueward\.run\(\.\.\.\) goes on to it"):
            getattr(half, name)
    with pytest.raises(ValueError, match="there is no such run"):
        tw.Run(tmp_path / "nothing")
    with pytest.raises(ValueError, match="until: expected one of prepare"):
        tw.run("tiny", until="reports")
    with pytest.raises(ValueError, match=r"unknown key policy\.kl_coeff"):
        tw.run("tiny", {"policy.kl_coeff": 1})


def test_settings_are_spelt_as_toml() -> None:
    given: dict[str, Any] = {
        "policy.kl_coef": 0.2,
        "reward.normalize": False,
        "evaluation.truths": ["a", "verifier:x"],
        "reward.model": Path("a b"),
    }
    assert overrides(given, {"seed": 3, "policy": {"kind": "grpo", "options": {"x": 1}}}) == [
        "policy.kl_coef=0.2",
        "reward.normalize=false",
        'evaluation.truths=["a", "verifier:x"]',
        'reward.model="a b"',
        "seed=3",
        'policy.kind="grpo"',
        'policy.options={"x" = 1}',
    ]
    with pytest.raises(ValueError, match=r"reward\.model: expected .* got None; leave a setting out"):
        overrides({"reward.model": None}, {})


def test_several_runs(run: tw.Run, tmp_path: Path) -> None:
    small = {"policy.steps": 3, "policy.batch_size": 16, "comparisons.count": 100, "evaluation.final_prompts": 16}
    less = {"evaluation": {"step_prompts": 16, "every": 1, "control": "never"}, "runtime": {"threads": 1}}
    swept = tw.sweep("nano", {"policy.kl_coef": [0, 3]}, small, out=tmp_path / "sweep", progress=False, **less)
    assert list(swept.runs["value"]) == [0.0, 3.0]
    assert "--over policy.kl_coef=0,3" in swept.table["command"]
    assert (tmp_path / "sweep/sweep.html").is_file()
    assert "policy.kl_coef" in str(swept) or "β" in str(swept)
    runs = [tw.Run(tmp_path / "sweep" / name) for name in swept.runs["run"]]
    plot = tw.frontier(runs)
    assert len(plot.runs) == 2
    assert plot.save(tmp_path / "frontier.html").read_text().startswith("<!doctype html>")
    found = tw.doctor(run)
    assert found.table["findings"] == found.findings
    assert str(found)
    with pytest.raises(ValueError, match="over: expected one setting"):
        tw.sweep("nano", {})
    shutil.rmtree(tmp_path / "sweep")
