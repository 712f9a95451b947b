"""Answers for evaluations, comparisons and best of n: sampled exactly, with the recipe's parameters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from trueward.batches import Rollout
from trueward.config import SamplerConfig
from trueward.models.network import Network
from trueward.records import Completion, Prompt
from trueward.sampling import sampler as exact
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import Sample, SamplingParams
from trueward.training.env import Env


def sampling_params(sampler: SamplerConfig) -> SamplingParams:
    """The parameters of all exact samples; only a rollout engine may use coarser weights."""
    return SamplingParams(sampler.temperature, sampler.max_new_tokens, sampler.engine.max_num_seqs)


def exact_sampler(sampler: SamplerConfig, env: Env) -> Sample:
    """A sampler with the recipe's parameters; its decoders are reused through `env.pool`."""
    params = sampling_params(sampler)

    def draw(network: Network, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        return exact.sample(network, prompts, params, draws, pool=env.pool)

    return draw


def sample_with_progress(
    what: str, network: Network, prompts: Sequence[Prompt], sampler: SamplerConfig, draws: Draws, env: Env
) -> list[Completion]:
    """One answer to each prompt, with a progress bar. what: its label."""
    env.progress.start(what, len(prompts))
    on_progress = partial(env.progress.at, note="")
    rollout = exact.sample(network, prompts, sampling_params(sampler), draws, on_progress, env.pool)
    env.progress.end(f"{len(prompts):,} answers")
    return rollout.completions
