"""The evaluator of a run: its reference, its proxy, its truths, and the prompts that nothing is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trueward.algorithms import best_of_n
from trueward.artifacts import Artifact
from trueward.evaluation.evaluator import Evaluator, Truth
from trueward.evaluation.order_statistics import best_of_n_curve, expected_maximum
from trueward.evaluation.outliers import fit_outliers
from trueward.models.network import Network
from trueward.pipeline import scorer_factory
from trueward.pipeline.env import REFERENCE, Env, read_completions, read_prompts
from trueward.records import Completion, Prompt
from trueward.scorers import reward_model, simulated
from trueward.scorers.ensemble import Proxy
from trueward.scorers.normalized import Normalized
from trueward.scorers.scorer import Scorer, fit_scale, scores
from trueward.scorers.shaping import shaped
from trueward.seeds import generator


def build_evaluator(
    env: Env, prepared: Artifact, sft: Artifact, proxy: Proxy | Normalized | None, reference: Network
) -> Evaluator:
    """What a run is measured with. A program has no hidden states, so nothing is far from home to it."""
    answers = read_completions(sft.path / REFERENCE)
    return Evaluator(
        reference=reference,
        proxy=proxy,
        truths=build_truths(env, prepared.path / "annotators", answers),
        sample=env.sample,
        temperature=env.recipe.sampler.temperature,
        seed=env.recipe.seed,
        micro_batch_tokens=env.recipe.runtime.micro_batch_tokens,
        outliers=None if proxy is None or isinstance(proxy, Normalized) else fit_outliers(proxy, answers),
    )


def build_truths(env: Env, annotators: Path, reference: Sequence[Completion]) -> list[Truth]:
    """The recipe's truths but people, each on its scale under the SFT policy's own answers (two to each prompt)."""
    truths = []
    for name in (t for t in env.recipe.evaluation.truths if not t.startswith("people:")):
        scorer = _truth_scorer(env, name, annotators)
        scale = fit_scale(scores(scorer, reference).reshape(-1, 2), f"evaluation.truths: {name}")
        truths.append(Truth(name, scorer, scale))
    return truths


def _truth_scorer(env: Env, name: str, annotators: Path) -> Scorer:
    """`model:PATH`, a reward model that nothing is optimised against, a program, or a simulated utility's name."""
    if name.startswith("model:"):
        return reward_model.load(Path(name.removeprefix("model:")), env.device)
    if ":" in name or name == "judge":
        return scorer_factory.build_truth(name, env.recipe, env.device)
    try:
        return simulated.load(annotators, name)
    except ValueError as error:
        raise ValueError(
            f"evaluation.truths: {error}; or give model:DIRECTORY, verifier:NAME, or [] to measure no truth"
        ) from None


def reward_scorer(env: Env, sft: Artifact, proxy: Scorer, reference: Network) -> Scorer:
    """What the policy is paid: the proxy's score, shaped if [reward] says so. The gauge's proxy is never shaped."""
    answers = read_completions(sft.path / REFERENCE)
    return shaped(env.recipe.reward, proxy, answers, reference, env.sample, env.recipe.seed)


def best_of_n_rows(drawn: best_of_n.Candidates, truths: Sequence[Truth]) -> list[dict[str, Any]]:
    """Proxy and first truth of the best of 1, 2, 4, … n, from the n answers to each prompt; and a normal score's gain."""
    values = {"proxy": drawn.score.numpy()}
    if truths:
        first = truths[0]
        values["truth"] = first.scale.apply(scores(first.scorer, drawn.completions)).reshape(drawn.score.shape)
    rows = best_of_n_curve(drawn.rewards.numpy(), values)
    missing = {} if truths else {"truth": None, "truth_se": None}
    return [
        {"n": row["n"], "kl": round(best_of_n.kl(row["n"]), 5)}
        | {key: round(v, 5) if np.isfinite(v) else None for key, v in row.items() if key != "n"}
        | missing
        | {"normal": round(expected_maximum(row["n"]), 5)}
        for row in rows
    ]


def step_prompts(env: Env, prepared: Artifact) -> list[Prompt]:
    """The held-out prompts of every look: the first ones in an order of the seed's."""
    return held_out_prompts(env, prepared)[: env.recipe.evaluation.step_prompts]


def final_prompts(env: Env, prepared: Artifact) -> list[Prompt]:
    """Those of the evaluation: the last ones in the same order, so that no look saw them if there are enough for both.

    The best checkpoint is the highest of many looks, partly by luck with their prompts; on others the luck is gone.
    """
    return held_out_prompts(env, prepared)[::-1][: env.recipe.evaluation.final_prompts]


def held_out_prompts(env: Env, prepared: Artifact) -> list[Prompt]:
    """All held-out prompts, in an order of the seed's."""
    prompts = read_prompts(prepared.path / "prompts_held_out.jsonl")
    order = torch.randperm(len(prompts), generator=generator(env.recipe.seed, "held-out prompts"))
    return [prompts[i] for i in order.tolist()]
