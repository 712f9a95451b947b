"""The stage `reward`: the scale of a proxy that needs no training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueward.artifacts import Artifact, read_json, write_json
from trueward.config import JudgeConfig, RewardConfig
from trueward.pipeline.judge_labels import rating_scale
from trueward.pipeline.prepare import Prepared
from trueward.pipeline.scorer_factory import ScorerFactory
from trueward.pipeline.sft import SftPolicy
from trueward.pipeline.stage import Stage
from trueward.scorers.scorer import Scale, Scorer, fit_scale, judged_pairs
from trueward.scorers.user_function import Columns
from trueward.training.env import Env
from trueward.training.journal import Journal

SCALE = "scale.json"


@dataclass(frozen=True)
class ProgramReward:
    """The scale of a program under the SFT policy."""

    scale: Scale
    summary: dict[str, Any]


def fit_reward(
    *,
    prepared: Prepared,
    sft: SftPolicy,
    seed: int,
    reward: RewardConfig,
    judge: JudgeConfig | None,
    annotator: str | None,
    env: Env,
    journal: Journal,
    given: Mapping[str, Scorer] | None = None,
    columns: Columns | None = None,
) -> ProgramReward:
    """The scale, from the SFT policy's own answers.

    judge: where it rates or is a part. annotator: the simulated utility that it is compared with. given: the caller's
    scorers, by name. columns: of the prompts' rows, for the user's scorers.
    """
    env.progress.start("reward", 1)
    if reward.kind == "judge":
        assert judge is not None
        assert annotator is not None
        scale, figures = rating_scale(sft.answers, prepared.annotators, annotator, judge, seed, env, reward.judge_mode)
        return _with_scale(reward.kind, scale, {"judge": figures}, env)
    what = "the verifier" if reward.kind == "verifier" else "the mixture"
    program = ScorerFactory(env, seed, reward, judge, given=given or {}, columns=columns or {}).program()
    raw = judged_pairs(program, sft.answers, what)
    if raw.max() == raw.min():
        raise ValueError(
            f"{what} gives {raw.min():g} to all of the SFT policy's {raw.size} answers, so there is nothing to learn "
            "from. "
            + (
                "It never succeeds: give it demonstrations that do, easier prompts, or a reward for a part of the way "
                '(constraints: score = "share"; a mixture)'
                if raw.max() <= 0
                else "Take a verifier that it does not satisfy already"
            )
        )
    return _with_scale(reward.kind, fit_scale(raw, what), {}, env)


def _with_scale(kind: str, scale: Scale, more: dict[str, Any], env: Env) -> ProgramReward:
    env.progress.end(f"mean {scale.mean:.3f}, SD {scale.sd:.3f} under SFT")
    summary = {"kind": kind, "mean": round(scale.mean, 6), "sd": round(scale.sd, 6), **more}
    return ProgramReward(scale, summary)


def write(result: ProgramReward, folder: Path) -> dict[str, Any]:
    """Write the result into the stage's directory; returns the summary for its manifest."""
    write_json(folder / SCALE, {"mean": result.scale.mean, "sd": result.scale.sd})
    return result.summary


def read_scale(folder: Path) -> Scale:
    """The scale in a stage's directory."""
    table = read_json(folder / SCALE)
    return Scale(table["mean"], table["sd"])


def read(artifact: Artifact, env: Env) -> ProgramReward:
    """The result, from the stage's directory."""
    return ProgramReward(read_scale(artifact.path), artifact.summary)


REWARD = Stage("reward", fit_reward, write, read)
