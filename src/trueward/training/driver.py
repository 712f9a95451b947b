"""Runs a training loop: logs every step, evaluates the policy every few steps, keeps the best, saves, resumes, stops.

Every loop is run by `drive(algorithm, config, setup, journal, env)`. Logs, checkpoints and networks go to its journal, on disk
or in memory.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from trueward.batches import Step
from trueward.errors import named_out_of_memory
from trueward.models.network import Network
from trueward.progress import WaitingError
from trueward.records import line
from trueward.token_budget import SMALLER
from trueward.tracking import Tracker, beats
from trueward.training.env import Env
from trueward.training.figures import numbers
from trueward.training.following_journal import FollowingJournal
from trueward.training.journal import BEST, EVALUATIONS, METRICS, ROLLOUTS, SAMPLES, Journal, Row, finite
from trueward.training.setup import Algorithm, Setup
from trueward.training.sharding import Shards, sharded
from trueward.training.state import State

SHARE = 0.05  # of the time that checkpoints may take
FATAL = ("nll", "loss", "loss/policy_avg", "loss/value_avg", "grad_norm", "policy/grad_norm")


@dataclass(frozen=True)
class Evaluation:
    """One evaluation during training: a row for evaluations.jsonl, rows for samples.jsonl, and the truth."""

    row: Row
    samples: Sequence[Row]
    truth: float | None


@dataclass(frozen=True)
class EvalVerdict:
    """The verdict on all evaluations so far: columns for the row, a word for the terminal, and the reason to stop, if any."""

    row: Row
    word: str
    stop: str = ""


@dataclass(frozen=True)
class EvalSchedule:
    """Evaluations during training: `evaluate` every `every` steps; `policy` is kept if the truth is the highest so far.

    `judge` gives the verdict on the rows of all evaluations, the present one last, before that one may become the best.
    """

    every: int
    evaluate: Callable[[int], Evaluation]
    policy: Network
    judge: Callable[[list[Row]], EvalVerdict] | None = None

    def is_due(self, step: int, total: int) -> bool:
        """Whether the policy is evaluated after this step: every N steps, and after the last."""
        return step % self.every == 0 or step == total


@dataclass
class Outcome:
    """How a loop ended: its state, the best evaluation's step and truth, seconds. Checkpoints keep it."""

    state: State
    best_step: int | None = None
    best_truth: float = -math.inf
    seconds: float = 0.0
    stopped: str = ""  # why it ended before its last step

    def table(self) -> Row:
        """The values that a checkpoint keeps beside the loop's state."""
        return {
            "best_step": self.best_step,
            "best_truth": self.best_truth if self.best_step is not None else None,
            "seconds": self.seconds,
            "stopped": self.stopped,
        }

    def restore(self, table: Row) -> None:
        """Take over the values of a checkpoint."""
        self.best_step, self.seconds, self.stopped = table["best_step"], table["seconds"], table["stopped"]
        if self.best_step is not None:
            self.best_truth = table["best_truth"]


Around = Callable[[State, Iterator[Step]], Iterator[Step]]


def drive(
    algorithm: Algorithm,
    config: Any,
    setup: Setup,
    journal: Journal,
    env: Env,
    evaluation: EvalSchedule | None = None,
    *,
    what: str = "",
    member: int = 0,
    around: Around = lambda state, steps: steps,
    reads_every: int = 0,
) -> Outcome:
    """Run an algorithm's loop to its end, from the journal's last checkpoint if there is one.

    what: its name in progress and errors. member: which reward model of an ensemble, from 0. around: wraps the loop's steps, as
    relabelling does, which works between them, and reads the policy every `reads_every` steps (0: never). `ValueError` if a
    loss or a gradient is no longer a number.
    """
    setup, shards = sharded(setup, env.fabric, env.shards)
    state = algorithm.start(config, setup)
    whole = total = algorithm.steps(config, setup)
    if env.trial:
        total = min(whole, env.trial.steps)

    def is_read(step: int) -> bool:
        return bool(evaluation and evaluation.is_due(step, total)) or bool(reads_every and step % reads_every == 0)

    def steps() -> Iterator[Step]:
        every = shards.steps(algorithm.train(config, setup, state), is_read)
        return beats.loop(islice(every, total - state.step) if total < whole else every, whole)

    trained = f"{what or 'the loop'}: weights, gradients and Adam's moments"
    named = named_out_of_memory(trained, f"{SMALLER} (see trueward run --plan)")
    if not env.fabric.leads:
        assert isinstance(journal, FollowingJournal)
        with named:
            outcome = _follow(state, journal, env, shards, lambda: around(state, steps()))
            shards.gather()
            return outcome
    with env.track(journal, member) as tracker, named:
        drive = _Drive(state, total, journal, env, evaluation, what, tracker, shards, reads_every)
        drive.begin()
        drive.run(lambda: around(state, steps()))
        shards.gather()
    return drive.outcome


def _follow(
    state: State, journal: FollowingJournal, env: Env, shards: Shards, make_loop: Callable[[], Iterator[Step]]
) -> Outcome:
    """The same loop on another rank than 0, which says where it starts and when it ends."""
    outcome = Outcome(state)
    step, outcome.stopped = env.fabric.led(lambda: (0, ""))
    journal.take_over(state, step)
    shards.resume(step)
    env.fabric.led(bool)  # rank 0 evaluates
    for _ in make_loop() if not outcome.stopped else ():
        _agree(env, state)
        outcome.stopped = env.fabric.led(str)
        if shards.is_on and shards.is_due(False):
            journal.save(state, {})
        if outcome.stopped:
            break
    return outcome


def _agree(env: Env, state: State) -> None:
    """After every step the processes hold the same weights, or the run stops."""
    if not env.fabric.is_alone:
        env.fabric.agree(f"the weights after step {state.step}", state.fingerprint())


class _Drive:
    """One loop while it runs."""

    def __init__(
        self,
        state: State,
        total: int,
        journal: Journal,
        env: Env,
        schedule: EvalSchedule | None,
        what: str,
        tracker: Tracker,
        shards: Shards,
        reads_every: int,
    ) -> None:
        self.state, self.total, self.journal, self.env = state, total, journal, env
        self.schedule, self.what, self.tracker, self.shards = schedule, what, tracker, shards
        self.reads_every = reads_every
        self.outcome = Outcome(state)
        self.evaluations: list[Row] = []

    def begin(self) -> None:
        """Where the loop starts or goes on; the SFT policy's own evaluation before the first step."""
        more = self.env.fabric.led(self._resume, lambda more: (self.state.step, self.outcome.stopped))
        self.shards.resume(self.state.step)
        self.evaluations = self.journal.rows(EVALUATIONS)
        if self.journal.directory is not None:
            self.tracker.begin(self.journal.directory, None if more is None else self.state.step)
        self.saved, self.writing = time.monotonic(), 0.0  # the last checkpoint, and the seconds that writing it took
        self.started = self.saved - self.outcome.seconds
        self.env.progress.start(self.what, self.total)
        if self.state.step:
            self.env.progress.at(self.state.step, "resumed")
        self.note = self.env.fabric.led(self._evaluate_start)

    def _evaluate_start(self) -> str:
        if not self.schedule or self.state.step:
            return ""
        note = self._evaluate(0)
        self.tracker.send(0, {}, self.evaluations[-1])
        return note

    def _resume(self) -> Row | None:
        more = self.journal.resume(self.state)
        if more is not None:
            self.outcome.restore(more)
        return more

    def run(self, make_loop: Callable[[], Iterator[Step]]) -> None:
        """Every step that is left: log, evaluate, save, until the last one or an early stop."""
        for step in self._steps(make_loop) if not self.outcome.stopped else ():
            _agree(self.env, self.state)
            self.env.fabric.led(partial(self._log, step), lambda _: self.outcome.stopped)
            if self._saves_after(step.number):
                self._save()
            if self.outcome.stopped:
                break
        self.outcome.seconds = time.monotonic() - self.started
        stopped = f"stopped at step {self.state.step}: {self.outcome.stopped}" if self.outcome.stopped else self.note
        self.env.progress.end(stopped)

    def _saves_after(self, step: int) -> bool:
        """Whether a checkpoint is written after this step. Where models are sharded, all processes hear of it and take part."""
        due = step == self.total or bool(self.outcome.stopped)
        due = due or time.monotonic() - self.saved >= self._until_next()
        if not self.shards.is_on:
            return due
        # Before people are asked, too: whoever waits for them is alone, and could gather nothing then.
        return self.shards.is_due(due or bool(self.reads_every and step % self.reads_every == 0))

    def _steps(self, make_loop: Callable[[], Iterator[Step]]) -> Iterator[Step]:
        try:
            yield from make_loop()
        except WaitingError:  # saved, so that nothing is lost however long it takes
            if not self.journal.is_saved(self.state.step):
                self._save()
            self.env.progress.end(f"waits at step {self.state.step}")
            raise

    def _log(self, step: Step) -> None:
        metrics = numbers(step.metrics)
        if wrong := [k for k in FATAL if not math.isfinite(metrics.get(k, 0.0))]:
            raise ValueError(
                f"{self.what}, step {step.number}: {wrong[0]} is not a number any more; a lower learning rate may help"
            )
        figures = finite(metrics)
        self.journal.append(METRICS, [{"step": step.number, **figures}])
        rows = zip(step.completions, step.details, strict=True)
        self.journal.append(ROLLOUTS, [{"step": step.number, **line(c), **d} for c, d in rows])
        if self.schedule and self.schedule.is_due(step.number, self.total):
            self.note = self._evaluate(step.number)
        elif not self.schedule:
            self.note = "  ".join(f"{k} {metrics[k]:.3f}" for k in ("nll", "loss", "accuracy") if k in metrics)
        last = self.evaluations[-1] if self.evaluations else {}
        self.tracker.send(step.number, figures, last if last.get("step") == step.number else {})
        self.env.progress.at(step.number, self.note)

    def _evaluate(self, step: int) -> str:
        schedule, outcome = self.schedule, self.outcome
        assert schedule is not None
        with beats.beat("evaluate"):
            evaluation = schedule.evaluate(step)
        row = finite({"step": step, **evaluation.row})
        verdict = schedule.judge([*self.evaluations, row]) if schedule.judge else EvalVerdict({}, "")
        row |= verdict.row
        self.evaluations.append(row)
        self.journal.append(EVALUATIONS, [{**row, "seconds": round(time.monotonic() - self.started, 3)}])
        self.journal.append(SAMPLES, [{"step": step, **sample} for sample in evaluation.samples])
        if step and evaluation.truth is not None and evaluation.truth > outcome.best_truth:
            outcome.best_step, outcome.best_truth = step, evaluation.truth
            self.journal.keep(BEST, schedule.policy, step)
        if step < self.total:
            outcome.stopped = verdict.stop
        notes = [f"{key} {row[key]:.2f}" for key in ("proxy", "truth", "kl") if row.get(key) is not None]
        return "  ".join([*notes, *([verdict.word] if verdict.word else [])])

    def _until_next(self) -> float:
        """Seconds from one checkpoint to the next: so many that writing them takes at most `SHARE` of the time."""
        every = self.env.checkpoint_seconds
        return max(every, self.writing * (1 / SHARE - 1)) if every else 0.0

    def _save(self) -> None:
        begun = time.monotonic()
        self.outcome.seconds = begun - self.started
        self.journal.save(self.state, self.outcome.table())
        self.tracker.settle()
        self.saved = time.monotonic()
        self.writing = self.saved - begun
