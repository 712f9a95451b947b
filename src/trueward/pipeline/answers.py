"""Answers that are measured, compared or chosen from: sampled exactly, by the recipe's parameters."""

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
    """Of all that is measured; a rollout engine may sample with coarser weights."""
    return SamplingParams(sampler.temperature, sampler.max_new_tokens, sampler.engine.max_num_seqs)


def exact_sampler(sampler: SamplerConfig, env: Env) -> Sample:
    """Samples by the recipe's parameters; decoders are kept in `env.pool`."""
    params = sampling_params(sampler)

    def draw(network: Network, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        return exact.sample(network, prompts, params, draws, pool=env.pool)

    return draw


def sample_with_progress(
    what: str, network: Network, prompts: Sequence[Prompt], sampler: SamplerConfig, draws: Draws, env: Env
) -> list[Completion]:
    """One answer to each prompt, saying how far it is."""
    env.progress.start(what, len(prompts))
    on_progress = partial(env.progress.at, note="")
    rollout = exact.sample(network, prompts, sampling_params(sampler), draws, on_progress, env.pool)
    env.progress.end(f"{len(prompts):,} answers")
    return rollout.completions
