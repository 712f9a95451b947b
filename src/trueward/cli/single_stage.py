"""One stage by itself, with TRL's flags: the pipeline with the flags' settings, up to that stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from trueward import config
from trueward.cli.terminal import Out, Quiet, Set, flag, run_pipeline


def sft(
    model: Annotated[str, flag("model", "The model to start from.", "model-name-or-path")] = "trueward:base",
    dataset: Annotated[
        str, flag("dataset", "Demonstrations: JSONL or a data set.", "dataset-name")
    ] = "trueward:reviews",
    out: Out = None,
    learning_rate: Annotated[float | None, flag("learning-rate", "Peak rate.")] = None,
    epochs: Annotated[float | None, flag("num-train-epochs", "Passes over the data.")] = None,
    batch_size: Annotated[
        int | None, flag("per-device-train-batch-size", "Demonstrations a step.", "batch-size")
    ] = None,
    max_grad_norm: Annotated[float | None, flag("max-grad-norm", "Gradient clipping.")] = None,
    seed: Annotated[int | None, flag("seed", "Seed.")] = None,
    changes: Set = None,
    quiet: Quiet = False,
) -> None:
    """Train SFT alone: next-token cross-entropy on the responses of demonstrations."""
    settings = {
        "model.base": model,
        "data.demonstrations": dataset,
        "sft.learning_rate": learning_rate,
        "sft.epochs": epochs,
        "sft.batch_size": batch_size,
        "sft.max_grad_norm": max_grad_norm,
        "seed": seed,
    }
    one_stage("sft", settings, out, changes, quiet)


def reward_model(
    model: Annotated[str, flag("model", "The SFT policy to start from.", "model-name-or-path")],
    dataset: Annotated[str, flag("dataset", "Comparisons: JSONL, CSV... (docs/comparisons.md).", "dataset-name")],
    out: Out = None,
    learning_rate: Annotated[float | None, flag("learning-rate", "Peak rate.")] = None,
    epochs: Annotated[float | None, flag("num-train-epochs", "Passes over the comparisons.")] = None,
    batch_size: Annotated[int | None, flag("per-device-train-batch-size", "Prompts a step.", "batch-size")] = None,
    seed: Annotated[int | None, flag("seed", "Seed.")] = None,
    changes: Set = None,
    quiet: Quiet = False,
) -> None:
    """Train a reward model alone: Bradley–Terry on a file of comparisons."""
    settings: dict[str, Any] = {
        "model.base": model,
        "sft.model": model,
        "data.demonstrations": "",
        "data.prompts": "comparisons",
        "comparisons.source": "file",
        "comparisons.path": dataset,
        "evaluation.truths": [],
        "reward.learning_rate": learning_rate,
        "reward.epochs": epochs,
        "reward.batch_size": batch_size,
        "seed": seed,
    }
    one_stage("reward_model", settings, out, changes, quiet)


def ppo(
    sft_model: Annotated[str, flag("sft-model-path", "The SFT policy: start and anchor.", "model-name-or-path")],
    reward_model: Annotated[str, flag("reward-model-path", "The reward model: the proxy.")],
    dataset: Annotated[str, flag("dataset", "Prompts: JSONL or a data set.", "dataset-name")],
    out: Out = None,
    truth: Annotated[str | None, flag("truth", "A reward model's directory that is never optimised.")] = None,
    steps: Annotated[int | None, flag("steps", "Rollouts, one a step.")] = None,
    total_episodes: Annotated[int | None, flag("total-episodes", "Completions in all, in place of --steps.")] = None,
    batch_size: Annotated[int | None, flag("batch-size", "Completions a rollout.")] = None,
    kl_coef: Annotated[float | None, flag("kl-coef", "Weight β of the KL anchor.")] = None,
    learning_rate: Annotated[float | None, flag("learning-rate", "Peak rate of the policy.")] = None,
    epochs: Annotated[int | None, flag("num-ppo-epochs", "Passes over a rollout.")] = None,
    minibatches: Annotated[int | None, flag("num-mini-batches", "Updates a pass.")] = None,
    clip: Annotated[float | None, flag("cliprange", "Clip range of the ratio.")] = None,
    value_clip: Annotated[float | None, flag("cliprange-value", "Clip range of the value.")] = None,
    discount: Annotated[float | None, flag("gamma", "Discount.")] = None,
    gae_lambda: Annotated[float | None, flag("lam", "λ of GAE.")] = None,
    missing_eos_penalty: Annotated[
        float | None, flag("missing-eos-penalty", "Penalty of a truncated answer, in SDs.")
    ] = None,
    response_length: Annotated[int | None, flag("response-length", "The most new tokens.")] = None,
    temperature: Annotated[float | None, flag("temperature", "Sampling temperature.")] = None,
    seed: Annotated[int | None, flag("seed", "Seed.")] = None,
    changes: Set = None,
    quiet: Quiet = False,
) -> None:
    """Train PPO alone, from an SFT policy and a reward model; then evaluate and write the report."""
    if total_episodes is not None:
        if steps is not None:
            raise ValueError("give --steps or --total-episodes, not both")
        steps = max(1, total_episodes // (batch_size or config.PolicyConfig().batch_size))
    settings = {
        "model.base": sft_model,
        "sft.model": sft_model,
        "reward.model": reward_model,
        "data.demonstrations": "",
        "data.prompts": dataset,
        "evaluation.truths": [f"model:{truth}"] if truth else [],
        "policy.steps": steps,
        "policy.batch_size": batch_size,
        "policy.kl_coef": kl_coef,
        "policy.learning_rate": learning_rate,
        "policy.epochs": epochs,
        "policy.minibatches": minibatches,
        "policy.clip": clip,
        "policy.value_clip": value_clip,
        "policy.discount": discount,
        "policy.gae_lambda": gae_lambda,
        "policy.missing_eos_penalty": missing_eos_penalty,
        "sampler.max_new_tokens": response_length,
        "sampler.temperature": temperature,
        "seed": seed,
    }
    one_stage("report", settings, out, changes, quiet, name="ppo")


def one_stage(
    until: str, settings: dict[str, Any], out: Path | None, changes: list[str] | None, quiet: bool, name: str = ""
) -> None:
    """Run the pipeline up to one stage, with the settings of the flags."""
    table: dict[str, Any] = {"name": name or until.replace("_", "-")}
    for key, value in settings.items():
        if value is not None:
            section, _, field = key.rpartition(".")
            (table.setdefault(section, {}) if section else table)[field] = value
    for change in changes or []:
        config.put(table, change)
    run_pipeline(config.resolve(table, "command line"), out, [], until, quiet)
