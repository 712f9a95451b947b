"""Fits the recipe's reward models, one after the other, each from its last checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trueward.algorithms import reward_model as algorithm
from trueward.config import LoraConfig, RewardConfig
from trueward.data import jsonl
from trueward.models.network import Network
from trueward.pipeline.head_start import RewardStart, settled
from trueward.pipeline.started_model import StartedModel, fit_one
from trueward.records import Comparison, Completion
from trueward.scorers.ensemble import MEMBERS, Proxy, build_proxy, with_scale
from trueward.seeds import seed_for
from trueward.training import driver
from trueward.training.env import Env
from trueward.training.journal import METRICS, Journal, Row
from trueward.training.setup import Ranking


@dataclass(frozen=True)
class FittedMembers:
    """Reward models fitted to the same comparisons, the proxy that they form, and their training metrics."""

    networks: list[Network]
    proxy: Proxy
    metrics: list[list[Row]]
    started: list[StartedModel] = field(default_factory=list)
    """Each member with what it started from; empty for a reward model that was ready."""


def fit_members(
    policy: Network,
    comparisons: Sequence[Comparison],
    answers: Sequence[Completion],
    config: RewardConfig,
    lora: LoraConfig | None,
    seed: int,
    adapter_seed: int,
    journal: Journal,
    env: Env,
    name: str = "reward model",
    start: RewardStart | None = None,
) -> FittedMembers | None:
    """All members, each from the SFT policy's layers; the first one's log in the journal itself, the others' in children.

    seed: of the draws in fitting. adapter_seed: the run's, for the initial adapters. answers: the SFT policy's own, two to each
    prompt in a row. name: in progress and errors. start: what to start from, if it is there already. On other ranks than 0:
    None, the rest is rank 0's.
    """
    config, head, states = start or settled(policy, config, comparisons, env)
    started, metrics = [], []
    for member in range(config.members):
        plan = algorithm.member_plan(config, comparisons, seed, member)
        own = journal.child(f"{MEMBERS}/{member}") if member else journal
        what = name + (f" {member + 1} of {config.members}" if config.members > 1 else "")

        def drive(
            fitted: RewardConfig, setup: Ranking, own: Journal = own, what: str = what, member: int = member
        ) -> None:
            driver.drive(algorithm, fitted, setup, own, env, what=what, member=member)

        adapter = seed_for(adapter_seed, "lora", "reward", member)
        started.append(fit_one(policy, plan, lora, adapter, head, drive, env, what, states))
        metrics.append(own.rows(METRICS))
    if not env.fabric.leads:
        return None
    networks = [model.network for model in started]
    return FittedMembers(networks, build_proxy(config, networks, answers, env.micro_batch_tokens), metrics, started)


def write_members(fitted: FittedMembers, config: RewardConfig, answers: Sequence[Completion], folder: Path) -> None:
    """Write the proxy under `folder`, and every member with its log under folder/members."""
    fitted.proxy.write(folder)
    if len(fitted.networks) == 1:
        return
    for member, (network, rows) in enumerate(zip(fitted.networks, fitted.metrics, strict=True)):
        target = folder / MEMBERS / str(member)
        if config.combine == "weights":
            with_scale(network, answers, fitted.proxy.first.micro_batch_tokens).save(target)
        jsonl.write(target / METRICS, rows)
