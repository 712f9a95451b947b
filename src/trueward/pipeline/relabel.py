"""Relabelling in the policy's stage: each new reward model, with its comparisons, is a directory in it.

A directory is written atomically, and read by a resumed run. Its inputs (the policy at that step, the comparisons so far,
draws seeded by the step) are then the same, so one that was lost is made again, bit for bit. In memory nothing is written,
and the numbers are the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from trueward.algorithms import relabel
from trueward.algorithms import reward_model as algorithm
from trueward.artifacts import CHECKPOINTS, flush, read_json, sync_directory, write_json
from trueward.config import ComparisonsConfig, LoraConfig, PolicyConfig, RewardConfig, SamplerConfig
from trueward.data import jsonl
from trueward.models.network import Network
from trueward.parallel.fabric import ALONE, Fabric
from trueward.pipeline import relabel_people
from trueward.pipeline.answers import exact_sampler
from trueward.pipeline.compared import Compared
from trueward.pipeline.comparisons import annotator_model
from trueward.pipeline.finished_pairs import finished_pairs, unit_answers
from trueward.pipeline.prepare import Prepared
from trueward.pipeline.records import read_comparisons
from trueward.pipeline.reward_eval import split_comparisons
from trueward.pipeline.reward_training import FittedMembers, fit_members, write_members
from trueward.pipeline.sft import SftPolicy
from trueward.progress import Progress
from trueward.records import Comparison, Completion, Prompt, line
from trueward.reporting.start_text import of_unfinished
from trueward.sampling.draws import Draws
from trueward.scorers import ensemble, simulated
from trueward.scorers.ensemble import Proxy
from trueward.scorers.simulated import AnnotatorModel
from trueward.seeds import seed_for
from trueward.training.env import Env, untracked
from trueward.training.journal import Journal

FOLDER, NEW, FITTED, ROW, LOG = "relabel", "asked.jsonl", "fitted.jsonl", "row.json", "relabel.jsonl"


@dataclass
class DurableRelabelling(relabel.Relabelling):
    """Relabelling on disk. work: the directory of the policy's stage. load: reads a reward model from its directory."""

    work: Path = Path()
    load: Callable[[Path], Proxy] | None = None
    fabric: Fabric = ALONE

    def at(self, step: int) -> None:
        """Use the reward model of this step: read it if it was made before, else make and store it.

        Of several processes rank 0 makes it, and the others read it.
        """
        self.fabric.led(partial(self._make, step))
        if not self.fabric.leads:
            self._read(place(self.work, step))

    def _read(self, folder: Path) -> None:
        assert self.load is not None
        self.take(self.load(folder), read_comparisons(folder / FITTED), read_json(folder / ROW))

    def _make(self, step: int) -> None:
        folder = place(self.work, step)
        if folder.is_dir():
            self._read(folder)
            return
        relabel.Relabelling.at(self, step)
        new = unfinished(self.work, step)
        jsonl.write(new / FITTED, [line(c) for c in self.known])
        write_json(new / ROW, self.rows[-1])
        for file in (f for f in new.rglob("*") if f.is_file()):
            flush(file)
        folder.parent.mkdir(exist_ok=True)
        new.replace(folder)
        sync_directory(folder.parent)
        shutil.rmtree(fitting(self.work, step), ignore_errors=True)


@dataclass(frozen=True)
class RelabelSetup:
    """The inputs of new comparisons and reward models."""

    prepared: Prepared
    sft: SftPolicy
    comparisons: Compared
    labels: ComparisonsConfig
    policy: PolicyConfig
    reward: RewardConfig
    sampler: SamplerConfig
    lora: LoraConfig | None
    seed: int
    env: Env
    journal: Journal

    @cached_property
    def annotators(self) -> AnnotatorModel:
        """The simulated annotators, with the temperature that they had for the first comparisons."""
        return annotator_model(self.labels, self.prepared.annotators, self.sft.answers)

    def start(self, policy: Network, proxy: Proxy, use: Callable[[Proxy], None]) -> relabel.Relabelling:
        """Relabelling for a policy, by simulated annotators or people.

        use: called with each new reward model.
        """
        work = self.journal.directory
        common = dict(
            proxy=proxy,
            known=split_comparisons(self.comparisons.rows, self.reward.held_out)[0],
            held_out=self.reward.held_out,
            ask=partial(self.ask, policy),
            examine=algorithm.accuracy_on,
            use=use,
        )
        if work is None:
            return relabel.Relabelling(fit=self.fit_in_memory, **common)  # type: ignore[arg-type]  # as named above
        more = {"work": work, "load": self.load, "fabric": self.env.fabric, **common}
        return DurableRelabelling(fit=partial(self.fit, work), **more)  # type: ignore[arg-type]

    def ask(self, policy: Network, step: int) -> list[Comparison]:
        """Comparisons of the policy's present answers. `WaitingError` while people haven't judged them."""
        work, count, seed = self.journal.directory, self.policy.relabel.comparisons, self.seed
        sample, prompts = exact_sampler(self.sampler, self.env.alone), self.prepared.prompts
        if work is not None:
            shutil.rmtree(unfinished(work, step), ignore_errors=True)
            unfinished(work, step).mkdir(parents=True)
        if self.labels.source != "simulated" and work is None:
            raise ValueError("policy.relabel: people are asked by a run on disk, which can wait for them")

        def again(these: list[Prompt], number: int) -> Sequence[Completion]:
            return sample(policy, these, Draws.purpose(seed, "asked again", "relabel", step, number)).completions

        pairs, cut = finished_pairs(
            simulated.sample_pairs(sample, policy, prompts, count, seed, "relabel", step), self.labels.unfinished, again
        )
        if text := of_unfinished({"unfinished": cut}):
            self.env.progress.tell(f"policy.relabel, step {step}: {text}")
        if self.labels.source == "simulated":
            new = simulated.chosen(pairs, self.annotators, seed, "relabel", step)
        else:
            assert work is not None
            new = relabel_people.ask(self.labels, work, step, pairs, unfinished(work, step))
        if work is not None:
            jsonl.write(unfinished(work, step) / NEW, [line(c) for c in new])
        return new

    def _fit(self, step: int, known: Sequence[Comparison], journal: Journal) -> FittedMembers:
        own_seed = seed_for(self.seed, "relabel", step)
        quiet = replace(self.env.alone, progress=Progress(), track=untracked)
        answers = unit_answers(self.labels, self.sft.answers)
        made = fit_members(self.sft.policy, known, answers, self.reward, self.lora, own_seed, self.seed, journal, quiet)
        assert made is not None  # by rank 0 alone
        return made

    def fit_in_memory(self, step: int, known: Sequence[Comparison]) -> Proxy:
        """A new reward model on the comparisons so far, frozen."""
        made = ensemble.as_read(self._fit(step, known, self.journal.child(f"{FOLDER}/{step:07d}")).proxy)
        made.freeze()
        return made

    def fit(self, work: Path, step: int, known: Sequence[Comparison]) -> Proxy:
        """The same, written to its unfinished directory and read back."""
        fitted = self._fit(step, known, self.journal.child(f"{FOLDER}/{fitting(work, step).name}"))
        write_members(fitted, self.reward, unit_answers(self.labels, self.sft.answers), unfinished(work, step))
        return self.load(unfinished(work, step))  # bit for bit as a resumed run reads it

    def load(self, folder: Path) -> Proxy:
        """The reward model in a directory, frozen."""
        proxy = ensemble.load(folder, self.env.device, self.env.shares, self.env.dtype)
        proxy.freeze()
        return proxy


def place(work: Path, step: int) -> Path:
    """The directory of a step's reward model."""
    return work / FOLDER / f"{step:07d}"


def unfinished(work: Path, step: int) -> Path:
    """The directory in which a step's reward model is assembled."""
    return work / CHECKPOINTS / FOLDER / f"{step:07d}"


def fitting(work: Path, step: int) -> Path:
    """The directory in which a reward model is trained, with its checkpoints."""
    return work / CHECKPOINTS / FOLDER / f"{step:07d}-fitting"


def write_rows(work: Path) -> None:
    """Write one row for each new reward model, including those from before a resume."""
    jsonl.write(work / LOG, [read_json(p / ROW) for p in sorted((work / FOLDER).glob("*"))])


def refitted_proxy(policy: Path, env: Env) -> Proxy | None:
    """The last reward model that a policy was trained on; None if it never changed. policy: the stage's directory."""
    later = sorted((policy / FOLDER).glob("*"))
    if not later:
        return None
    proxy = ensemble.load(later[-1], env.device, env.shares, env.dtype)
    proxy.freeze()
    return proxy
