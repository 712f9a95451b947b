"""The engine that samples what a loop learns from, from the recipe's [sampler.engine]."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trueward.config import LoraConfig, SamplerConfig
from trueward.data.collate import Collator
from trueward.models.network import Network
from trueward.pipeline.answers import sampling_params
from trueward.records import Prompt
from trueward.sampling.ahead import AheadEngine
from trueward.sampling.engine import LocalEngine, RolloutEngine
from trueward.sampling.led import LedEngine
from trueward.sampling.remote import IdleEngine, RemoteEngine
from trueward.sampling.sampler import SamplingParams
from trueward.sampling.shared import SharedEngine
from trueward.sampling.vllm_engine import VllmEngine
from trueward.scorers.remote import LedScorer, RemoteScorer
from trueward.scorers.scorer import Scorer
from trueward.scorers.shared import SharedScorer
from trueward.seeds import seed_for
from trueward.training.env import Env


def shared_rollouts(
    sampler: SamplerConfig, prompts: Sequence[Prompt], policy: Network, env: Env, copies: Mapping[str, Any]
) -> RolloutEngine:
    """The engine of all processes of `env.fabric` together. prompts: those that will be sampled. copies: how others get a copy
    of the policy (`copied_from`); empty where there is no directory that it could be loaded from."""
    if not env.remote.has_samplers:
        return SharedEngine(env.fabric, rollout_engine(sampler, prompts, policy, env))
    assert copies, "samplers elsewhere are for a run on disk"
    engine, params = sampler.engine, rollout_params(sampler)
    drawing: LocalEngine = IdleEngine(params, engine.sync_every)
    if env.remote.samplers is not None:
        given = {**copies, "sampler": sampler.model_dump(mode="json"), "longest": longest(prompts, policy)}
        drawing = RemoteEngine(params, engine.sync_every, env.remote.samplers, given, env.progress.tell)
    return LedEngine(env.fabric, AheadEngine(drawing, engine.max_staleness) if engine.max_staleness else drawing)


def shared_reward(env: Env, own: Callable[[], Scorer], *, is_own: bool) -> Scorer:
    """The scorer of all processes of `env.fabric` together: each scores its share by its `own`, or scorers elsewhere score all.

    is_own: scorers elsewhere don't hold this reward.
    """
    remote = env.remote
    if is_own or not remote.has_scorers:
        return SharedScorer(env.fabric, own())
    there = remote.scorers
    return LedScorer(env.fabric, None if there is None else RemoteScorer(there, env.progress.tell))


def adapter_seed(seed: int) -> int:
    """The seed of the adapter that a policy learns in, in a run with this one."""
    return seed_for(seed, "lora", "policy")


def copied_from(journal: Path | None, sft: Path | None, lora: LoraConfig | None, seed: int) -> dict[str, Any]:
    """What a process elsewhere makes its copy of a run's policy from, as JSON; nothing of a run that isn't on disk.

    journal: a stage's directory. sft: that of the SFT policy. lora, seed: the run's.
    """
    if journal is None or sft is None:
        return {}
    adapter = None if lora is None else lora.model_dump(mode="json")
    return {
        "run": str(journal.parent.absolute()),
        "sft": str(sft.absolute()),
        "lora": adapter,
        "seed": adapter_seed(seed),
    }


def rollout_engine(sampler: SamplerConfig, prompts: Sequence[Prompt], policy: Network, env: Env) -> RolloutEngine:
    """This process's own engine. prompts: those that will be sampled, the longest of which an engine has to have room for."""
    staleness = sampler.engine.max_staleness if env.trial is None else 0  # what overlaps can't be timed apart
    engine = drawing_engine(sampler, lambda: longest(prompts, policy), env)
    return AheadEngine(engine, staleness) if staleness else engine


def drawing_engine(sampler: SamplerConfig, longest_prompt: Callable[[], int], env: Env) -> LocalEngine:
    """What draws, in this process or in a vLLM. longest_prompt: its tokens, where they are needed."""
    engine, params = sampler.engine, rollout_params(sampler)
    if engine.kind == "local":
        # A thread beside the loop has decoders of its own.
        return LocalEngine(params, engine.sync_every, env.pool if not engine.max_staleness else None)
    if engine.is_server and engine.max_staleness and not env.fabric.is_alone:
        raise ValueError(
            "sampler.engine.max_staleness: several processes that share a server push to it together, between two rollouts; "
            "without an address each process has a vLLM of its own, which samples ahead"
        )
    return VllmEngine(params, engine, longest_prompt(), env.fabric, env.progress.tell)


def rollout_params(sampler: SamplerConfig) -> SamplingParams:
    """How rollouts are drawn: as all samples, in the engine's precision."""
    return replace(sampling_params(sampler), quantize=sampler.engine.quantize)


def longest(prompts: Sequence[Prompt], policy: Network) -> int:
    """Tokens of the longest prompt."""
    collator = Collator(policy.tokenizer, policy.context)
    collator.remember(prompts)
    return max((len(collator.prompt_ids(prompt)) for prompt in prompts), default=1)
