"""Answers for evaluations, comparisons and best of n: sampled exactly, with the recipe's parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trueward.batches import Rollout
from trueward.config import SamplerConfig
from trueward.data.collate import Collator
from trueward.models.network import Network
from trueward.records import Completion, Prompt
from trueward.sampling import sampler as exact
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import Sample, SamplingParams
from trueward.sampling.shared import sample_shares
from trueward.training.env import Env


def sampling_params(sampler: SamplerConfig) -> SamplingParams:
    """The parameters of all exact samples; only a rollout engine may use coarser weights."""
    return SamplingParams(sampler.temperature, sampler.max_new_tokens, sampler.engine.max_num_seqs)


def exact_sampler(sampler: SamplerConfig, env: Env, *, is_shared: bool = False) -> Sample:
    """A sampler with the recipe's parameters; its decoders are reused through `env.pool`.

    is_shared: rank 0 samples alone while all other processes wait for its word, so that they can take shares (`env.ranks`).
    """
    params = sampling_params(sampler)

    def draw(network: Network, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        if is_shared and env.ranks.can_sample(network, prompts, draws):
            return env.ranks.sample(network, prompts, params, draws)
        return _sampled(network, prompts, params, draws, lambda done: None, env)

    return draw


def sample_with_progress(
    what: str, network: Network, prompts: Sequence[Prompt], sampler: SamplerConfig, draws: Draws, env: Env
) -> list[Completion]:
    """One answer to each prompt, with a progress bar. what: its label."""
    env.progress.start(what, len(prompts))

    def on_progress(done: int) -> None:
        env.progress.at(min(done * env.fabric.world, len(prompts)))  # the others are about as far

    rollout = _sampled(network, prompts, sampling_params(sampler), draws, on_progress, env)
    env.progress.end(f"{len(prompts):,} answers")
    return rollout.completions


def _sampled(
    network: Network,
    prompts: Sequence[Prompt],
    params: SamplingParams,
    draws: Draws,
    on_progress: Callable[[int], None],
    env: Env,
) -> Rollout:
    """By all processes of `env.fabric`, each its share."""

    def own(prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        return exact.sample(network, prompts, params, draws, on_progress, env.pool)

    if env.fabric.is_alone:
        return own(prompts, draws)
    return sample_shares(env.fabric, own, prompts, draws, Collator(network.tokenizer, network.context).pad)
