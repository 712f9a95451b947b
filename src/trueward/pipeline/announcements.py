"""Notes printed once before a run begins: settings that do nothing, a model's own that are set aside, code that it runs."""

from __future__ import annotations

from pathlib import Path

from trueward import artifacts, config
from trueward.config import Recipe
from trueward.config.unused import ONLINE
from trueward.models import conventions
from trueward.pipeline import proxy_truth, surroundings
from trueward.pipeline.judge_truths import call_lines
from trueward.pipeline.own_code import named_code
from trueward.training.policy_loss import LOW_CAP


def announcements(recipe: Recipe, run: Path) -> list[str]:
    """The notes, a line each. run: its directory; own code is named only before the first run in it."""
    start = ("sft.model", recipe.sft.model) if recipe.sft.model else ("model.base", recipe.model.base)
    aside = conventions.note(start[1], start[0])
    code = {} if artifacts.is_run(run) else named_code(recipe)
    runs = [f"{setting} runs code of yours: {place}" for setting, place in code.items()]
    is_begun = any(run.glob(f"*/{artifacts.MANIFEST}"))
    same = proxy_truth.note(recipe) if is_begun or not proxy_truth.is_refused(recipe) else ""  # the error says it
    runs += precision_lines(recipe) + engine_lines(recipe)
    return [*config.notes(recipe), *([same] if same else []), *call_lines(recipe), *([aside] if aside else []), *runs]


def engine_lines(recipe: Recipe) -> list[str]:
    """What rollouts by vLLM can't promise, a line; none for the local engine."""
    if recipe.sampler.engine.kind == "local" or recipe.policy.kind not in ONLINE:
        return []
    return [
        'sampler.engine.kind = "vllm": its tokens depend on its batching, so a run made again or resumed is another draw'
    ]


def precision_lines(recipe: Recipe) -> list[str]:
    """What products in bfloat16 bring with them, a line; none where they are in float32."""
    low = surroundings.with_precision(recipe)
    if low.model.dtype != "bfloat16":
        return []
    asked = ", which is auto on this device" if recipe.model.dtype == "auto" else ""
    weighs = recipe.policy.kind in ONLINE and recipe.policy.importance_sampling_cap is None
    cap = (
        f"; policy.importance_sampling_cap is {LOW_CAP:g}, since sampler and learner round differently"
        if weighs
        else ""
    )
    return [f"model.dtype: products are in bfloat16{asked}, weights that learn stay float32{cap}"]
