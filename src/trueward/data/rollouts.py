"""Answers that some training run wrote down, by step, from whatever tool: files of rows with a prompt, an answer and scores.

Understood are TRL's `completions/completions_STEP.parquet` (`prompt`, `completion`, `step`, a column for each reward), verl's
dumps of rollouts and validations, `STEP.jsonl` (`input`, `output`, `gts`, `score`, `step`), trueward's own `samples.jsonl`,
and any JSONL, CSV or Parquet with such columns. The step is a column's, else the last number in the file's name, else in its
folder's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from trueward.artifacts import expanded
from trueward.data import tables
from trueward.data.rows import Row, UnusableRowError
from trueward.records import Completion, Prompt

PROMPTS = ("prompt", "input", "question", "messages")
ANSWERS = ("completion", "output", "response")
KEYS = ("answer", "gts", "ground_truth", "solution")
"""Columns with the answer key, which verifiers read."""
STEPS = ("step", "global_step", "iteration")
NO_SCORES = (*STEPS, *KEYS, "length", "finished", "kl", "advantage", "reference_proxy", "reference_truth", "outlier")
"""Columns of numbers that aren't scores of the answer."""
TEXTLESS = ("total_reward", "final_reward")
"""What tinker-cookbook's summaries of rollouts hold in place of texts."""


@dataclass(frozen=True)
class RolloutRow:
    """One answer: `where` it stands, the step at which it was given, and its scores by column; NaN for one without a value."""

    where: str
    step: int | None
    completion: Completion
    scores: dict[str, float]


@dataclass(frozen=True)
class Rollouts:
    """The answers of some files. `unusable`: rows without an answer; `columns`: those of scores, which all rows have."""

    rows: list[RolloutRow]
    files: list[Path]
    columns: tuple[str, ...]
    unusable: int = 0

    def by_step(self) -> dict[int, list[RolloutRow]]:
        """The rows of each step, in the order of steps. `ValueError` if a row has none."""
        steps: dict[int, list[RolloutRow]] = {}
        for row in self.rows:
            if row.step is None:
                raise ValueError(
                    f"{row.where}: expected the step at which this was answered: a column {', '.join(STEPS[:-1])} or "
                    f"{STEPS[-1]}, or a number in the name of the file"
                )
            steps.setdefault(row.step, []).append(row)
        return dict(sorted(steps.items()))


def files_of(patterns: Iterable[str]) -> list[Path]:
    """The files that patterns name (`completions/*.parquet`, a file, or a folder: all that it holds), in natural order.

    `ValueError` in one line for a pattern without any.
    """
    files: dict[Path, None] = {}
    for pattern in patterns:
        place = expanded(pattern)
        if place.is_dir():
            matches = [path for path in place.iterdir() if path.is_file() and _is_known(path)]
        else:
            matches = [Path(name) for name in glob(str(place), recursive=True) if Path(name).is_file()]
        if not matches:
            raise ValueError(f"{pattern}: there is no such file of answers")
        files |= dict.fromkeys(sorted(matches, key=natural))
    return list(files)


def natural(path: Path | str) -> list[tuple[int, int | str]]:
    """A sort key by which step-9 comes before step-10."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]


def step_of(path: Path) -> int | None:
    """The last number in a file's or folder's name, without its ending, else in its folder's; None without one."""
    for name in (path.name.partition(".")[0], path.parent.name):
        if numbers := re.findall(r"\d+", name):
            return int(numbers[-1])
    return None


def read(files: Sequence[Path], columns: Sequence[str] = ()) -> Rollouts:
    """The answers in these files, in order. columns: those of scores that have to be there, in every row.

    `ValueError` in one line that names file, row and column.
    """
    rows: list[RolloutRow] = []
    unusable = 0
    for file in files:
        before = len(rows)
        for row in tables.rows(file):
            try:
                rows.append(_row(row, file, columns))
            except UnusableRowError:
                unusable += 1
        if len(rows) == before:
            raise ValueError(f"{file}: expected at least one row with a prompt and an answer, got none")
    shared = [name for name in rows[0].scores if all(name in row.scores for row in rows)] if rows else []
    return Rollouts(rows, list(files), tuple(shared), unusable)


def _is_known(path: Path) -> bool:
    try:
        tables.container(path)
    except ValueError:
        return False
    return True


def _row(row: Row, file: Path, columns: Sequence[str]) -> RolloutRow:
    scores = {name: x for name, value in row.values.items() if (x := _number(name, value)) is not None}
    for name in columns:
        if name not in row.values and name not in row.empty:
            there = ", ".join(sorted(scores)) or "none"
            raise row.error(f"expected a score in this column; columns of numbers here: {there}", name)
        if name not in scores and name not in row.empty:
            raise row.error(f"expected a number, got {row.values[name]!r:.40}", name)
        scores.setdefault(name, math.nan)
    scores |= {name: math.nan for name in row.empty if name not in (*PROMPTS, *ANSWERS, *NO_SCORES)}
    prompt, answer = _texts(row)
    finished = row.values.get("finished", True)
    completion = Completion(prompt=prompt, response=answer, finished=bool(finished))
    return RolloutRow(row.where, _step(row, file), completion, scores)


def _texts(row: Row) -> tuple[Prompt, str]:
    answer = next((name for name in ANSWERS if row.column(name)), None)
    asked = next((name for name in PROMPTS if row.column(name)), None)
    if asked == "messages" and answer is None and row.has("messages"):
        messages, text = row.conversation("messages")
        return Prompt(messages=messages, answer=_key(row)), text
    if asked is None or answer is None:
        if row.has(TEXTLESS[0]) or row.has(TEXTLESS[1]):
            raise row.error(
                "holds rewards and no texts (tinker-cookbook's summaries of rollouts); give files with the answers"
            )
        raise row.error(
            f"expected a prompt ({', '.join(PROMPTS[:-1])} or messages) and an answer ({', '.join(ANSWERS)}), "
            f"got {', '.join(row.values) or 'no columns'}"
        )
    if not row.has(asked):
        row.unusable("no prompt", "empty prompt", asked)
    prompt = row.prompt(asked)
    if prompt is None:
        row.unusable("no prompt", "empty prompt", asked)
    text = row.answer(answer) if row.has(answer) else ""
    return prompt.model_copy(update={"answer": _key(row), "columns": _others(row, asked, answer)}), text


def _others(row: Row, *names: str) -> dict[str, Any]:
    """The other columns, for scorers of the user's own."""
    return {name: value for name, value in row.values.items() if name not in (*names, *STEPS)}


def _key(row: Row) -> str:
    name = next((name for name in KEYS if row.has(name)), None)
    if name is None:
        return ""
    value = row.values[name]
    return value if isinstance(value, str) else str(value)


def _step(row: Row, file: Path) -> int | None:
    for name in STEPS:
        if name in row.values:
            value = row.values[name]
            if isinstance(value, bool) or not isinstance(value, (int, float, str)) or not str(value).isdigit():
                raise row.error(f"expected a step, a whole number from 0, got {value!r:.40}", name)
            return int(value)
    return step_of(file)


def _number(name: str, value: Any) -> float | None:
    """A column's number; None if it's none, or none that scores the answer."""
    if name in NO_SCORES or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
