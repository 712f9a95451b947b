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
from trueward.data.collate import Collator
from trueward.evaluation.verdict import UNMOVED
from trueward.models import loading as models
from trueward.models.run_paths import is_model
from trueward.models.tabular import is_tabular
from trueward.parallel.joining import joined
from trueward.pipeline import human_eval, relabel_people, sources
from trueward.pipeline.cache import MemoryCache, PlanCache, RunCache
from trueward.pipeline.comparisons import comparisons_name, that_fit
from trueward.pipeline.following_cache import FollowingCache
from trueward.pipeline.graph import Results, graph
from trueward.pipeline.guards.guard_spec import check_guards
from trueward.pipeline.model_checks import check_models
from trueward.pipeline.own_code import check_policy_code
from trueward.pipeline.parts import Parts, custom_files
from trueward.pipeline.prepare import utilities_of
from trueward.pipeline.process import process_settings
from trueward.pipeline.proxy_truth import refuse_proxy_as_truth
from trueward.pipeline.requirements import require_extras
from trueward.pipeline.reward_templates import refuse_refused_prompts
from trueward.pipeline.run_verdict import run_verdict
from trueward.pipeline.scorer_factory import check_scorers
from trueward.pipeline.surroundings import run_env, with_precision
from trueward.progress import Progress, note
from trueward.training.env import NOWHERE, Env, Remote

STAGES = ("prepare", "sft", "comparisons", "reward_model", "policy", "evaluation", "report")
KNOWN_STAGES = (*STAGES[:4], "reward", *STAGES[4:])  # `reward` replaces those two where nothing has to be fitted


def proxy_stage(recipe: Recipe) -> str:
    """The stage that makes the proxy: `reward_model` or `reward`."""
    return "reward_model" if recipe.reward.kind == "reward_model" else "reward"


def run_pipeline(
    recipe: Recipe,
    home: Path,
    name: str,
    progress: Progress,
    *,
    until: str = "report",
    command: str = "",
    remote: Remote | None = None,
) -> Artifact:
    """Run the recipe's pipeline in `home/name` up to the stage `until`; returns the last stage's artifact.

    remote: samplers and scorers elsewhere, where a launcher has started some (`launch.run`); what it started none of, this
    process does. Finished stages are reused. `ValueError` in one line for input that can't be used.
    """
    recipe = with_precision(relabel_people.pinned(recipe, home / name))
    check_until(recipe, until)
    if until not in ("prepare", "sft") and not any((home / name).glob(f"*/{artifacts.MANIFEST}")):
        refuse_proxy_as_truth(recipe)  # not of a run that was begun before this was asked
    tracking.require(recipe.runtime.tracking)
    with joined() as fabric, process_settings(recipe):
        fabric.agree("the recipe", recipe.toml())
        fabric.agree("the run's directory", str((home / name).absolute()))
        env = run_env(recipe, progress, fabric=fabric, remote=remote or NOWHERE)
        if remote is None and not recipe.runtime.ray.is_default:
            note("[runtime.ray] has no effect here: its actors are placed by --launch ray (docs/ray.md)")
        if not fabric.leads:
            return _follow(recipe, home / name, env, until, command)
        has_sft = (home / name / "sft" / artifacts.MANIFEST).is_file()
        source = check_inputs(recipe, env, until, has_sft=has_sft)
        with RunCache(home, name, recipe, env).open() as cache:
            fabric.led(lambda: None)  # the lock is held and the inputs are good
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


def _follow(recipe: Recipe, run: Path, env: Env, until: str, command: str) -> Artifact:
    """The same run on another rank than 0, which checks the inputs, holds the lock, writes, asks people and waits for them."""
    env.fabric.led(bool)
    if not (run / "recipe.toml").is_file():
        raise ValueError(
            f"{run}: rank {env.fabric.rank} doesn't see what rank 0 writes there; give all the same file system"
        )
    custom_files([*Parts(recipe).own_scorers.values(), recipe.policy.kind, recipe.policy.loss])
    for made in graph(recipe, sources.read(recipe), FollowingCache(run, env), command, wants_control):
        if made.name == until:
            break
    return made.artifact


def run_in_memory(recipe: Recipe, cache: MemoryCache | None = None, until: str = "report") -> Results:
    """The same pipeline without a directory: every stage's result by its name, up to `until`.

    cache: shared between recipes, so that what they have in common is made once. No people, no trackers.
    """
    recipe = with_precision(recipe)
    check_until(recipe, until)
    if until not in ("prepare", "sft"):
        refuse_proxy_as_truth(recipe)
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
    cache, recipe = PlanCache(), with_precision(recipe)
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


def check_inputs(recipe: Recipe, env: Env, until: str, has_sft: bool = False) -> sources.Source:
    """The text that the recipe names, read.

    Checks it, people's comparisons, the models and the scorers, so that a mistake is reported before anything is trained.
    has_sft: the run has its SFT policy and needs its base no more.
    """
    require_extras(recipe)
    compares = Parts(recipe).compares
    pairs = compared.read_all(comparison_files(recipe), sources.options(recipe.data)) if compares else None
    source = sources.read(recipe)
    if until not in ("prepare", "sft"):
        refuse_absent_annotators(recipe, compares)
        refuse_absent_models(recipe)
    if not has_sft:
        check_models(recipe, source.prompts, until)
    if until not in ("prepare", "sft"):
        custom_files(
            [*Parts(recipe).own_scorers.values(), recipe.policy.kind, recipe.policy.loss]
        )  # forgets older imports
        if pairs and pairs.rows and recipe.comparisons.source != "judge":
            tokenizer, context = models.tokenizer(recipe.sft.model or recipe.model.base)
            name, unfinished = comparisons_name(recipe.comparisons), recipe.comparisons.unfinished
            that_fit(pairs, name, Collator(tokenizer, context), recipe.data, unfinished)
        refuse_refused_prompts(recipe, source)
        check_scorers(recipe, source.prompts, env, source.columns)
        if recipe.policy.kind != "best_of_n":
            check_guards(recipe, source.prompts)
        check_policy_code(recipe.policy)
    return source


def comparison_files(recipe: Recipe) -> list[Path]:
    """The files of people's comparisons."""
    return snapshots.compared(recipe.comparisons.source, recipe.comparisons.path)


def refuse_absent_models(recipe: Recipe) -> None:
    """`ValueError` for a reward model that is named and isn't there; what is in it is known when it's loaded."""
    named = {"reward.model": recipe.reward.model if Parts(recipe).is_model else ""}
    programs = [(f"evaluation.truths.{i}", name) for i, name in enumerate(recipe.evaluation.truths)]
    if recipe.reward.kind == "mix":
        programs += [(f"reward.parts.{i}.scorer", part.scorer) for i, part in enumerate(recipe.reward.parts)]
    named |= {where: name.removeprefix("model:") for where, name in programs if name.startswith("model:")}
    for where, place in named.items():
        path = Path(place)
        if place and path.exists() and not is_model(path) and not is_tabular(path):
            raise ValueError(f"{where}: {place}: not a model directory (it has no config.json)")
        if (
            place
            and not path.exists()
            and (path.is_absolute() or place.startswith((".", "~")) or place.count("/") != 1)
        ):
            raise ValueError(f"{where}: {place}: no such model directory")


def refuse_absent_annotators(recipe: Recipe, compares: bool) -> None:
    """`ValueError` if simulated annotators are named for data other than the texts that ship, or by a name that is none."""
    utilities = [name for name in recipe.evaluation.truths if ":" not in name and name != "judge"]
    text = recipe.data.demonstrations or recipe.data.prompts
    if text.startswith("trueward:"):
        known = utilities_of(text)
        if unknown := [name for name in utilities if name not in known]:
            raise ValueError(
                f"evaluation.truths: there is no simulated utility {unknown[0]!r} for {text}; known: {', '.join(known)}; or "
                "give model:DIRECTORY, verifier:NAME, or [] to measure no truth"
            )
        by_utility = compares and recipe.comparisons.source == "simulated"
        if by_utility and recipe.comparisons.annotator not in known:
            raise ValueError(
                f"comparisons.annotator: there is no simulated utility {recipe.comparisons.annotator!r} for {text}; known: "
                f"{', '.join(known)}"
            )
        return
    if compares and recipe.comparisons.source == "simulated":
        raise ValueError(
            'comparisons.source = "simulated" stands in for people on trueward:reviews and trueward:toy alone; '
            'for other data give source = "file" and path, or reward.model'
        )
    if utilities:
        raise ValueError(
            f"evaluation.truths: the simulated utility {utilities[0]!r} is there for trueward:reviews and trueward:toy "
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
