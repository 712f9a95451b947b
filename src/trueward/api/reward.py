"""`trueward.fit_reward_model`: Bradley–Terry on comparisons, examined on prompts that it hasn't seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trueward.api.call import calling, recipe_of
from trueward.api.compare import ComparisonSet
from trueward.api.learned_reward import LearnedReward
from trueward.api.sft import SupervisedPolicy, as_supervised
from trueward.api.text import digest, options
from trueward.artifacts import Artifact, load
from trueward.config import DataConfig
from trueward.data import given
from trueward.data.collate import Collator
from trueward.data.options import ReadOptions
from trueward.pipeline import sources
from trueward.pipeline.cache import cached, told
from trueward.pipeline.comparisons import COMPARISONS, that_fit
from trueward.pipeline.parts import Parts
from trueward.pipeline.reward_model import REWARD_MODEL
from trueward.pipeline.sft import SftPolicy
from trueward.pipeline.stage import Made
from trueward.records import Comparison
from trueward.training.env import Env
from trueward.training.journal import METRICS, read_log

PATH = "given"  # the comparisons' name in [comparisons]


def fit_reward_model(
    sft: Any,
    comparisons: Any = None,
    *,
    out: str | Path | None = None,
    seed: int = 0,
    progress: bool = True,
    **settings: Any,
) -> LearnedReward:
    """Fit a reward model to comparisons (Bradley–Terry), starting from the SFT policy's layers.

    The loss is −log σ(r_better − r_worse). A share of the compared prompts (`held_out`) is kept aside to examine it
    on. Its scores are put on the scale of the SFT policy's own answers: mean 0, SD 1 within a prompt. Trains in this
    thread; not thread-safe.

    Args:
        sft: The policy of `trueward.sft`, its directory, or a model's name.
        comparisons: Those of `trueward.compare`, `Comparison`s, a list of dicts in any form that files may have
            (`{"prompt", "chosen", "rejected"}` …), a path or a data set. None: with `model=`, a reward model that is
            ready.
        out: A directory to keep it in; the same call goes on there, or reads it. None: in memory.
        seed: Of every random draw.
        progress: Whether to show progress, as in `trueward.sft`.
        **settings: Settings of [reward] by keyword (`epochs`, `learning_rate`, `held_out`, `members`, `model` …), of
            other sections as dicts.

    Returns:
        The reward model; printed, it says how well it predicts held-out comparisons.

    Raises:
        ValueError: In one line, for data or a setting that can't be used, or if all answers score the same.
    """
    where = "trueward.fit_reward_model"
    if (comparisons is None) == ("model" not in settings):
        raise ValueError(f"{where}: expected comparisons, or in their place model=, a reward model that is ready")
    is_ready = comparisons is None
    how = {"unfinished": comparisons.unfinished} if isinstance(comparisons, ComparisonSet) else {}
    labels = {} if is_ready else {"comparisons": {"source": "file", "path": PATH, **how}}
    recipe = recipe_of(where, "reward", settings, seed, **labels)
    shared = {name: settings[name] for name in ("sampler", "runtime", "lora", "dtype") if name in settings}
    with calling(recipe, progress, out, REWARD_MODEL.name) as call:
        part, prompts = Parts(recipe), None
        if not is_ready and not isinstance(sft, SupervisedPolicy):
            prompts = [c.prompt for c in _rows(comparisons, where, options(where, settings))]
        start = as_supervised(sft, prompts, where, call.cache.env, seed, progress=progress, **shared)
        pairs = (
            None if is_ready else comparisons_made(comparisons, start.made.value, recipe.data, where, call.cache.env)
        )
        inputs = {"prepared": None, "sft": start.made, "comparisons": pairs}
        made = cached(call.cache, REWARD_MODEL, inputs, part.fitting, part.reward_files)
        return LearnedReward(made, made.value.metrics)


def _rows(comparisons: Any, where: str, how: ReadOptions) -> Sequence[Comparison]:
    if isinstance(comparisons, ComparisonSet):
        return comparisons
    return given.comparisons(comparisons, f"{where}: comparisons", how).rows


def comparisons_made(comparisons: Any, sft: SftPolicy, data: DataConfig, where: str, env: Env) -> Made[Any]:
    """As a stage's result: those that are as short as `data` says, or else as nearly all of them, up to the model's context."""
    if isinstance(comparisons, ComparisonSet):
        return comparisons.made
    loaded = given.comparisons(comparisons, f"{where}: comparisons", sources.options(data))
    name = str(comparisons) if given.is_name(comparisons) else f"{where}: comparisons"
    value = that_fit(loaded, name, Collator(sft.policy.tokenizer, sft.policy.context), data)
    for text in told(COMPARISONS.name, value.summary):
        env.progress.tell(text)
    artifact = Artifact(Path(), COMPARISONS.name, digest(value.rows), (), value.summary, 0.0)
    return Made(artifact, lambda: value)


def load_reward_model(directory: str | Path) -> LearnedReward:
    """Read a reward model that was kept.

    Args:
        directory: What `out=` named, or the stage's directory in a run (`"runs/reviews/reward_model"`).

    Returns:
        The reward model, with its report and metrics.

    Raises:
        ValueError: If there is no reward model of trueward.
    """
    artifact = load(Path(directory))
    if artifact is None or artifact.stage != REWARD_MODEL.name:
        raise ValueError(f"{directory}: expected the directory of a reward model of trueward")
    metrics = read_log(artifact.path / METRICS)
    return LearnedReward(Made(artifact, lambda: REWARD_MODEL.read(artifact, Env())), metrics)
