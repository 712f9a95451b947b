"""Fits the recipe's reward models, one after the other, each from its last checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from trueward.algorithms import reward_model as fit
from trueward.artifacts import CHECKPOINTS, Artifact
from trueward.batches import Step
from trueward.config import RewardConfig
from trueward.models.network import Network
from trueward.pipeline.env import Env
from trueward.progress import Progress
from trueward.records import Comparison, Completion
from trueward.scorers.ensemble import MEMBERS, Proxy, with_scale
from trueward.tracking import Tracker
from trueward.training import driver
from trueward.training.state import State

LOG = "metrics.jsonl"


def fit_members(
    env: Env,
    sft: Artifact,
    comparisons: Sequence[Comparison],
    work: Path,
    seed: int,
    progress: Progress,
    tracker: Callable[[int], Tracker] = lambda member: Tracker(),
) -> list[Network]:
    """All members; the first one's log and checkpoints in `work` itself, those of the others below its checkpoints."""
    config, runtime = env.recipe.reward, env.recipe.runtime
    networks = []
    for member in range(config.members):
        lesson = fit.member_plan(config, comparisons, seed, member)
        network = env.scalar_head(sft.model, "reward", member)
        state = fit.start(lesson.config, network)
        folder = place(work, member)
        folder.mkdir(parents=True, exist_ok=True)

        def loop(lesson: fit.MemberPlan = lesson, network: Network = network, state: State = state) -> Iterator[Step]:
            return fit.train(
                lesson.config,
                network=network,
                comparisons=lesson.comparisons,
                state=state,
                seed=lesson.seed,
                micro_batch_tokens=runtime.micro_batch_tokens,
            )

        with tracker(member) as tracking:
            driver.drive(
                loop,
                state=state,
                directory=folder,
                total=lesson.steps,
                what="reward model" + (f" {member + 1} of {config.members}" if config.members > 1 else ""),
                progress=progress,
                checkpoint_seconds=runtime.checkpoint_seconds,
                tracker=tracking,
            )
        networks.append(network)
    return networks


def place(work: Path, member: int) -> Path:
    """Where a member is while it learns."""
    return work / CHECKPOINTS / MEMBERS / str(member) if member else work


def save(
    config: RewardConfig,
    proxy: Proxy,
    networks: Sequence[Network],
    answers: Sequence[Completion],
    work: Path,
    folder: Path,
) -> None:
    """The proxy under `folder`, every member with its log under folder/members; `work`: where they were fitted."""
    proxy.write(folder)
    if len(networks) == 1:
        return
    for member, network in enumerate(networks):
        target = folder / MEMBERS / str(member)
        if config.combine == "weights":
            with_scale(network, answers, proxy.first.micro_batch_tokens).save(target)
        shutil.copyfile(place(work, member) / LOG, target / LOG)
