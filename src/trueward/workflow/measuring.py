"""The gauge of a run: its reference, its proxy, its truths, and the prompts that nothing is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from trueward.algorithms import best_of_n
from trueward.artifacts import Artifact
from trueward.instruments.gauge import Gauge, Truth
from trueward.instruments.order_statistics import best_of_n_curve, expected_maximum
from trueward.instruments.outliers import at_home
from trueward.models.loading import Network
from trueward.models.schedule import generator
from trueward.records import Prompt
from trueward.scorers.ensemble import Proxy
from trueward.scorers.scaled import Scaled
from trueward.scorers.scorer import Scorer, scores
from trueward.scorers.shaping import shaped
from trueward.workflow.context import REFERENCE, Context, read_completions, read_prompts


def gauge(
    context: Context, prepared: Artifact, sft: Artifact, proxy: Proxy | Scaled | None, reference: Network
) -> Gauge:
    """What a run is measured with. A program has no hidden states, so nothing is far from home to it."""
    answers = read_completions(sft.path / REFERENCE)
    return Gauge(
        reference=reference,
        proxy=proxy,
        truths=context.truths(prepared.path / "annotators", answers),
        sample=context.sample,
        temperature=context.recipe.sampler.temperature,
        seed=context.recipe.seed,
        micro_batch_tokens=context.recipe.runtime.micro_batch_tokens,
        outliers=None if proxy is None or isinstance(proxy, Scaled) else at_home(proxy, answers),
    )


def pay(context: Context, sft: Artifact, proxy: Scorer, reference: Network) -> Scorer:
    """What the policy is paid: the proxy's score, shaped if [reward] says so. The gauge's proxy is never shaped."""
    answers = read_completions(sft.path / REFERENCE)
    return shaped(context.recipe.reward, proxy, answers, reference, context.sample, context.recipe.seed)


def by_n(drawn: best_of_n.Drawn, truths: Sequence[Truth]) -> list[dict[str, Any]]:
    """Proxy and first truth of the best of 1, 2, 4, … n, from the n answers to each prompt; and a normal score's gain."""
    values = {"proxy": drawn.score.numpy()}
    if truths:
        first = truths[0]
        values["truth"] = first.scale.apply(scores(first.scorer, drawn.completions)).reshape(drawn.score.shape)
    rows = best_of_n_curve(drawn.paid.numpy(), values)
    missing = {} if truths else {"truth": None, "truth_se": None}
    return [
        {"n": row["n"], "kl": round(best_of_n.kl(row["n"]), 5)}
        | {key: round(v, 5) if np.isfinite(v) else None for key, v in row.items() if key != "n"}
        | missing
        | {"normal": round(expected_maximum(row["n"]), 5)}
        for row in rows
    ]


def looked_at(context: Context, prepared: Artifact) -> list[Prompt]:
    """The held-out prompts of every look: the first ones in an order of the seed's."""
    return held_out(context, prepared)[: context.recipe.evaluation.look_prompts]


def evaluated_on(context: Context, prepared: Artifact) -> list[Prompt]:
    """Those of the evaluation: the last ones in the same order, so that no look saw them if there are enough for both.

    The best checkpoint is the highest of many looks, partly by luck with their prompts; on others the luck is gone.
    """
    return held_out(context, prepared)[::-1][: context.recipe.evaluation.prompts]


def held_out(context: Context, prepared: Artifact) -> list[Prompt]:
    """All held-out prompts, in an order of the seed's."""
    prompts = read_prompts(prepared.path / "prompts_held_out.jsonl")
    order = torch.randperm(len(prompts), generator=generator(context.recipe.seed, "held-out prompts"))
    return [prompts[i] for i in order.tolist()]
