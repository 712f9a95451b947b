"""The guards of one run: when they are due, their results beside SFT's, and what is said of them."""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trueward.config import EvaluationConfig, SamplerConfig
from trueward.data import jsonl
from trueward.evaluation.paired_items import PairedItems
from trueward.models import loading
from trueward.models.network import Network
from trueward.pipeline.guards import guard_spec
from trueward.pipeline.guards.guard_job import PROMPTS, GuardFailedError, GuardJob, Scores, digest
from trueward.pipeline.guards.guard_spec import GuardSpec
from trueward.records import Prompt, line
from trueward.training import digests
from trueward.training.env import Env

FOLDER = "guards"
Row = dict[str, Any]


@dataclass
class Guards:
    """Runs the guards of a recipe on the SFT policy and, as often as [evaluation] says, on the policy.

    directory: of the stage `policy`, where results stay, so that a resumed run repeats nothing; None in memory. prompts: what
    verifiers without prompts of their own are asked.
    """

    evaluation: EvaluationConfig
    sampler: SamplerConfig
    seed: int
    reference: Network
    prompts: Sequence[Prompt]
    directory: Path | None
    env: Env
    specs: list[GuardSpec] = field(init=False)

    def __post_init__(self) -> None:
        self.specs = guard_spec.read_all(self.evaluation.guards)

    def is_due(self, step: int, total: int) -> bool:
        """Whether they run at this evaluation: on SFT before the first step, at every N-th evaluation, and at the last."""
        between = self.evaluation.every * self.evaluation.guard_every
        return bool(self.specs) and self.env.trial is None and (step == total or step % between == 0)

    @cached_property
    def home(self) -> Path:
        """Where results lie: in the stage's directory, or in a temporary one that goes with this object."""
        if self.directory is not None:
            return self.directory / FOLDER
        place = tempfile.mkdtemp(prefix="trueward-guards-")
        weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)
        return Path(place)

    @cached_property
    def sft(self) -> Checkpoint:
        """The SFT policy."""
        return Checkpoint(self.reference, self.home)

    def measure(self, policy: Network, step: int) -> dict[str, Row]:
        """A row for each guard, by name; empty at step 0, where SFT's own results are made.

        `ValueError` in one line if a guard can't be run on the SFT policy at step 0, before the policy is trained. Later, one
        that can't be run is said, and counted as not measured.
        """
        rows = self._measured(policy, step)
        if step:
            return rows
        for name, row in rows.items():
            if row["failure"]:
                raise ValueError(f"evaluation.guards: {name} can't be run on the SFT policy: {row['failure']}")
        return {}

    def _measured(self, policy: Network, step: int) -> dict[str, Row]:
        now = Checkpoint(policy, self.home)
        try:
            return {spec.name: self._beside_sft(number, spec, now, step) for number, spec in enumerate(self.specs)}
        finally:
            now.remove()
            self.sft.remove()

    def _beside_sft(self, number: int, spec: GuardSpec, now: Checkpoint, step: int) -> Row:
        folder = self._folder(number, spec)
        try:
            theirs = self._scores(spec, folder / "sft", self.sft)
            ours = self._scores(spec, folder / f"step-{step:07d}", now) if step else theirs
        except GuardFailedError as error:
            self._tell(f"step {step}: guard {spec.name}: not measured: {error}" if step else "")
            return guard_row({}, {}, str(error))
        row = guard_row(theirs, ours)
        self._tell(sentence(step, spec.name, row) if step else "")
        return row

    def _tell(self, text: str) -> None:
        if text:
            self.env.progress.tell(text)

    def _folder(self, number: int, spec: GuardSpec) -> Path:
        """Its directory, with its prompts if it is a verifier."""
        called = re.sub(r"[^A-Za-z0-9]+", "-", f"{spec.kind}-{spec.task}").strip("-")
        folder = self.home / f"{number}-{called}"
        folder.mkdir(parents=True, exist_ok=True)
        if spec.kind == "verifier":
            prompts = spec.own_prompts() if spec.prompts else self.prompts
            first = list({prompt.id: prompt for prompt in prompts}.values())[: self._limit(spec)]
            jsonl.write(folder / PROMPTS, [line(prompt) for prompt in first])
        return folder

    def _limit(self, spec: GuardSpec) -> int:
        return spec.limit or self.evaluation.guard_items

    def _scores(self, spec: GuardSpec, place: Path, checkpoint: Checkpoint) -> Scores:
        """Of this checkpoint: read, if they are there already, else made."""
        asked = place.parent / PROMPTS
        job = GuardJob(
            name=spec.name,
            kind=spec.kind,
            task=spec.task,
            options=spec.options,
            limit=self._limit(spec),
            seed=self.seed,
            sampler=self.sampler.model_dump(mode="json"),
            prompts=digest(asked.read_text(encoding="utf-8")) if asked.is_file() else "",
            weights=checkpoint.digest,
        )
        known = job.known(place)
        return known or job.run(place, checkpoint.path, self.env.device, self.evaluation.guard_minutes)


@dataclass
class Checkpoint:
    """A network as a directory that any tool loads, adapters merged: written when it is first needed."""

    network: Network
    home: Path

    @cached_property
    def digest(self) -> str:
        """Of its files; it stays known when they are removed."""
        return digest(digests.of(self.path))

    @property
    def path(self) -> Path:
        """Its directory."""
        if not self._place.is_dir():
            self.home.mkdir(parents=True, exist_ok=True)
            loading.save(replace(self.network, base=None), self._place)
        return self._place

    @property
    def _place(self) -> Path:
        return self.home / f".checkpoint-{id(self):x}.tmp"  # what a kill leaves of it is removed with other leftovers

    def remove(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self._place, ignore_errors=True)


def guard_row(theirs: Scores, ours: Scores, failure: str | None = None) -> Row:
    """A guard's figures at an evaluation: the policy's and SFT's mean score over the items that both have, and the test.

    Where every score is 0 or 1 the test is the one for bounded differences (`betting`).
    """
    items = list(dict.fromkeys([*theirs, *ours]))
    both = [np.array([scores.get(item, np.nan) for item in items], dtype=np.float64) for scores in (ours, theirs)]
    known = np.isfinite(both[0]) & np.isfinite(both[1]) if items else np.zeros(0, dtype=bool)
    binary = all(np.isin(side[known], (0.0, 1.0)).all() for side in both)
    test = PairedItems.between("guard", items, both[0], both[1], 1.0 if binary else None).row()
    means = [round(float(side[known].mean()), 5) if known.any() else None for side in both]
    return {"policy": means[0], "sft": means[1], **test, "failure": failure}


def sentence(step: int, name: str, row: Row) -> str:
    """A guard's result for the terminal."""
    if row["gain"] is None:
        return f"step {step}: guard {name}: not measured: no item has a score of both policies"
    on = f"{row['items']} items" + (f", {row['missing']} missing" if row["missing"] else "")
    means = f"{row['policy']:.3f}, SFT’s {row['sft']:.3f}"
    return f"step {step}: guard {name}: {means} on {on}"
