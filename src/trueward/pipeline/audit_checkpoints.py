"""The audit of checkpoints on disk: each answers held-out prompts, and is measured as a run measures its own policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trueward import artifacts
from trueward.config.evaluation_judge import PREFIX
from trueward.evaluation import verdict
from trueward.evaluation.measurement import Measurement, feature_shifts
from trueward.evaluation.peak_fall import fall
from trueward.evaluation.truth import span_between
from trueward.evaluation.verdict import RunVerdict
from trueward.evaluation.verdict_monitor import VerdictMonitor
from trueward.models.network import Network
from trueward.models.run_paths import model_path
from trueward.pipeline.audit_setup import AuditSetup
from trueward.pipeline.audit_store import AuditStore
from trueward.pipeline.audit_table import audit_table
from trueward.pipeline.checkpoint_files import CheckpointDirectory
from trueward.pipeline.final_evaluation import SFT_ANSWERS
from trueward.pipeline.run_verdict import SAMPLE_DIGIT
from trueward.training.journal import finite

Row = dict[str, Any]


class KeptMonitor(VerdictMonitor):
    """A monitor that samples only what is not kept yet, and loads a checkpoint only to sample from it."""

    def __init__(
        self, audit: CheckpointsAudit, checkpoint: CheckpointDirectory, load_best: Callable[[], Network]
    ) -> None:
        setup = audit.setup
        held_out = setup.held_out
        self.audit, self.checkpoint = audit, checkpoint
        self.best, self.examined, self.least_fall = load_best, audit.examined, setup.least_fall
        self.reserved, self.most, self.missing = held_out.reserved, len(held_out.steps), held_out.missing

    def measure_again(self, peak_step: int, step: int, test: int, least: float = 0.0) -> Any:
        """As `VerdictMonitor`; kept."""
        made_from = [*self.audit.key(self.checkpoint), self.audit.by_step[peak_step].state, test, least]

        def measure() -> Any:
            self.evaluator, self.policy = self.audit.setup.evaluator, self.audit.load(self.checkpoint)
            return VerdictMonitor.measure_again(self, peak_step, step, test, least)

        return self.audit.kept(f"fall-{step:07d}", made_from, measure)


@dataclass
class CheckpointsAudit:
    """An audit of some checkpoints. What was measured is kept under `folder`; None: nowhere."""

    setup: AuditSetup
    folder: Path | None
    rows: list[Row] = field(default_factory=list)
    verdict: RunVerdict | None = None
    by_step: dict[int, CheckpointDirectory] = field(default_factory=dict)
    _loaded: tuple[Path, Network] | None = field(default=None, repr=False)

    @property
    def examined(self) -> Row | None:
        """The reward model's accuracy on held-out comparisons, of the run's own one."""
        home = self.setup.home
        made = artifacts.load(home.run / "reward_model") if home and self.setup.proxy_name == "proxy" else None
        return made.summary if made else None

    def __call__(self, checkpoints: Sequence[CheckpointDirectory], final: bool = True) -> Row:
        """The audit's table. final: the run has ended, and its last and best checkpoint are measured on reserved prompts.

        `ValueError` in one line for a checkpoint that can't be read, or whose tokens are others."""
        is_first = not self.by_step
        self.rows, self.by_step = [], {one.step: one for one in checkpoints if one.step}
        if not self.by_step:
            raise ValueError("audit: expected a checkpoint of a step above 0; that of step 0 is the reference's place")
        if len(self.by_step) < len(checkpoints):
            self.setup.notes.append("the checkpoint of step 0 was left out: the reference stands there")
        for line in self.setup.call_lines(len(self.by_step)) if is_first else ():
            self.setup.env.progress.tell(line)
        first = self._measured("reference", None, "step", 0)
        start = finite({"step": 0, **first.row, "feature_shift": feature_shifts(first.samples)})
        told, self.verdict = KeptMonitor(self, next(iter(self.by_step.values())), lambda: self.setup.network)([start])
        self.rows.append(finite({**start, **told}))
        progress = self.setup.env.progress
        progress.start("checkpoints", len(self.by_step))
        for done, one in enumerate(self.by_step.values(), 1):
            note = self._look(one)
            progress.at(done, note)
        progress.end(f"{len(self.by_step)} looks")
        return self._finish() if final else self._so_far()

    def _look(self, checkpoint: CheckpointDirectory) -> str:
        measured = self._measured(f"step-{checkpoint.step:07d}", checkpoint, "step", checkpoint.step)
        row = finite({"step": checkpoint.step, **measured.row, "feature_shift": feature_shifts(measured.samples)})
        peak = verdict.highest([other for other in self.rows if other["step"]])
        load_best = partial(self.load, self.by_step[int(peak["step"])]) if peak else partial(self.load, checkpoint)
        told, self.verdict = KeptMonitor(self, checkpoint, load_best)([*self.rows, row])
        self.rows.append(finite({**row, **told}))
        return f"truth {row['truth']}  {self.verdict.word}"

    def _finish(self) -> Row:
        """Reference, last and best on the reserved prompts, the best compared with the last once more, and the verdict."""
        setup, held_out = self.setup, self.setup.held_out
        last = max(self.by_step)
        peak = verdict.highest(self.rows[1:])
        best = int(peak["step"]) if peak else None
        sides = {"sft": None, "policy": self.by_step[last]}
        if best is not None and best != last:
            sides["best"] = self.by_step[best]
        made: dict[str, Measurement] = {}
        setup.env.progress.start("last and best, on reserved prompts", len(sides))
        for name, one in sides.items():
            made[name] = self._measured(f"final-{name}", one, "evaluation", name)
            setup.env.progress.at(len(made))
        setup.env.progress.end()
        if best == last:
            made["best"] = made["policy"]
        dropped = None
        if not held_out.missing and "best" in sides and made["policy"].row["truth"] is not None:
            assert best is not None
            before, now = (
                np.array([s["truth"] for s in made[k].samples], dtype=np.float64) for k in ("best", "policy")
            )
            least = verdict.least_drop(self.rows, best, setup.least_fall)
            test, span = verdict.tests_made(self.rows) + 1, made["policy"].row.get("span_between")
            span = None if span is None else span + SAMPLE_DIGIT
            dropped = fall(setup.base_seed, best, before, now, test, "evaluation", least=least, span=span)
        final = {**made["policy"].row, "step": last, "final": True, "fall": dropped}
        self.verdict = verdict.decide(
            [*self.rows, final], examined=self.examined, prompts_missing=held_out.missing, least_fall=setup.least_fall
        )
        names = {"reference": "sft", "last": "policy", "best": "best"}
        rows = {name: made[key].row for name, key in names.items() if key in made}
        return self._table(rows, made["policy"].samples, feature_shifts(made["policy"].samples))

    def _so_far(self) -> Row:
        """The table while the run goes on: of the looks alone, so that the last measurement is made and tested once."""
        best = self.verdict.best_step if self.verdict else None
        by_step = {row["step"]: row for row in self.rows}
        rows = {"reference": self.rows[0], "last": self.rows[-1], **({} if best is None else {"best": by_step[best]})}
        last = self.by_step[max(self.by_step)]
        samples = self._measured(f"step-{last.step:07d}", last, "step", last.step).samples
        return self._table(rows, samples, self.rows[-1]["feature_shift"])

    def _table(self, policies: dict[str, Row], samples: Sequence[Row], moved: Sequence[Row]) -> Row:
        setup = self.setup
        table = audit_table(
            kind="checkpoints",
            sources=[str(one.path) for one in self.by_step.values()],
            reference=setup.reference,
            baseline_step=0,
            truths=setup.truth_names,
            proxy=setup.proxy_name,
            units={},
            seed=setup.base_seed,
            rows=self.rows,
            verdict=self.verdict,
            policies=policies,
            feature_shift=moved,
            samples=samples,
            notes=[*setup.notes, *self._notes()],
            length_unit="tokens",
        )
        table["places"] = {str(step): str(one.path) for step, one in self.by_step.items()}
        return table

    def _notes(self) -> list[str]:
        held_out = self.setup.held_out
        notes = [
            f"each look answers {len(held_out.steps)} prompts, at temperature {self.setup.settings.temperature:g}, with at "
            f"most {self.setup.settings.max_new_tokens} tokens"
        ]
        if held_out.missing:
            notes.append(
                f"no alarm of a fall from the peak can be given: {held_out.missing} more prompts are needed to measure a peak "
                "again on prompts of its own"
            )
        else:
            notes.append(f"{len(held_out.reserved)} prompts are reserved for measuring a peak again, and for the table")
        if self.setup.proxy_name in self.setup.truth_names:
            notes.append(
                f"truth = proxy: {self.setup.proxy_name} is both, so nothing here is independent of the reward"
            )
        return notes

    def load(self, checkpoint: CheckpointDirectory) -> Network:
        """The checkpoint's model. `ValueError` in one line if its tokens aren't the reference's: then there is no KL."""
        if self._loaded and self._loaded[0] == checkpoint.path:
            return self._loaded[1]
        self._loaded = None  # two policies need not be in memory
        network = self.setup.env.load(checkpoint.path, self.setup.base_seed)
        if network.tokenizer.get_vocab() != self.setup.network.tokenizer.get_vocab():
            raise ValueError(
                f"{checkpoint.path}: its tokens are not those of {self.setup.reference}, so there is no KL between the two; "
                "let both answer the prompts elsewhere, and audit the answers (--samples)"
            )
        self._loaded = checkpoint.path, network
        return network

    def _measured(self, name: str, checkpoint: CheckpointDirectory | None, *purpose: str | int) -> Measurement:
        """A measurement, of the reference itself without a checkpoint; made once, and kept."""
        held_out = self.setup.held_out
        final = purpose[0] == "evaluation"
        prompts = held_out.final(self.setup.final_prompts) if final else held_out.steps

        def measure() -> Any:
            evaluator = self.setup.evaluator
            evaluator = replace(evaluator, answers=SFT_ANSWERS, baselines=self.finals) if final else evaluator
            policy = self.load(checkpoint) if checkpoint else self.setup.network
            made = evaluator.measure(policy, prompts, *purpose, is_reference=checkpoint is None)
            span = span_between(evaluator.truths[0]) if evaluator.truths else None
            return {"row": {**made.row, "span_between": span}, "samples": made.samples}

        value = self.kept(name, [*self.key(checkpoint), list(purpose), [prompt.id for prompt in prompts]], measure)
        return Measurement(value["row"], value["samples"])

    finals: dict[Any, Any] = field(default_factory=dict, repr=False)
    """The reference's answers to the prompts of the last measurement."""

    def key(self, checkpoint: CheckpointDirectory | None) -> list[Any]:
        """What a measurement of this checkpoint depends on, as JSON."""
        setup = self.setup
        place = Path(model_path(setup.reference))
        home = CheckpointDirectory(place, 0).state if place.is_dir() else str(place)
        functions = {
            name: getattr(getattr(f, "__code__", None), "co_code", b"").hex() for name, f in setup.given.items()
        }
        scorers = [_source(name) for name in (*setup.truth_names, setup.proxy_name or "")]
        return [
            checkpoint.state if checkpoint else "reference", home, list(setup.truth_names), setup.proxy_name,
            scorers, functions, setup.settings.model_dump(mode="json"), setup.base_seed,
        ]  # fmt: skip

    def kept(self, name: str, made_from: Any, make: Callable[[], Any]) -> Any:
        """A value from the audit's directory, or made now and kept there."""
        if self.folder is None:
            return make()
        store = AuditStore(self.folder)
        value = store.get(name, made_from)
        if value is None:
            value = make()
            store.put(name, made_from, value)
        return value


def _source(name: str) -> str:
    """The text of the file that a scorer's name points to, so that an edited function measures again; empty without one."""
    module = name.rpartition(":")[0].removeprefix(PREFIX)
    for place in (Path(module), Path(module.replace(".", "/") + ".py")):
        if module and place.suffix in (".py", ".toml") and place.is_file():
            return place.read_text(encoding="utf-8", errors="replace")
    return ""
