"""The audit of answers that a training run wrote down: no model is loaded, and none is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trueward.data import rollouts
from trueward.data.rollouts import RolloutRow, Rollouts
from trueward.evaluation.answer_set import AnswerSet
from trueward.evaluation.measurement import feature_shifts
from trueward.evaluation.paired import FEWEST
from trueward.evaluation.text_evaluator import PROXY, TextEvaluator
from trueward.evaluation.text_monitor import TextMonitor
from trueward.pipeline import audit_scorers
from trueward.pipeline.audit_scorers import AuditScorer
from trueward.pipeline.audit_table import audit_table

Row = dict[str, Any]
TOTALS = ("proxy", "score", "reward", "rewards")
"""Columns that are the reward itself where a file has several of numbers: trueward's, verl's, and plain ones."""


class OneLookError(ValueError):
    """The answers of one look alone are there: nothing to compare yet."""


@dataclass
class SamplesAudit:
    """What is asked of an audit of answers on disk.

    samples: patterns of files. reference: a file with the reference's answers; None: the first look is the baseline. truths,
    proxy: names of columns or scorers; proxy None: the files' own column of rewards. given: the caller's functions by these
    names.
    """

    samples: Sequence[str]
    truths: Sequence[str] = ()
    reference: str | None = None
    proxy: str | None = None
    seed: int = 0
    given: Mapping[str, Any] = field(default_factory=dict)
    _scorers: dict[str, AuditScorer] = field(default_factory=dict, repr=False)

    def __call__(self, files: Sequence[Path] | None = None) -> Row:
        """The audit's table (audit.json). files: those to read in place of all that the patterns name.

        `ValueError` in one line that names file, row and column, or the option.
        """
        read = rollouts.read(files if files is not None else rollouts.files_of(self.samples))
        home = rollouts.read(rollouts.files_of([self.reference])) if self.reference else None
        notes = [
            f"{side.unusable:,} rows without an answer were left out" for side in (read, home) if side and side.unusable
        ]
        truths = [self._scorer("--truth", name, read.columns) for name in self.truths]
        proxy, guess = self._proxy(read, truths)
        notes += [text for text in (guess, audit_scorers.same(proxy, truths)) if text]
        looks, pooled = _looks(read, home)
        notes += pooled
        scored = {step: self._answers(rows, truths, proxy) for step, rows in looks.items()}
        if home:
            notes += _lacking(home, proxy)
            baseline, name, first = self._answers(home.rows, truths, proxy), str(self.reference), 0
        else:
            first = next(iter(scored))
            baseline, name = scored.pop(first), f"step {first}"
            notes.append(f"no reference was given: the answers of step {first}, the first look, are the baseline")
        units = {key: baseline.unit(key) for key in baseline.scores}
        scale = {key: unit[:2] for key, unit in units.items()}
        span = truths[0].bounds if truths else None
        evaluator = TextEvaluator(
            baseline.scaled(scale),
            [truth.name for truth in truths],
            None if span is None else (span[1] - span[0]) / scale[truths[0].name][1],
        )
        monitor = TextMonitor(evaluator, self.seed)
        skipped = [step for step, answers in scored.items() if not monitor.look(step, answers.scaled(scale))]
        if not monitor.answers:
            raise (ValueError if scored else OneLookError)(self._nothing(scored, evaluator))
        notes += _about_looks(monitor, skipped) + [
            f"{scorer.name} said nothing of {scorer.abstained:,} answers, which no figure counts"
            for scorer in (*truths, *([proxy] if proxy else ())) if scorer.abstained
        ]  # fmt: skip
        last = max(monitor.answers)
        whole = evaluator.measure(monitor.answers[last])
        rows = _policies(monitor)
        return audit_table(
            kind="samples",
            sources=[str(path) for path in read.files],
            reference=name,
            baseline_step=first,
            truths=[truth.name for truth in truths],
            proxy=proxy.name if proxy else None,
            units={key: {"mean": u[0], "sd": u[1], "of": u[2]} for key, u in units.items()},
            seed=self.seed,
            rows=monitor.rows,
            verdict=monitor.verdict,
            policies=rows,
            feature_shift=feature_shifts(whole.samples),
            samples=whole.samples,
            notes=notes,
            length_unit="words",
        )

    def _scorer(self, option: str, name: str, columns: Sequence[str]) -> AuditScorer:
        if name not in self._scorers:
            self._scorers[name] = audit_scorers.named(option, name, columns, scorer=self.given.get(name))
        return self._scorers[name]

    def _proxy(self, read: Rollouts, truths: Sequence[AuditScorer]) -> tuple[AuditScorer | None, str]:
        """The proxy, and what was guessed of it."""
        if self.proxy:
            return self._scorer("--proxy", self.proxy, read.columns), ""
        others = [name for name in read.columns if name not in {truth.name for truth in truths}]
        names: list[str] = next(([total] for total in TOTALS if total in others), others)
        if not names:
            return None, "no proxy was given and the files have no column of rewards: the truth stands alone (--proxy)"
        whole = " + ".join(names)
        what = f"the column {whole}" if len(names) == 1 else f"the sum of the columns {whole}, each with a weight of 1"
        return AuditScorer(whole, columns=tuple(names)), f"no proxy was given: {what} is taken for it (--proxy)"

    def _answers(
        self, rows: Sequence[RolloutRow], truths: Sequence[AuditScorer], proxy: AuditScorer | None
    ) -> AnswerSet:
        scorers = {truth.name: truth for truth in truths} | ({PROXY: proxy} if proxy else {})
        completions = [row.completion for row in rows]
        return AnswerSet(completions, {key: _values(one, rows, key != PROXY) for key, one in scorers.items()})

    def _nothing(self, scored: Mapping[int, AnswerSet], evaluator: TextEvaluator) -> str:
        there = len(evaluator.baseline.prompts)
        if not scored:
            return (
                f"{self.samples[0]}: the answers of one look alone can't be compared; give --reference, or more steps"
            )
        most = max(len(evaluator.shared(answers)) for answers in scored.values())
        if self.reference is None and not most:
            every = {
                *evaluator.baseline.prompts,
                *(prompt for answers in scored.values() for prompt in answers.prompts),
            }
            return (
                f"{self.samples[0]}: every step answers prompts of its own, {len(every)} in all: then a look takes "
                f"{2 * FEWEST} of them, and a curve two looks; give more steps, or all steps' answers to the same prompts"
            )
        return (
            f"{self.samples[0]}: no step shares two prompts with the reference ({there} prompts there, {most} shared): prompts "
            "are the same if their texts or messages are; give the reference's answers to these prompts"
        )


def _values(scorer: AuditScorer, rows: Sequence[RolloutRow], required: bool) -> np.ndarray:
    if not scorer.columns:
        return scorer([row.completion for row in rows])
    for row in rows if required else ():
        if missing := [name for name in scorer.columns if name not in row.scores]:
            raise ValueError(f'{row.where}: "{missing[0]}": expected a score in this column, which is a truth')
    parts = np.array([[row.scores.get(name, np.nan) for name in scorer.columns] for row in rows])
    known = np.isfinite(parts)
    return np.where(known.any(axis=1), np.where(known, parts, 0.0).sum(axis=1), np.nan)


def _looks(read: Rollouts, home: Rollouts | None) -> tuple[dict[int, list[RolloutRow]], list[str]]:
    """The rows of each look, by its step, and notes. Steps with few prompts of their own are pooled, in order, until a look has
    enough for a curve and a peak that is measured again; those after the last whole look wait for more.
    """
    steps, need = read.by_step(), 2 * FEWEST
    known = {row.completion.prompt.id for row in home.rows} if home else set()
    prompts = {step: {row.completion.prompt.id for row in rows} for step, rows in steps.items()}
    if any(len(ids & known) >= FEWEST for ids in prompts.values()):
        prompts = {step: ids & known for step, ids in prompts.items()}
    sizes = sorted(map(len, prompts.values()))
    every: set[str] = set().union(*prompts.values())
    if sizes[len(sizes) // 2] >= need or len(every) < need or len(every) <= 1.5 * sizes[-1]:
        return steps, []
    looks: dict[int, list[RolloutRow]] = {}
    rows: list[RolloutRow] = []
    ids: set[str] = set()
    for step, more in steps.items():
        rows, ids = rows + more, ids | prompts[step]
        if len(ids) >= need:
            looks[step], rows, ids = rows, [], set()
    notes = [
        f"steps have {sizes[len(sizes) // 2]} prompts, too few for a look: neighbours are pooled until one has {need}, so "
        f"{len(steps)} steps are {len(looks)} looks, each named by its last step"
    ]
    if ids:
        notes.append(f"after the last look {len(ids)} prompts are left, which wait for {need - len(ids)} more")
    return looks, notes


def _lacking(home: Rollouts, proxy: AuditScorer | None) -> list[str]:
    missing = [name for name in (proxy.columns if proxy else ()) if all(name not in row.scores for row in home.rows)]
    if not missing:
        return []
    return [f"the reference's answers have no column {missing[0]}: how far the proxy rose above theirs is not known"]


def _about_looks(monitor: TextMonitor, skipped: Sequence[int]) -> list[str]:
    notes = []
    rows = monitor.rows[1:]
    if skipped:
        notes.append(
            f"{len(skipped)} steps were not measured ({_few(skipped)}): nothing to compare with the reference's answers"
        )
    apart = [row["step"] for row in rows if not row["is_paired"]]
    if apart:
        notes.append(
            f"{len(apart)} of {len(rows)} looks share fewer than {FEWEST} prompts with the baseline, and are compared as two "
            "draws of prompts, not prompt by prompt: that holds if every step draws the same kind of prompt, and needs far "
            "more answers"
        )
    lost = max((row["prompts_not_shared"] for row in rows if row["is_paired"]), default=0)
    if lost:
        notes.append(f"up to {lost} prompts of a look are not among the reference's, and are left out")
    if any(row["step"] == 0 for row in rows):
        notes.append("step 0 is drawn and not tested: nothing had been trained yet")
    if monitor.missing:
        notes.append(
            f"no alarm of a fall from the peak can be given: {monitor.missing} more prompts are needed to measure a peak again "
            "on prompts of its own"
        )
    else:
        notes.append(
            "half of the prompts are reserved: a peak is measured again, and the table below made, on these alone"
        )
    return notes


def _few(steps: Sequence[int]) -> str:
    return ", ".join(map(str, steps[:5])) + (", …" if len(steps) > 5 else "")


def _policies(monitor: TextMonitor) -> dict[str, Row]:
    """The reference, the last look and the best one, on the reserved prompts where there are any."""
    evaluator, last = monitor.evaluator, monitor.answers[max(monitor.answers)]
    best = monitor.verdict.best_step if monitor.verdict else None
    sides = {
        "reference": evaluator.baseline,
        "last": last,
        **({"best": monitor.answers[best]} if best is not None else {}),
    }
    rows = {}
    for name, answers in sides.items():
        prompts = monitor.kept(last, reserved=not monitor.missing)
        rows[name] = evaluator.measure(answers, prompts).row
    return rows
