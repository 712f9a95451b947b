"""What the truths say of one evaluation's answers, and the figures of it, over the answers of which they said something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trueward.config.evaluation_judge import PREFIX
from trueward.evaluation.grouped_truth import GroupedTruth
from trueward.evaluation.judge_panel import judge_row, panel_row
from trueward.evaluation.judged_truth import JudgedTruth
from trueward.evaluation.paired_items import PairedItems
from trueward.records import Completion
from trueward.scorers.judge.llm_judge import LlmJudge
from trueward.scorers.judge.rubric import RubricScorer

if TYPE_CHECKING:  # figures are read without torch
    from trueward.evaluation.baseline import Baseline
    from trueward.evaluation.truth import AnyTruth


@dataclass(frozen=True)
class TruthValues:
    """Of each truth by name: the policy's answers, [n], and the reference's, [n, answers]. NaN where nothing was said."""

    truths: Sequence[AnyTruth]
    ours: dict[str, np.ndarray]
    theirs: dict[str, np.ndarray]
    completions: Sequence[Completion] = ()
    rivals: Sequence[Sequence[Completion]] = ()

    @classmethod
    def of(cls, truths: Sequence[AnyTruth], completions: Sequence[Completion], home: Baseline) -> TruthValues:
        """The truths of completions, one to each of the baseline's prompts."""
        ours = {t.name: t.beside(completions, home.rivals) for t in truths}
        return cls(truths, ours, dict(home.truths), completions, home.rivals)

    @property
    def span(self) -> float | None:
        """Of the first truth."""
        return self.truths[0].span if self.truths else None

    def first(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The first truth of our n answers and of theirs; NaN if there is none."""
        if not self.truths:
            return np.full(n, np.nan), np.full((n, 1), np.nan)
        name = self.truths[0].name
        return self.ours[name], self.theirs[name]

    def means(self) -> dict[str, float]:
        """By name the mean of ours less theirs."""
        gaps = {t.name: self.ours[t.name] - self.theirs[t.name].mean(axis=1) for t in self.truths}
        return {
            name: float(gap[known].mean()) if (known := np.isfinite(gap)).any() else float("nan")
            for name, gap in gaps.items()
        }

    def judge_rows(self, items: Sequence[str], lengths: np.ndarray, their_lengths: np.ndarray) -> dict[str, Any]:
        """`judges` and, of two or more, `judge_panel`: the figures of [[evaluation.judge]]; empty without one.

        items: the prompts' ids. lengths, their_lengths [n]: tokens of our answers and of the reference's first ones.
        """
        rows, differences = {}, {}
        for truth in self.truths:
            judge = judge_of(truth)
            if not truth.name.startswith(PREFIX) or judge is None:
                continue
            name = truth.name.removeprefix(PREFIX)
            paired = PairedItems.between(name, items, self.ours[truth.name], self.theirs[truth.name], truth.span)
            rows[name] = {
                **judge_row(paired, lengths, their_lengths, truth.compares),
                "calls": judge.limit.made if judge.limit else 0,
                "failure": judge.failure if paired.missing else None,
                **self._criteria(truth, items),
            }
            differences[name] = paired.differences
        panel = panel_row(differences)
        return ({"judges": rows} if rows else {}) | ({"judge_panel": panel} if panel else {})

    def _criteria(self, truth: AnyTruth, items: Sequence[str]) -> dict[str, Any]:
        """`criteria`: of a judge with rubrics, each criterion's paired test in points of its ratings; empty for another."""
        scorer = getattr(truth, "scorer", None)
        if not isinstance(scorer, RubricScorer):
            return {}
        ours = scorer.ratings(self.completions)
        theirs = [scorer.ratings(rivals) for rivals in self.rivals]
        span = scorer.bounds[1] - scorer.bounds[0]
        rows = {}
        for label, mine in ours.items():
            unknown = np.full(len(mine), np.nan)
            others = np.stack([row.get(label, unknown) for row in theirs], axis=1)
            known = np.isfinite(mine) & np.isfinite(others).all(axis=1)  # of the others this prompt asks nothing
            chosen = [item for item, is_known in zip(items, known, strict=True) if is_known]
            paired = PairedItems.between(label, chosen, mine[known], others[known], span)
            rows[label] = {key: value for key, value in paired.row().items() if key != "missing"}
        return {"criteria": rows}


def recounted(truths: Sequence[AnyTruth], rows: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of judges by name, with the calls that they have made since."""
    judges = {t.name.removeprefix(PREFIX): judge_of(t) for t in truths}
    return {
        name: {**row, "calls": judge.limit.made} if (judge := judges.get(name)) and judge.limit else row
        for name, row in rows.items()
    }


def judge_of(truth: AnyTruth) -> LlmJudge | None:
    """The judge behind a truth; None if it is none."""
    judge: object = getattr(getattr(truth, "scorer", None), "judge", None)
    if isinstance(truth, JudgedTruth | GroupedTruth):
        judge = truth.judge
    return judge if isinstance(judge, LlmJudge) else None


def known_prompts(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Which prompts were measured, bool [n]: all if none was, so that what is missing everywhere stays NaN.

    ours [n], theirs [n, answers].
    """
    known: np.ndarray = np.isfinite(ours) & np.isfinite(theirs).all(axis=1)
    return known if known.any() else np.ones(len(ours), dtype=bool)


def missing_row(ours: np.ndarray, theirs: np.ndarray) -> dict[str, int]:
    """`truth_prompts` and `truth_missing`: prompts that the truth measured, and that it did not; empty if it did all."""
    measured = int((np.isfinite(ours) & np.isfinite(theirs).all(axis=1)).sum())
    return {} if measured == len(ours) else {"truth_prompts": measured, "truth_missing": len(ours) - measured}
