"""Comparisons from behaviour alone: what somebody wrote is preferred to what the SFT policy writes (docs/demonstrations.md).

Bradley–Terry on such pairs has its optimum at r(x, y) = log p(y|x) − log π_SFT(y|x) + c(x), p the demonstrators' own
distribution: the reward under which p is optimal at β = 1 (inverse reinforcement learning with entropy, Ziebart et al. 2008;
with a policy's own answers as the other side, Ho and Ermon 2016, arXiv 1606.03476, and Chen et al. 2024, arXiv 2401.01335).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from trueward.artifacts import Artifact
from trueward.data import jsonl
from trueward.pipeline.env import Env, read_completions
from trueward.records import Comparison, Response, line, response_id
from trueward.seeds import generator

SOURCE = "demonstrations"


def compare_with_demonstrations(env: Env, prepared: Artifact, sft: Artifact, work: Path) -> dict[str, Any]:
    """`comparisons.count` demonstrations, round again if there are fewer, each beside a fresh answer to its prompt."""
    shown = read_completions(prepared.path / "demonstrations.jsonl")
    seed, count = env.recipe.seed, env.recipe.comparisons.count
    order = torch.randperm(len(shown), generator=generator(seed, "compared demonstrations")).tolist()
    chosen = [shown[order[i % len(order)]] for i in range(count)]
    policy = env.policy(sft.model)
    prompts = [c.prompt for c in chosen]
    draws = generator(seed, "answers beside demonstrations")
    answers = env.sample_with_progress("comparisons", policy, prompts, draws).completions
    found = []
    for demonstration, answer in zip(chosen, answers, strict=True):
        if (demonstration.response, demonstration.finished) == (answer.response, answer.finished):
            continue
        first, second = (
            Response(id=response_id(c.prompt, c.response), text=c.response, finished=c.finished)
            for c in (demonstration, answer)
        )
        found.append(Comparison(prompt=answer.prompt, first=first, second=second, probability=1.0, source=SOURCE))
    if not found:
        raise ValueError(
            'comparisons.source = "demonstrations": the SFT policy answers every prompt with its demonstration, so there '
            "is nothing to tell apart"
        )
    jsonl.write(work / "comparisons.jsonl", [line(c) for c in found])
    left_out = [{"what": "comparisons", "reason": "the answer was the demonstration", "rows": len(chosen) - len(found)}]
    return {
        "comparisons": len(found),
        "source": SOURCE,
        "agreement": None,
        "temperature": None,
        "ties": 0,
        "left_out": [row for row in left_out if row["rows"]],
    }
