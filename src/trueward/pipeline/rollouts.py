"""The engine that samples what a loop learns from, from the recipe's [sampler.engine]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trueward.config import SamplerConfig
from trueward.data.collate import Collator
from trueward.models.network import Network
from trueward.pipeline.answers import sampling_params
from trueward.records import Prompt
from trueward.sampling.ahead import AheadEngine
from trueward.sampling.engine import LocalEngine, RolloutEngine
from trueward.sampling.vllm_engine import VllmEngine
from trueward.training.env import Env


def rollout_engine(sampler: SamplerConfig, prompts: Sequence[Prompt], policy: Network, env: Env) -> RolloutEngine:
    """This process's own engine. prompts: those that will be sampled, the longest of which an engine has to have room for."""
    staleness = sampler.engine.max_staleness if env.trial is None else 0  # what overlaps can't be timed apart
    engine = _drawing_engine(sampler, prompts, policy, env)
    return AheadEngine(engine, staleness) if staleness else engine


def _drawing_engine(sampler: SamplerConfig, prompts: Sequence[Prompt], policy: Network, env: Env) -> LocalEngine:
    engine = sampler.engine
    params = replace(sampling_params(sampler), quantize=engine.quantize)
    if engine.kind == "local":
        # A thread beside the loop has decoders of its own.
        return LocalEngine(params, engine.sync_every, env.pool if not engine.max_staleness else None)
    if engine.is_server and engine.max_staleness and not env.fabric.is_alone:
        raise ValueError(
            "sampler.engine.max_staleness: several processes that share a server push to it together, between two rollouts; "
            "without an address each process has a vLLM of its own, which samples ahead"
        )
    collator = Collator(policy.tokenizer, policy.context)
    collator.remember(prompts)
    longest = max((len(collator.prompt_ids(prompt)) for prompt in prompts), default=1)
    return VllmEngine(params, engine, longest, env.fabric, env.progress.tell)
