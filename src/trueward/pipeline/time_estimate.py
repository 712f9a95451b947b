"""How long a recipe will take on this machine: two short trials of all its stages, and straight lines through them.

A stage's time is a number of steps, each of which takes about as long as another, and work around its loops, which grows with
answers, comparisons or prompts. The trials differ in both, so that what a stage takes in any case (a model that is loaded) is
told apart from what grows.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trueward.batches import Step
from trueward.config import Recipe
from trueward.pipeline import relabel_people
from trueward.pipeline.cache import RunCache
from trueward.pipeline.graph import graph
from trueward.pipeline.parts import Parts
from trueward.pipeline.process import process_settings
from trueward.pipeline.profiler import WatchedCache, watching
from trueward.pipeline.run import check_inputs
from trueward.pipeline.sft import REFERENCE_PROMPTS
from trueward.pipeline.stage_clock import Clock
from trueward.pipeline.surroundings import run_env, with_precision
from trueward.progress import Progress
from trueward.training.env import Trial


@dataclass(frozen=True)
class TrialSize:
    """What one trial is cut down to."""

    steps: int
    answers: int
    comparisons: int
    prompts: int


SMALL, LARGER = TrialSize(1, 12, 100, 20), TrialSize(3, 48, 400, 60)
LOOKS = 2  # of a trial's policy, before its first step and after its last


@dataclass
class StageTimes:
    """Seconds of one stage in one trial."""

    stage: str
    looped: float = 0.0
    """In the steps of its loops."""
    evaluated: float = 0.0
    """In evaluations of training."""
    other: float = 0.0
    steps: int = 0
    total: int = 0
    """Steps that the recipe asks for."""


class LoopClock(Clock):
    """Tells a stage's loops from the work around them."""

    def __init__(self) -> None:
        super().__init__()
        self.looped: dict[str, float] = {}

    def loop(self, steps: Iterator[Step], total: int) -> Iterator[Step]:
        """As `Clock`; evaluations between two steps are not of the loop."""
        counts, at, before = self.counts, self.now(), self._evaluated()
        yield from super().loop(steps, total)
        spent = self.now() - at - (self._evaluated() - before)
        self.looped[counts.stage] = self.looped.get(counts.stage, 0.0) + spent

    def times(self) -> list[StageTimes]:
        """Of every stage that has ended, in order."""
        return [
            StageTimes(
                c.stage,
                looped := self.looped.get(c.stage, 0.0),
                c.beats["evaluate"],
                max(0.0, c.seconds - looped - c.beats["evaluate"]),
                c.steps,
                c.total,
            )
            for c in self.stages
        ]

    def _evaluated(self) -> float:
        return self.counts.beats["evaluate"] + (self.now() - self.since) * (self.beat == "evaluate")


def estimate_time(recipe: Recipe, progress: Progress) -> dict[str, Any]:
    """Seconds of every stage and of all, as JSON has them, and what the estimate took.

    `ValueError` for a recipe that can't be run, or whose trials would ask a service that costs money.
    """
    began = time.monotonic()
    refuse_services(recipe)
    first, second = measured(recipe, SMALL, progress), measured(recipe, LARGER, progress)
    seconds = [round(stage_seconds(recipe, a, b), 2) for a, b in zip(first, second, strict=True)]
    rows = [
        {"stage": b.stage, "seconds": s, "steps": whole_steps(recipe, b)} for s, b in zip(seconds, second, strict=True)
    ]
    took = round(time.monotonic() - began, 2)
    return {"seconds": round(sum(seconds), 2), "stages": rows, "took": took, "notes": notes(recipe)}


def refuse_services(recipe: Recipe) -> None:
    """`ValueError` where a trial would make calls that somebody pays for."""
    part = Parts(recipe)
    judge = recipe.judge if recipe.comparisons.source == "judge" and part.fits else part.judge
    if (judge and judge.endpoint) or any(one.endpoint for one in recipe.evaluation.judge):
        raise ValueError(
            "--measure: a trial would make some hundred calls of the judge's service; --plan without it asks nobody"
        )


def measured(recipe: Recipe, size: TrialSize, progress: Progress) -> list[StageTimes]:
    """The stages up to the evaluation, cut down to a size, in a temporary directory; without people and trackers."""
    evaluation = recipe.evaluation.model_dump() | {
        "final_prompts": size.prompts,
        "step_prompts": size.prompts,
        "every": 10**6,
        "control": "never",
    }
    count = min(recipe.comparisons.count, size.comparisons)
    small = recipe.model_copy(
        update={
            "evaluation": type(recipe.evaluation)(**evaluation),
            "comparisons": recipe.comparisons.model_copy(update={"count": count}),
            "runtime": recipe.runtime.model_copy(update={"tracking": "none"}),
        }
    )
    clock = LoopClock()
    with tempfile.TemporaryDirectory(prefix="trueward-plan-") as folder, process_settings(small):
        home = Path(folder)
        small = with_precision(relabel_people.pinned(small, home / "plan"))
        env = replace(run_env(small, progress, tracked=False), trial=Trial(size.steps, size.answers))
        source = check_inputs(small, env, "evaluation")
        with RunCache(home, "plan", small, env).open() as cache, watching(clock):
            for made in graph(small, source, WatchedCache(cache, clock)):
                if made.name == "evaluation":
                    break
    return clock.times()


def stage_seconds(recipe: Recipe, first: StageTimes, second: StageTimes) -> float:
    """What a stage takes in the whole run, from two trials of it."""
    whole = whole_steps(recipe, second)
    return (
        steps_seconds(first, second, whole)
        + around_seconds(recipe, first, second)
        + looks_seconds(recipe, first, second)
    )


def whole_steps(recipe: Recipe, second: StageTimes) -> int:
    """Steps of a stage in the whole run: a reward model that is fitted to more comparisons has as many times more."""
    _, cut, count = _counts(recipe)
    return round(second.total * count / cut) if second.stage == "reward_model" else second.total


def steps_seconds(first: StageTimes, second: StageTimes, whole: int) -> float:
    """Of `whole` steps: the later steps of the larger trial, and once what the first steps take beside that."""
    if not second.steps:
        return 0.0
    more = second.steps - first.steps
    each = (second.looped - first.looped) / more if more else second.looped / second.steps
    if each <= 0:  # a machine that others use
        each = second.looped / second.steps
    return second.looped + each * (whole - second.steps)


def around_seconds(recipe: Recipe, first: StageTimes, second: StageTimes) -> float:
    """Of the work around the loops, which grows with answers, comparisons or prompts."""
    units = {
        "sft": (SMALL.answers, LARGER.answers, REFERENCE_PROMPTS),
        "comparisons": _counts(recipe),
        "reward_model": _counts(recipe),
        "evaluation": (SMALL.prompts, LARGER.prompts, recipe.evaluation.final_prompts),
    }
    if first.stage not in units:
        return second.other
    return line(first.other, second.other, *units[first.stage])


def looks_seconds(recipe: Recipe, first: StageTimes, second: StageTimes) -> float:
    """Of the evaluations on the way: as many as the recipe has, on as many prompts."""
    if not second.evaluated:
        return 0.0
    every = recipe.evaluation.every
    looks = 1 + -(-second.total // every) if every else LOOKS
    one = line(
        first.evaluated / LOOKS, second.evaluated / LOOKS, SMALL.prompts, LARGER.prompts, recipe.evaluation.step_prompts
    )
    return looks * one


def line(first: float, second: float, few: float, more: float, all_of_them: float) -> float:
    """What `all_of_them` would take, if `few` took `first` seconds and `more` took `second`; never less than the larger trial.

    >>> line(2.0, 5.0, 10, 40, 100)
    11.0
    """
    if more <= few or all_of_them <= more:
        return second
    return second + max(0.0, (second - first) / (more - few)) * (all_of_them - more)


def notes(recipe: Recipe) -> list[str]:
    """What the estimate leaves out, a sentence each."""
    said = []
    if recipe.evaluation.control != "never":
        said.append(
            "a run in which the truth doesn't move trains a control, which takes about as long as the policy's steps again"
        )
    if recipe.policy.relabel.every:
        said.append("relabelling is not counted")
    if recipe.evaluation.guards:
        said.append("guards are not counted")
    return said


def _counts(recipe: Recipe) -> tuple[int, int, int]:
    count = recipe.comparisons.count
    return min(SMALL.comparisons, count), min(LARGER.comparisons, count), count
