"""The ladder as a function. What each stage is given is the dependency graph."""

from __future__ import annotations

import importlib.resources
from functools import partial
from pathlib import Path
from typing import Any

from trueward import __version__, artifacts, tracking
from trueward.artifacts import Artifact
from trueward.config import SHAPING, Recipe
from trueward.data import comparisons as compared
from trueward.data import snapshots
from trueward.evaluation.early_warnings import early_warnings
from trueward.models import smollm2
from trueward.pipeline import human_eval, judge_labels, policy_stage, prepare, relabel_people, scorer_factory, stages
from trueward.pipeline.cache import StageCache
from trueward.pipeline.doctor_inputs import diagnose_stages
from trueward.pipeline.env import Env
from trueward.pipeline.memory import peak_memory_mb
from trueward.pipeline.run_verdict import run_verdict, wants_control
from trueward.progress import Progress
from trueward.reporting import report as page
from trueward.scorers import simulated
from trueward.training import driver

STAGES = ("prepare", "sft", "comparisons", "reward_model", "policy", "evaluation", "report")
KNOWN_STAGES = (*STAGES[:4], "reward", *STAGES[4:])  # `reward` stands in for those two where nothing has to be fitted


def proxy_stage(recipe: Recipe) -> str:
    """The stage that makes what is optimised."""
    return "reward_model" if recipe.reward.kind == "reward_model" else "reward"


def run_pipeline(
    recipe: Recipe, home: Path, name: str, progress: Progress, *, until: str = "report", command: str = ""
) -> Artifact:
    """Climb the recipe's ladder in `home/name` up to the stage `until`; the last stage's artifact.

    Finished stages are taken as they are. `ValueError` in one line for input that can't be used.
    """
    recipe = relabel_people.pinned(recipe, home / name)
    learns_from_them = recipe.policy.kind == "dpo" and not recipe.policy.dpo.online
    adds_to_them = recipe.policy.relabel.every > 0
    modelled = recipe.reward.kind == "reward_model"
    compares = (modelled and not recipe.reward.model) or learns_from_them
    if until in ("reward_model", "reward") and until != proxy_stage(recipe):
        why = f"with reward.kind = {recipe.reward.kind!r} there is none; stop at {proxy_stage(recipe)}"
        raise ValueError(f"--until {until}: {why}")
    if until == "comparisons" and not compares:
        why = "reward.model" if modelled else f"reward.kind = {recipe.reward.kind!r}"
        raise ValueError(f"--until comparisons: with {why} there are none; stop at another stage")
    tracking.require(recipe.runtime.tracking)
    env = Env.make(recipe, progress)
    by_judge = compares and recipe.comparisons.source == "judge"
    named = snapshots.compared(recipe.comparisons.source, recipe.comparisons.path) if compares else []
    judged_by_people = compared.read_all(named).files  # a mistake in them is said now, not when SFT is done
    source = prepare.read(recipe)
    if until not in ("prepare", "sft"):
        refuse_absent_annotators(recipe, compares)
        scorer_factory.check(env, source.prompts)
    part = {key: recipe.table()[key] for key in Recipe.model_fields if key in recipe.table()}
    seed = {"seed": recipe.seed}
    drawing = {key: value for key, value in part["sampler"].items() if key != "engine"}
    drawing["max_num_seqs"] = recipe.sampler.engine.max_num_seqs  # the rest of the engine is about rollouts
    base = model_files(recipe.model.base)
    truths = [f for t in recipe.evaluation.truths if t.startswith("model:") for f in model_files(t[6:])]
    truths += scorer_factory.own_files(recipe.evaluation.truths)
    judged = {"judge": part["judge"]}
    adapting = {"lora": part["lora"]} if recipe.lora.rank else {}
    judge_files = (
        model_files(recipe.judge.model) if judge_labels.uses_judge(recipe) and not recipe.judge.endpoint else []
    )
    seen = judged if "judge" in recipe.evaluation.truths else {}
    truths += judge_files if seen else []
    with StageCache(home, name, recipe).open() as ladder:
        work: Any = partial(prepare.prepare, source, env)
        settings = {"model": part["model"], "data": part["data"]}
        prepared = found = ladder.stage("prepare", "prepare", work, settings, (), source.files + base)
        if until == "prepare":
            return found

        work = partial(stages.fine_tune, env, prepared)
        settings = {**seed, "model": part["model"], "sft": part["sft"], "sampler": drawing}
        settings |= {"lora": {k: v for k, v in adapting["lora"].items() if k != "save"}} if adapting else {}
        files = base + model_files(recipe.sft.model)
        sft = found = ladder.stage("sft", "fine_tune", work, settings, (prepared,), files)
        if until == "sft":
            return found

        comparisons = None
        if compares:
            work = partial(stages.compare, env, prepared, sft)
            settings = {**seed, "comparisons": part["comparisons"], "sampler": drawing}
            settings |= judged if by_judge else {}
            comparisons = found = ladder.stage(
                "comparisons", "compare", work, settings, (prepared, sft), judged_by_people + judge_files * by_judge
            )
            if until == "comparisons":
                return found

        fitted, shaped = (
            {key: value for key, value in part["reward"].items() if (key in SHAPING) == shaping}
            for shaping in (False, True)
        )
        settings = {**seed, "reward": fitted, **(adapting if modelled else {})}
        if modelled:
            work = partial(stages.fit_reward_model, env, prepared, sft, comparisons)
            parents = [sft, comparisons] if comparisons and not recipe.reward.model else [sft]
            files = model_files(recipe.reward.model)
            reward = found = ladder.stage("reward_model", "fit_reward_model", work, settings, parents, files)
        else:
            work = partial(scorer_factory.fit, env, prepared, sft)
            if "judge" in (recipe.reward.kind, *(p.scorer for p in recipe.reward.parts)):
                settings |= judged | {"annotator": recipe.comparisons.annotator}
            files = scorer_factory.files(recipe) + judge_files
            reward = found = ladder.stage("reward", "fit_reward", work, settings, (sft,), files)
        if until in ("reward_model", "reward"):
            return found

        work = partial(policy_stage.optimise, env, prepared, sft, reward, comparisons)
        counting = ("truths", "options", "every", "step_prompts", "stop_when", "least_fall", "step_pairs")
        looks = {key: part["evaluation"][key] for key in counting}
        optimising = {
            **seed,
            **{key: part[key] for key in ("policy", "sampler")},
            "evaluation": looks,
            "paid": shaped,
            **seen,
            **adapting,
        }
        policy_parents = [prepared, sft, reward]
        policy_parents += [comparisons] if comparisons and (recipe.policy.kind == "dpo" or adds_to_them) else []
        policy = found = ladder.stage("policy", "optimise", work, optimising, policy_parents, truths)
        if until == "policy":
            return found

        work = partial(stages.evaluate, env, prepared, sft, reward, policy)
        settings = {**seed, **{key: part[key] for key in ("model", "policy", "sampler", "evaluation")}, "paid": shaped}
        settings |= seen
        parents = [prepared, sft, reward, policy]
        evaluation = found = ladder.stage("evaluation", "evaluate", work, settings, parents, base + truths)
        if recipe.evaluation.project:
            human_eval.post_pairs(ladder.run, recipe.evaluation.project, recipe.evaluation.final_pairs)
        if until == "evaluation":
            return found

        control = None
        if wants_control(env, run_verdict(policy, reward, evaluation)):
            work = partial(policy_stage.optimise_nothing, env, prepared, sft, reward, comparisons)
            control = ladder.stage("control", "optimise_nothing", work, optimising, policy_parents, truths)
        if recipe.runtime.wait_for_people:
            human_eval.wait(ladder.run, recipe.evaluation.project, recipe.runtime.wait_for_people)
        climbed = [a for a in (prepared, sft, comparisons, reward, policy, evaluation, control) if a]
        work = partial(write_report, recipe, climbed, command)
        found = ladder.stage("report", "write_report", work, {"name": recipe.name}, climbed)
        for made in ("report.json", "report.html"):
            artifacts.write_text(ladder.run / made, (found.path / made).read_text(encoding="utf-8"))
        human_eval.refresh(ladder.run)
        return found


def refuse_absent_annotators(recipe: Recipe, compares: bool) -> None:
    """Simulated annotators are made for the texts that ship; for other data it's said now, not when SFT is done."""
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


def write_report(recipe: Recipe, climbed: list[Artifact], command: str, work: Path) -> dict[str, Any]:
    """report.json and report.html."""
    by = {a.stage: a for a in climbed}
    compared = by.get("comparisons")
    left_out = [row for a in climbed for row in a.summary.get("left_out", [])]
    fitted = by.get("reward_model") or by["reward"]
    reward, policy, rows = fitted.summary, by["policy"], by["evaluation"].summary["policies"]
    report = {
        "format": 2,
        "trueward": __version__,
        "name": recipe.name,
        "command": command,
        "recipe": recipe.table(),
        "seed": recipe.seed,
        "seconds": {a.stage: round(a.seconds, 2) for a in climbed},
        "verdict": run_verdict(policy, fitted, by["evaluation"], by.get("control")).table(),
        "stopped": policy.summary.get("stopped"),
        "early_warnings": early_warnings(rows["policy"], rows["sft"]),
        "policies": rows,
        "best_step": policy.summary["best_step"],
        "optimiser": {"kind": recipe.policy.kind}
        | {k: v for k, v in policy.summary.items() if k not in ("best_step", "stopped")},
        "best_of_n": by["evaluation"].summary.get("best_of_n", []),  # an older evaluation, taken over, has none
        "feature_shift": by["evaluation"].summary.get("feature_shift", []),
        "reward_model": {
            **reward,
            "agreement": compared.summary["agreement"] if compared else None,
        }
        if "reward_model" in by
        else {},
        "reward": {
            "kind": recipe.reward.kind,
            "mean": reward["mean"],
            "sd": reward["sd"],
            "judge": reward.get("judge"),
        },
        "sft": by["sft"].summary,
        "annotators": annotators(recipe, by["prepare"], compared),
        "history": driver.read_log(policy.path / "evaluations.jsonl"),
        "samples": by["evaluation"].summary["samples"],
        "left_out": left_out,
        "notes": notes(by["prepare"], recipe),
        "peak_memory_mb": peak_memory_mb(),
    }
    summaries = {a.stage: a.summary for a in climbed}
    report["doctor"] = diagnose_stages(recipe.table(), summaries, fitted.path, policy.path).table()
    artifacts.write_json(work / "report.json", report)
    artifacts.write_text(work / "report.html", page.page(report))
    return {}


def annotators(recipe: Recipe, prepared: Artifact, compared: Artifact | None) -> dict[str, Any] | None:
    """Who chose: simulated annotators and what is inside them, a judge, or the file that people's choices came from."""
    if compared is None:
        return None
    is_simulated, judge = compared.summary["source"] == "simulated", compared.summary.get("judge")
    description = f"comparisons from {compared.summary['source']}"
    if judge:
        description = f"AI-labelled, not by people: {recipe.judge.model} compared the answers by a written principle"
    if is_simulated:
        description = simulated.load(prepared.path / "annotators", recipe.comparisons.annotator).description
    return {
        "simulated": is_simulated,
        "ai": judge is not None,
        "judge": judge,
        "description": description,
        "agreement": compared.summary["agreement"],
        "temperature": compared.summary["temperature"],
        "classifiers": prepared.summary["classifiers"] if is_simulated else {},
    }


def notes(prepared: Artifact, recipe: Recipe) -> list[str]:
    """What a reader should know before believing the table."""
    found = [
        f"the column {column!r} of {rows:,} rows was not used"
        for column, rows in prepared.summary["ignored_columns"].items()
    ]
    if not recipe.evaluation.truths:
        found.append("nothing measured the truth in this run (evaluation.truths is empty): the proxy alone says little")
    there, config = prepared.summary["prompts_held_out"], recipe.evaluation
    both = min(config.final_prompts, there) + min(config.step_prompts, there) - there
    if both > 0 and recipe.policy.kind != "best_of_n":
        found.append(
            f"{both} of the final evaluation's {min(config.final_prompts, there)} prompts were used while training, too, for "
            f"only {there} are held out: the best checkpoint was picked on them and may look better than it is"
        )
    return found


def model_files(name: str) -> list[Path]:
    """The files that say which model a recipe means: weights, configuration, tokenizer; none for a name on the hub."""
    if name == "trueward:base":
        name = str(importlib.resources.files("trueward") / "assets" / "base")
    if name == "trueward:smollm2":
        return [smollm2.source()]
    folder = Path(name) if name else None
    if folder is None or not folder.is_dir():
        return []
    return sorted(f for f in folder.iterdir() if f.suffix in (".safetensors", ".bin", ".json", ".model", ".jinja"))
