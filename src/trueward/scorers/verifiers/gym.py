"""Tasks of reasoning-gym (Stojanovski et al. 2025, arXiv 2505.24760): generated prompts with their own verifiers."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, ClassVar

from pydantic import Field

from trueward.extras import require
from trueward.records import Prompt, Score
from trueward.scorers.verifiers.final import final, only_ascii_digits
from trueward.scorers.verifiers.verifier import Options, Verifier

PREFIX = "reasoning-gym:"
SIZE = 2000


class GymOptions(Options):
    """Options of `gym`."""

    full_marks: bool = True
    """Whether only 1.0 counts: some tasks give 0.01 and more for any answer, which a policy would exploit."""
    marker: str = Field("", max_length=80)
    """As in numeric."""


class Gym(Verifier[GymOptions]):
    """Scores by the task's own verifier."""

    summary = "the verifier of any task of reasoning-gym, with data.prompts = reasoning-gym:TASK (needs its extra)"
    options_type = GymOptions
    examples: ClassVar[tuple[Prompt, ...]] = ()
    unique = True
    deterministic = False  # nothing says so of the tasks' own code

    def check(self, answer: str) -> None:
        """As `Verifier`; the key has to be one that `prompts` made."""
        super().check(answer)
        entry(answer)

    def judge(self, response: str, answer: str) -> Score:
        """The task's own score, in [0, 1], or only whether it is 1; it is the part `gym`."""
        task, task_entry = entry(answer)
        text = final(response, self.options.marker)
        if text and not only_ascii_digits(text) and only_ascii_digits(str(task_entry["answer"])):
            return Score(score=0.0, note="digits that are not 0 to 9")
        if text and several(text, str(task_entry["answer"])):
            return Score(score=0.0, note="more than one answer")
        try:
            score = float(task.score_answer(text, task_entry)) if text else 0.0
        except Exception as error:  # some tasks' verifiers raise on unexpected answers
            return Score(score=0.0, note=f"its verifier failed: {type(error).__name__}")
        score = min(max(score, 0.0), 1.0)
        return Score(score=float(score >= 1.0) if self.options.full_marks else score, parts={"gym": score})

    def right(self, answer: str) -> str | None:
        """The entry's answer; None if it has none."""
        key = entry(answer)[1]["answer"]
        return None if key is None else f"{self.options.marker} {key}".strip()


def several(text: str, key: str) -> bool:
    """Whether a final answer names more than one: several words where the key is one, or more `or`s than the key has.

    Eleven of the tasks' own verifiers give full marks to the key among other answers (version 0.1.25, 3 prompts each).
    """
    return (len(key.split()) == 1 and len(text.split()) > 1) or (" or " in text and " or " not in key)


def prompts(task: str, settings: dict[str, Any], seed: int = 0) -> list[Prompt]:
    """`size` prompts of a task (2,000 by default), each with the key from which its verifier makes the entry again.

    settings: the task's own. A question that the task repeats, small sums for example, is one prompt.
    """
    settings = {"size": SIZE, "seed": seed, **settings}
    where = canonical(settings)
    made = dataset(task, where)
    first: dict[str, int] = {}
    for i in range(settings["size"]):
        first.setdefault(made[i]["question"], i)
    return [
        Prompt(text=question, answer=json.dumps({"task": task, "settings": settings, "index": i}))
        for question, i in first.items()
    ]


def entry(answer: str) -> tuple[Any, dict[str, Any]]:
    """The task and the entry that an answer key describes."""
    try:
        table = json.loads(answer)
        made = dataset(table["task"], canonical(table["settings"]))
        return made, made[table["index"]]
    except (json.JSONDecodeError, KeyError, TypeError, IndexError):
        raise ValueError(f"expected a prompt of data.prompts = {PREFIX}TASK, got the key {answer[:60]!r}") from None


def canonical(settings: dict[str, Any]) -> str:
    """Settings as JSON with sorted keys."""
    return json.dumps(settings, sort_keys=True)


@lru_cache(maxsize=8)
def dataset(task: str, settings: str) -> Any:
    """A task with its settings, as JSON. `ValueError` in one line for an unknown task or setting."""
    require(f"{PREFIX}{task} needs", "reasoning-gym")
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    if task not in DATASETS:
        import difflib

        near = difflib.get_close_matches(task, DATASETS, n=1)
        raise ValueError(f"reasoning-gym has no task {task!r}" + (f"; did you mean {near[0]}?" if near else ""))
    try:
        return reasoning_gym.create_dataset(task, **json.loads(settings))
    except (TypeError, AssertionError, ValueError) as error:
        raise ValueError(f"data.task: reasoning-gym's {task}: {error}") from None
