"""The gauge of a run: its reference, its proxy, its truths, and the prompts that nothing is trained on."""

from __future__ import annotations

import torch

from trueward.artifacts import Artifact
from trueward.instruments.gauge import Gauge
from trueward.models.loading import Network
from trueward.models.schedule import generator
from trueward.records import Prompt
from trueward.scorers.scorer import Scorer
from trueward.workflow.context import REFERENCE, Context, read_completions, read_prompts


def gauge(context: Context, prepared: Artifact, sft: Artifact, proxy: Scorer | None, reference: Network) -> Gauge:
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


def held_out_prompts(context: Context, prepared: Artifact, most: int) -> list[Prompt]:
    """The same held-out prompts every time, in an order of the seed's."""
    prompts = read_prompts(prepared.path / "prompts_held_out.jsonl")
    order = torch.randperm(len(prompts), generator=generator(context.recipe.seed, "held-out prompts"))
    return [prompts[i] for i in order[:most].tolist()]
