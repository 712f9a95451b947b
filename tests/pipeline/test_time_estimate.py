"""The plan's time: lines through two trials, and the trials themselves."""

from __future__ import annotations

import pytest

from trueward import config
from trueward.pipeline import time_estimate
from trueward.pipeline.time_estimate import (
    LoopClock,
    StageTimes,
    TrialSize,
    around_seconds,
    looks_seconds,
    steps_seconds,
)
from trueward.progress import Progress

NANO = config.read("nano", ["comparisons.count=1000", "evaluation.final_prompts=200", "evaluation.step_prompts=100"])


def trial(
    stage: str, size: TrialSize, *, load: float = 2.0, one: float = 0.05, step: float = 3.0, first: float = 4.0
) -> StageTimes:
    """A stage that takes `load` seconds, `one` more an answer, comparison or prompt, `step` a step, `first` more the first."""
    units = {"sft": size.answers, "comparisons": size.comparisons, "evaluation": size.prompts}.get(stage, 0)
    looped = first + step * size.steps if stage == "policy" else 0.0
    looks = time_estimate.LOOKS * (1.0 + one * size.prompts) if stage == "policy" else 0.0
    steps = size.steps if stage == "policy" else 0
    return StageTimes(stage, looped, looks, load + one * units, steps, 30 if steps else 0)


@pytest.mark.parametrize(
    ("stage", "wanted"),
    [("prepare", 2), ("sft", 2 + 0.05 * 384), ("comparisons", 2 + 0.05 * 1000), ("evaluation", 2 + 0.05 * 200)],
)
def test_work_around_loops_grows_with_what_it_is_of(stage: str, wanted: float) -> None:
    two = [trial(stage, size) for size in (time_estimate.SMALL, time_estimate.LARGER)]
    assert around_seconds(NANO, *two) == pytest.approx(wanted)


def test_the_first_step_counts_once_and_evaluations_are_as_many_as_the_recipe_has() -> None:
    two = [trial("policy", size) for size in (time_estimate.SMALL, time_estimate.LARGER)]
    assert steps_seconds(*two, 30) == pytest.approx(4 + 3 * 30)
    looks = 1 + 30 / NANO.evaluation.every
    assert looks_seconds(NANO, *two) == pytest.approx(looks * (1 + 0.05 * 100))


def test_a_busy_machine_gives_no_negative_time() -> None:
    slow, fast = StageTimes("policy", 9.0, 1.0, 5.0, 1, 30), StageTimes("policy", 6.0, 0.5, 2.0, 3, 30)
    assert steps_seconds(slow, fast, 30) == pytest.approx(30 * 2.0)
    assert time_estimate.line(5.0, 2.0, 10, 40, 100) == 2.0


def test_fewer_than_a_trial_takes_is_the_trial() -> None:
    assert time_estimate.line(1.0, 2.0, 10, 20, 20) == time_estimate.line(1.0, 2.0, 20, 20, 20) == 2.0


def test_every_stage_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = TrialSize(1, 2, 20, 20), TrialSize(2, 4, 40, 24)
    monkeypatch.setattr(time_estimate, "SMALL", sizes[0])
    monkeypatch.setattr(time_estimate, "LARGER", sizes[1])
    recipe = config.read(
        "tiny", ["sampler.max_new_tokens=6", "reward.learning_curve=false", "reward.probe=0", "sft.batch_size=8"]
    )
    found = time_estimate.estimate_time(recipe, Progress())
    assert [row["stage"] for row in found["stages"]] == [
        "prepare",
        "sft",
        "comparisons",
        "reward_model",
        "policy",
        "evaluation",
    ]
    assert all(row["seconds"] > 0 for row in found["stages"])
    assert found["seconds"] == pytest.approx(sum(row["seconds"] for row in found["stages"]), abs=0.1)
    steps = {row["stage"]: row["steps"] for row in found["stages"]}
    assert steps["policy"] == 20
    assert steps["sft"] == 450
    assert steps["reward_model"] == 2 * recipe.comparisons.count / 40
    assert any("control" in note for note in found["notes"])


def test_a_loop_is_told_from_the_evaluations_between_its_steps() -> None:
    clock, at = LoopClock(), [0.0]
    clock.now = lambda: at[0]
    with clock.stage("policy"):
        at[0] += 1  # a model is loaded
        for step in clock.loop(iter([1, 2]), 20):  # type: ignore[arg-type]
            at[0] += 3
            with clock.during("evaluate"):
                at[0] += 5 * step
        at[0] += 2  # and saved
    (found,) = clock.times()
    assert (found.looped, found.evaluated, found.other) == (6.0, 15.0, 3.0)
    assert (found.steps, found.total) == (2, 20)


def test_a_judge_that_costs_money_is_not_asked() -> None:
    recipe = config.read("tiny", ["comparisons.source=judge", "judge.endpoint=http://127.0.0.1:9", "judge.model=m"])
    with pytest.raises(ValueError, match="calls of the judge's service"):
        time_estimate.estimate_time(recipe, Progress())
