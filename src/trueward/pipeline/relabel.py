"""Relabelling as part of the policy's stage: every new reward model, with its comparisons, is a directory in it.

Each is written whole or not at all, and found again by a resumed run. What it is made from (the policy at that step, the
comparisons so far, draws seeded by the step) is the same then, so one that was lost is made again, the same to the bit.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from trueward.algorithms import relabel
from trueward.algorithms import reward_model as fit
from trueward.artifacts import CHECKPOINTS, Artifact, flush, read_json, sync_directory, write_json
from trueward.config import Recipe
from trueward.data import jsonl
from trueward.models.network import Network
from trueward.pipeline import relabel_people
from trueward.pipeline.env import REFERENCE, Env, read_completions, read_prompts
from trueward.pipeline.reward_eval import split_comparisons
from trueward.pipeline.reward_training import fit_members, save
from trueward.progress import Progress
from trueward.records import Comparison, Completion, line
from trueward.scorers import ensemble, simulated
from trueward.scorers.ensemble import Proxy
from trueward.scorers.scorer import scores
from trueward.scorers.simulated import AnnotatorModel
from trueward.seeds import seed_for

FOLDER, ASKED, FITTED, ROW, LOG = "relabel", "asked.jsonl", "fitted.jsonl", "row.json", "relabel.jsonl"


@dataclass
class DurableRelabelling(relabel.Relabelling):
    """That of a run. `work`: the policy's stage."""

    work: Path = Path()
    load: Callable[[Path], Proxy] | None = None

    def at(self, step: int) -> None:
        folder = place(self.work, step)
        if folder.is_dir():
            assert self.load is not None
            self.take(self.load(folder), read_comparisons(folder / FITTED), read_json(folder / ROW))
            return
        super().at(step)
        new = unfinished(self.work, step)
        jsonl.write(new / FITTED, [line(c) for c in self.known])
        write_json(new / ROW, self.rows[-1])
        for file in (f for f in new.rglob("*") if f.is_file()):
            flush(file)
        folder.parent.mkdir(exist_ok=True)
        new.replace(folder)
        sync_directory(folder.parent)
        shutil.rmtree(fitting(self.work, step), ignore_errors=True)

    def write_rows(self) -> None:
        """One row for each new reward model, those of a run that was resumed included."""
        rows = [read_json(p / ROW) for p in sorted((self.work / FOLDER).glob("*"))]
        jsonl.write(self.work / LOG, rows)


def relabelling(
    env: Env,
    prepared: Artifact,
    sft: Artifact,
    comparisons: Artifact,
    policy: Network,
    proxy: Proxy,
    use: Callable[[Proxy], None],
    work: Path,
) -> DurableRelabelling:
    """The recipe's annotators: simulated, with the noise that they had for the first comparisons, or people."""
    recipe, seed = env.recipe, env.recipe.seed
    answers = read_completions(sft.path / REFERENCE)
    prompts = read_prompts(prepared.path / "prompts.jsonl")
    is_simulated = recipe.comparisons.source == "simulated"
    choosing = annotators(recipe, prepared, answers) if is_simulated else None

    def ask(step: int) -> list[Comparison]:
        new, count = unfinished(work, step), recipe.policy.relabel.comparisons
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        if choosing:
            found = simulated.sample_comparisons(env.sample, policy, prompts, count, choosing, seed, "relabel", step)
        else:
            pairs = simulated.sample_pairs(env.sample, policy, prompts, count, seed, "relabel", step)
            found = relabel_people.ask(recipe, work, step, pairs, new)
        jsonl.write(new / ASKED, [line(c) for c in found])
        return found

    def loaded(folder: Path) -> Proxy:
        found = ensemble.load(folder, env.device, env.shares)
        found.freeze()
        return found

    def fitted(step: int, known: Sequence[Comparison]) -> Proxy:
        at, own_seed = fitting(work, step), seed_for(seed, "relabel", step)
        networks = fit_members(env, sft, known, at, own_seed, Progress())
        made = ensemble.build_proxy(recipe.reward, networks, answers, recipe.runtime.micro_batch_tokens)
        save(recipe.reward, made, networks, answers, at, unfinished(work, step))
        return loaded(unfinished(work, step))  # as a resumed run reads it, to the last bit

    return DurableRelabelling(
        proxy=proxy,
        known=split_comparisons(read_comparisons(comparisons.path / "comparisons.jsonl"), recipe.reward.held_out)[0],
        held_out=recipe.reward.held_out,
        ask=ask,
        fit=fitted,
        examine=fit.accuracy_on,
        use=use,
        work=work,
        load=loaded,
    )


def annotators(recipe: Recipe, prepared: Artifact, answers: Sequence[Completion]) -> AnnotatorModel:
    """Simulated ones: their utility, and the temperature at which they agree as often as the recipe says."""
    asked = recipe.comparisons
    utility = simulated.annotator(prepared.path / "annotators", asked.annotator, asked.length_bias)
    own = scores(utility, answers).reshape(-1, 2)
    return AnnotatorModel(utility, simulated.temperature_for(asked.agreement, own[:, 0] - own[:, 1]), asked.tie_width)


def place(work: Path, step: int) -> Path:
    return work / FOLDER / f"{step:07d}"


def unfinished(work: Path, step: int) -> Path:
    return work / CHECKPOINTS / FOLDER / f"{step:07d}"


def fitting(work: Path, step: int) -> Path:
    """Where a reward model learns, and goes on from after a kill."""
    return work / CHECKPOINTS / FOLDER / f"{step:07d}-fitting"


def newest(reward: Path, policy: Path, device: torch.device, shared: bool = False) -> Proxy:
    """The last reward model that a policy was trained on; both are directories of stages."""
    later = sorted((policy / FOLDER).glob("*"))
    return ensemble.load(later[-1] if later else reward, device, shared)


def read_comparisons(path: Path) -> list[Comparison]:
    return [Comparison.model_validate(row) for _, row in jsonl.read(path)]
