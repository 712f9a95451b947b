"""The second reward model of `reward.cross_check`: of the proxy's kind, fitted to the comparisons of other prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trueward.config import LoraConfig, RewardConfig
from trueward.models.network import Network
from trueward.pipeline.reward_eval import evaluate_reward_model
from trueward.pipeline.reward_training import FittedMembers, fit_members, write_members
from trueward.records import Comparison, Completion
from trueward.scorers import ensemble
from trueward.scorers.ensemble import Proxy
from trueward.seeds import generator, seed_for
from trueward.training.env import Env, untracked
from trueward.training.journal import Journal

FOLDER = "second"
LABEL = "cross-check"  # of the random draws


@dataclass(frozen=True)
class SecondReward:
    """The second reward model, frozen, in SDs under the SFT policy; and, until it is written, its members."""

    load: Callable[[], Proxy] = field(repr=False)
    summary: dict[str, Any] = field(default_factory=dict)
    members: FittedMembers | None = field(default=None, repr=False)

    @cached_property
    def model(self) -> Proxy:
        """The model, bit for bit as a later process reads it from disk."""
        model = self.load()
        model.freeze()
        return model


def halves(comparisons: Sequence[Comparison], seed: int) -> tuple[list[Comparison], list[Comparison]]:
    """The proxy's comparisons and the second model's: no prompt is in both, and they have as many prompts, or one more."""
    prompts = sorted({c.prompt.id for c in comparisons})
    if len(prompts) < 2:
        raise ValueError(f"reward.cross_check: two halves need 2 compared prompts to fit to, there is {len(prompts)}")
    order = torch.randperm(len(prompts), generator=generator(seed, LABEL, "halves")).tolist()
    first = {prompts[i] for i in order[: (len(prompts) + 1) // 2]}
    return [c for c in comparisons if c.prompt.id in first], [c for c in comparisons if c.prompt.id not in first]


def fit_second(
    policy: Network,
    proxy: Proxy | None,
    comparisons: Sequence[Comparison],
    held_out: Sequence[Comparison],
    answers: Sequence[Completion],
    config: RewardConfig,
    lora: LoraConfig | None,
    seed: int,
    journal: Journal,
    env: Env,
) -> SecondReward | None:
    """The second model on its half of the comparisons, with draws of its own; what else is set is set as for the proxy.

    held_out: of prompts that neither was fitted to. answers: the SFT policy's own, two to each prompt in a row. proxy: None
    on other ranks than 0, as the result is.
    """
    own, quiet = seed_for(seed, LABEL), replace(env, track=untracked)
    fitted = fit_members(
        policy, comparisons, answers, config, lora, own, own, journal.child(FOLDER), quiet, "second reward model"
    )
    if fitted is None or proxy is None:
        return None
    model = fitted.proxy
    examined = evaluate_reward_model(model, held_out)
    summary = {
        "comparisons": len(comparisons),
        **examined,
        "mean": round(model.scale.mean, 6),
        "sd": round(model.scale.sd, 6),
        "correlation": correlation(proxy, model, answers),
    }
    return SecondReward(partial(ensemble.as_read, model), summary, fitted)


def correlation(proxy: Proxy, second: Proxy, answers: Sequence[Completion]) -> float | None:
    """Pearson's, of which of two answers to a prompt scores higher and by how much; None where one of them doesn't vary."""
    ours, theirs = (np.diff(model.raw(answers).reshape(-1, 2), axis=1)[:, 0] for model in (proxy, second))
    if len(ours) < 2 or not ours.std() > 0 or not theirs.std() > 0:
        return None
    return round(float(np.corrcoef(ours, theirs)[0, 1]), 4)


def write_second(second: SecondReward, config: RewardConfig, answers: Sequence[Completion], stage: Path) -> None:
    """Write it under `stage`/second, laid out like the stage's directory itself."""
    assert second.members is not None
    write_members(second.members, config, answers, stage / FOLDER)


def read_second(stage: Path, env: Env) -> SecondReward | None:
    """The second model in a stage's directory; None if there is none."""
    folder = stage / FOLDER
    return SecondReward(partial(ensemble.load, folder, env.device, env.shares, env.dtype)) if folder.is_dir() else None
