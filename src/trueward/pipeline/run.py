"""A recipe's pipeline: run on disk, in memory, or only planned."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from trueward import artifacts, tracking
from trueward.artifacts import Artifact
from trueward.config import Recipe
from trueward.data import comparisons as compared
from trueward.data import snapshots
from trueward.evaluation.verdict import UNMOVED
from trueward.models import loading
from trueward.pipeline import human_eval, relabel_people, sources
from trueward.pipeline.cache import MemoryCache, PlanCache, RunCache
from trueward.pipeline.graph import Results, graph
from trueward.pipeline.own_code import check_policy_code
from trueward.pipeline.parts import Parts
from trueward.pipeline.process import process_settings
from trueward.pipeline.requirements import require_extras
from trueward.pipeline.run_verdict import run_verdict
from trueward.pipeline.scorer_factory import check_scorers
from trueward.pipeline.surroundings import run_env
from trueward.progress import Progress
from trueward.training.env import Env

STAGES = ("prepare", "sft", "comparisons", "reward_model", "policy", "evaluation", "report")
KNOWN_STAGES = (*STAGES[:4], "reward", *STAGES[4:])  # `reward` replaces those two where nothing has to be fitted


def proxy_stage(recipe: Recipe) -> str:
    """The stage that makes the proxy: `reward_model` or `reward`."""
    return "reward_model" if recipe.reward.kind == "reward_model" else "reward"


def run_pipeline(
    recipe: Recipe, home: Path, name: str, progress: Progress, *, until: str = "report", command: str = ""
) -> Artifact:
    """Run the recipe's pipeline in `home/name` up to the stage `until`; returns the last stage's artifact.

    Finished stages are reused. `ValueError` in one line for input that can't be used.
    """
    recipe = relabel_people.pinned(recipe, home / name)
    check_until(recipe, until)
    tracking.require(recipe.runtime.tracking)
    with process_settings(recipe):
        env = run_env(recipe, progress)
        source = check_inputs(recipe, env, until)
        if until != "prepare" and not (home / name / "sft" / artifacts.MANIFEST).is_file():
            check_models(recipe)  # before the run's directory is there; a finished run needs its base no more
        with RunCache(home, name, recipe, env).open() as cache:
            wait = partial(_wait_for_people, cache.run, recipe)
            stages = graph(recipe, source, cache, command, wants_control, wait)
            for made in stages:
                if made.name == "evaluation":
                    _ask_people(cache.run, recipe)
                if made.name == until:
                    break
            if until == "report":
                for file in ("report.json", "report.html"):
                    text = (made.artifact.path / file).read_text(encoding="utf-8")
                    artifacts.write_text(cache.run / file, text)
                human_eval.refresh(cache.run)
            return made.artifact


def run_in_memory(recipe: Recipe, cache: MemoryCache | None = None, until: str = "report") -> Results:
    """The same pipeline without a directory: every stage's result by its name, up to `until`.

    cache: shared between recipes, so that what they have in common is made once. No people, no trackers.
    """
    check_until(recipe, until)
    if recipe.evaluation.project:
        raise ValueError("evaluation.truths: people are asked by a run on disk, which can wait for them")
    with process_settings(recipe):
        cache = MemoryCache() if cache is None else cache
        if cache.follows_recipe:
            cache.env = run_env(recipe, Progress(), tracked=False)
        source = check_inputs(recipe, cache.env, until)
        results: Results = {}
        for made in graph(recipe, source, cache, wants_control=wants_control):
            results[made.name] = made
            if made.name == until:
                break
        return results


def plan(recipe: Recipe) -> dict[str, str]:
    """The digest that every stage of a recipe would have, by name. Runs nothing. Includes the control if it may be run."""
    cache = PlanCache()
    for _ in graph(recipe, sources.read(recipe), cache):
        pass
    return cache.digests


def check_until(recipe: Recipe, until: str) -> None:
    """`ValueError` for a stage that this recipe doesn't have."""
    if until in ("reward_model", "reward") and until != proxy_stage(recipe):
        why = f"with reward.kind = {recipe.reward.kind!r} there is none; stop at {proxy_stage(recipe)}"
        raise ValueError(f"--until {until}: {why}")
    if until == "comparisons" and not Parts(recipe).compares:
        why = "reward.model" if Parts(recipe).is_model else f"reward.kind = {recipe.reward.kind!r}"
        raise ValueError(f"--until comparisons: with {why} there are none; stop at another stage")


def check_inputs(recipe: Recipe, env: Env, until: str) -> sources.Source:
    """The text that the recipe names, read.

    Checks it, people's comparisons and the scorers, so that a mistake is reported before anything is trained.
    """
    require_extras(recipe)
    compares = Parts(recipe).compares
    if compares:
        compared.read_all(snapshots.compared(recipe.comparisons.source, recipe.comparisons.path), recipe.data.tolerate)
    source = sources.read(recipe)
    if until not in ("prepare", "sft"):
        refuse_absent_annotators(recipe, compares)
        check_scorers(recipe, source.prompts, env)
        check_policy_code(recipe.policy)
    return source


def check_models(recipe: Recipe) -> None:
    """`ValueError` if the base model or the ready SFT model isn't one, or a reward model isn't there. Reads no weights."""
    for name in (recipe.sft.model, "" if recipe.sft.model else recipe.model.base):
        if name and not name.startswith("trueward:"):
            loading.tokenizer(name)
    named = [*recipe.evaluation.truths, *(part.scorer for part in recipe.reward.parts)]
    for name in (recipe.reward.model, *(n.removeprefix("model:") for n in named if n.startswith("model:"))):
        if name:
            loading.require_model(name)


def refuse_absent_annotators(recipe: Recipe, compares: bool) -> None:
    """`ValueError` if simulated annotators are named for data other than the texts that ship."""
    if (recipe.data.demonstrations or recipe.data.prompts).startswith("trueward:"):
        return
    if compares and recipe.comparisons.source == "simulated":
        raise ValueError(
            'comparisons.source = "simulated" stands in for people on trueward:reviews and trueward:toy alone; '
            'for other data give source = "file" and path, or reward.model'
        )
    if unknown := [t for t in recipe.evaluation.truths if ":" not in t and t != "judge"]:
        raise ValueError(
            f"evaluation.truths: the simulated utility {unknown[0]!r} is there for trueward:reviews and trueward:toy "
            "alone; for other data give model:DIRECTORY, verifier:NAME, or [] to measure no truth"
        )


def wants_control(results: Results) -> bool:
    """Whether the control is needed: only if the truth did not move."""
    reward = results["reward_model"] if "reward_model" in results else results["reward"]
    policy: Any = results["policy"].value
    return run_verdict(policy, reward.summary, results["evaluation"].summary).rule == UNMOVED


def _ask_people(run: Path, recipe: Recipe) -> None:
    if recipe.evaluation.project:
        human_eval.post_pairs(run, recipe.evaluation.project, recipe.evaluation.final_pairs)


def _wait_for_people(run: Path, recipe: Recipe) -> None:
    if recipe.runtime.wait_for_people:
        human_eval.wait(run, recipe.evaluation.project, recipe.runtime.wait_for_people)
