"""Comparisons from demonstrations: a person's answer is preferred to the SFT policy's (docs/demonstrations.md).

Bradley–Terry on such pairs has its optimum at r(x, y) = log p(y|x) − log π_SFT(y|x) + c(x), p the demonstrators' own
distribution: the reward under which p is optimal at β = 1 (inverse reinforcement learning with entropy, Ziebart et al. 2008;
with a policy's own answers as the other side, Ho and Ermon 2016, arXiv 1606.03476, and Chen et al. 2024, arXiv 2401.01335).
"""

from __future__ import annotations

import torch

from trueward.config import ComparisonsConfig, SamplerConfig
from trueward.pipeline.answers import sample_with_progress
from trueward.pipeline.compared import Compared
from trueward.pipeline.finished_pairs import finished_pairs, with_unfinished
from trueward.pipeline.prepare import Prepared
from trueward.pipeline.sft import SftPolicy
from trueward.records import Comparison, Completion, Prompt, Response, response_id
from trueward.reporting.start_text import of_unfinished
from trueward.sampling.draws import Draws
from trueward.seeds import generator
from trueward.training.env import Env

SOURCE = "demonstrations"


def compare(
    prepared: Prepared, sft: SftPolicy, comparisons: ComparisonsConfig, sampler: SamplerConfig, seed: int, env: Env
) -> Compared:
    """`count` demonstrations, reused if there are fewer, each paired with a fresh SFT answer to its prompt."""
    demonstrations = prepared.demonstrations
    order = torch.randperm(len(demonstrations), generator=generator(seed, "compared demonstrations")).tolist()
    chosen = [demonstrations[order[i % len(order)]] for i in range(comparisons.count)]
    prompts = [c.prompt for c in chosen]
    draws = Draws.purpose(seed, "answers beside demonstrations")
    answers = sample_with_progress("comparisons", sft.policy, prompts, sampler, draws, env)

    def again(these: list[Prompt], number: int) -> list[Completion]:
        new = Draws.purpose(seed, "answers beside demonstrations again", number)
        return sample_with_progress("comparisons: cut answers again", sft.policy, these, sampler, new, env)

    paired, cut = finished_pairs(list(zip(chosen, answers, strict=True)), comparisons.unfinished, again)
    if text := of_unfinished({"unfinished": cut}):
        env.progress.tell(f"comparisons: {text}")
    rows = []
    for demonstration, answer in paired:
        if (demonstration.response, demonstration.finished) == (answer.response, answer.finished):
            continue
        first, second = (
            Response(id=response_id(c.prompt, c.response), text=c.response, finished=c.finished)
            for c in (demonstration, answer)
        )
        rows.append(Comparison(prompt=answer.prompt, first=first, second=second, probability=1.0, source=SOURCE))
    if not rows:
        raise ValueError(
            'comparisons.source = "demonstrations": the SFT policy answers every prompt with its demonstration, so there '
            "is nothing to tell apart"
        )
    left_out = [{"what": "comparisons", "reason": "the answer was the demonstration", "rows": len(paired) - len(rows)}]
    summary = {
        "comparisons": len(rows),
        "source": SOURCE,
        "agreement": None,
        "temperature": None,
        "ties": 0,
        "left_out": [row for row in left_out if row["rows"]],
    }
    return with_unfinished(Compared(rows, summary), cut)
