"""The gauge of a run: its reference, its proxy, its truths, and the prompts that nothing is trained on."""

from __future__ import annotations

import torch

from trueward.artifacts import Artifact
from trueward.instruments.gauge import Gauge
from trueward.models.loading import Network
from trueward.models.schedule import generator
from trueward.records import Prompt
from trueward.scorers.reward_model import RewardModel
from trueward.workflow.context import REFERENCE, Context, read_completions, read_prompts


def gauge(context: Context, prepared: Artifact, sft: Artifact, proxy: RewardModel | None, reference: Network) -> Gauge:
    answers = read_completions(sft.path / REFERENCE)
    return Gauge(
        reference=reference,
        proxy=proxy,
        truths=context.truths(prepared.path / "annotators", answers),
        sample=context.sample,
        temperature=context.recipe.sampler.temperature,
        seed=context.recipe.seed,
        micro_batch_tokens=context.recipe.runtime.micro_batch_tokens,
    )


def looked_at(context: Context, prepared: Artifact) -> list[Prompt]:
    """The held-out prompts of every look: the first ones in an order of the seed's."""
    return _held_out(context, prepared)[: context.recipe.evaluation.look_prompts]


def evaluated_on(context: Context, prepared: Artifact) -> list[Prompt]:
    """Those of the evaluation: the last ones in the same order, so that no look saw them if there are enough for both.

    The best checkpoint is the highest of many looks, partly by luck with their prompts; on others the luck is gone.
    """
    return _held_out(context, prepared)[::-1][: context.recipe.evaluation.prompts]


def _held_out(context: Context, prepared: Artifact) -> list[Prompt]:
    prompts = read_prompts(prepared.path / "prompts_held_out.jsonl")
    order = torch.randperm(len(prompts), generator=generator(context.recipe.seed, "held-out prompts"))
    return [prompts[i] for i in order.tolist()]
