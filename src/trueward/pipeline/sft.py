"""The stage `sft`: the policy that imitates demonstrations, and its own answers, which set the scale of the proxy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from trueward.algorithms import sft as algorithm
from trueward.artifacts import Artifact
from trueward.config import LoraConfig, ModelConfig, SamplerConfig, SftConfig
from trueward.data import jsonl
from trueward.models import loading, nf4, precision, shared_base
from trueward.models.derived import trainable
from trueward.models.network import Network
from trueward.pipeline.answers import sample_with_progress
from trueward.pipeline.prepare import Prepared
from trueward.pipeline.records import ANSWERS, read_completions
from trueward.pipeline.stage import Stage
from trueward.records import Completion, line
from trueward.sampling.draws import Draws
from trueward.seeds import generator, seed_for
from trueward.training import driver
from trueward.training.env import Env
from trueward.training.journal import Journal
from trueward.training.setup import Supervised

REFERENCE_PROMPTS = 384  # prompts, two samples each, that set the reward's mean and SD under SFT


@dataclass(frozen=True)
class SftPolicy:
    """The SFT policy: the start of every optimiser, and the anchor. Frozen."""

    load: Callable[[], Network] = field(repr=False)
    answers: list[Completion]
    """Its own answers, two to each of `REFERENCE_PROMPTS` prompts in a row."""
    summary: dict[str, Any]
    trained: Network | None = field(default=None, repr=False)
    """The weights as they were trained, to be written; `load` gives them as they are read."""
    place: Path | None = None
    """The directory that `load` reads, where there is one: other processes load the same from there."""

    @cached_property
    def policy(self) -> Network:
        """The network, loaded on first use."""
        return self.load()


def fine_tune(
    *,
    prepared: Prepared,
    seed: int,
    model: ModelConfig,
    sft: SftConfig,
    sampler: SamplerConfig,
    lora: LoraConfig | None,
    env: Env,
    journal: Journal,
) -> SftPolicy:
    """SFT on the demonstrations, or the ready model that `sft.model` names; then two answers to each of some prompts."""
    demonstrations, held_out = prepared.demonstrations, prepared.demonstrations_held_out
    if cut := cut_short(prepared.summary, sampler.max_new_tokens):
        env.progress.tell(f"sft: {cut}")
    budget = env.micro_batch_tokens
    policy = env.load(sft.model or model.base, seed)
    trained, leads = policy, env.fabric.leads
    before = after = algorithm.held_out_nll(policy, held_out, budget, sft.turns) if held_out and leads else None
    if not sft.model:
        learner = trainable(policy, lora, seed_for(seed, "lora", "sft"), sft.trainable_layers)
        setup = Supervised(
            seed=seed,
            micro_batch_tokens=budget,
            fabric=env.fabric,
            policy=learner,
            demonstrations=demonstrations,
        )
        driver.drive(algorithm, sft, setup, journal, env, what="sft")
        trained = policy = shared_base.merge_adapter(learner)  # the base of all later adapters
        policy.model.requires_grad_(False)
        if nf4.is_quantized(learner.model):
            nf4.round_weights(trained.model)  # as every later stage has it, and whoever reads what is written
            policy = shared_base.in_four_bits(trained, env.device)
        after = algorithm.held_out_nll(policy, held_out, budget, sft.turns) if leads else None
    prompts = prepared.prompts
    count = env.trial.reference_prompts if env.trial else REFERENCE_PROMPTS
    picked = torch.randperm(len(prompts), generator=generator(seed, "reference prompts"))[:count]
    twice = [prompts[i] for i in picked.tolist() for _ in range(2)]
    draws = Draws.purpose(seed, "reference")
    answers = sample_with_progress("sft: its own answers", policy, twice, sampler, draws, env)
    summary = {
        "demonstrations": 0 if sft.model else len(demonstrations),
        "held_out_nll_before": before,
        "held_out_nll_after": after,
        "parameters": loading.parameters(policy.model),
    }

    def load() -> Network:
        return Network(precision.rounded_copy(policy.model), policy.tokenizer, policy.base, policy.form)

    return SftPolicy(load, answers, summary, trained)


def cut_short(prepared: dict[str, Any], longest: int) -> str:
    """A sentence if answers as long as most demonstrations would be cut; empty otherwise. prepared: that stage's summary."""
    lengths = prepared.get("lengths", {})
    if lengths.get("response_median", 0) <= longest:
        return ""
    return (
        f"sampler.max_new_tokens = {longest} cuts answers as long as most demonstrations, of which half have more than "
        f"{lengths['response_median']} tokens, and 99% no more than {lengths['response_most']}"
    )


def write(sft: SftPolicy, folder: Path) -> dict[str, Any]:
    """Write the result into the stage's directory; returns the summary for its manifest."""
    loading.save(sft.trained or sft.policy, folder / "model")
    jsonl.write(folder / ANSWERS, [line(c) for c in sft.answers])
    return sft.summary


def read(artifact: Artifact, env: Env) -> SftPolicy:
    """The result, from the stage's directory."""
    answers = read_completions(artifact.path / ANSWERS)
    return SftPolicy(partial(env.load, artifact.model), answers, artifact.summary, place=artifact.model)


SFT = Stage("sft", fine_tune, write, read, together=True)
