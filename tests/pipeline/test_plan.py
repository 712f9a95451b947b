"""What a setting changes, changes the digests of the stages that depend on it, and of no other; a plan runs nothing."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from trueward import config
from trueward.config import Recipe
from trueward.models import loading
from trueward.pipeline import graph, sources
from trueward.pipeline.run import plan

sys.path.insert(0, str(Path(__file__).parent))
from changed_settings import (
    ADAPTED,
    AGAIN,
    CHANGES,
    CHOSEN,
    DISTILLED,
    DPO,
    ELSEWHERE,
    FROM_FILE,
    GATED,
    GRPO,
    JUDGED,
    MINE,
    ONLINE,
    OWN,
    RATED,
    RELABELLED,
    RLOO,
    RLVR,
    fields,
)

STAGES = ("PREPARE", "SFT", "COMPARISONS", "REWARD_MODEL", "REWARD", "POLICY", "CONTROL", "EVALUATION", "REPORT")
ASKED = ("evaluation.truths=['b','people:film']",)
WATCHED = 'evaluation.judge=[{{name="j",model="m",endpoint="http://localhost:1/v1"}}]'
GUARDED = 'evaluation.guards=["verifier:constraints,max_words=5"]'
SERVED = (*JUDGED, "judge.endpoint=http://localhost:8000/v1")
CAPPED = "policy.importance_sampling_cap=2"
BY_VLLM = ("sampler.engine.kind=vllm", CAPPED, "sampler.engine.directory=here")
OTHERS = {  # of settings that the table of changes has elsewhere: a value, and what is set beside it
    "name": ("other", ()),
    "description": ("Words.", ()),
    "data.tolerate": ("0.3", ()),
    "sft.turns": ("last", ()),
    "evaluation.least_fall": ("0.5", ()),
    "data.columns": ('{{completion="answer"}}', ()),
    "data.roles": ('{{bot="assistant"}}', ()),
    "data.order": ("best-first", ()),
    "data.contradictions": ("drop", ()),
    "lora.save": ("adapter", ADAPTED),
    "sampler.engine.max_num_seqs": ("5", ()),
    "sampler.engine.kind": ("vllm", (CAPPED,)),
    "sampler.engine.address": ("http://localhost:9", BY_VLLM),
    "sampler.engine.directory": ("other", BY_VLLM),
    "sampler.engine.gpu_memory_utilization": ("0.5", BY_VLLM),
    "sampler.engine.timeout": ("5", BY_VLLM),
    "evaluation.proxy_is_truth": ("true", ()),
    "evaluation.judge": (WATCHED.partition("=")[2], ()),
    "evaluation.judge_calls": ("9", (WATCHED,)),
    "evaluation.guards": (GUARDED.partition("=")[2], ()),
    "evaluation.guard_every": ("2", (GUARDED,)),
    "evaluation.guard_items": ("9", (GUARDED,)),
    "evaluation.guard_stops": ("true", (GUARDED,)),
    "evaluation.guard_minutes": ("5", (GUARDED,)),
    "evaluation.final_pairs": ("7", ASKED),
    "evaluation.step_pairs": ("7", ASKED),
    "judge.endpoint": ("http://localhost:8000/v1", JUDGED),
    "judge.reasons": ("50", SERVED),
    "judge.temperature": ("0.5", SERVED),
    "judge.logprobs": ("false", SERVED),
    "judge.certainty": ("0.9", SERVED),
    "judge.max_failed": ("0.5", JUDGED),
    "judge.check": ("20", JUDGED),
    "runtime.device": ("cpu", ()),
    "runtime.threads": ("3", ()),
    "runtime.micro_batch_tokens": ("97", ()),
    "runtime.checkpoint_seconds": ("0", ()),
    "runtime.wait_for_people": ("5", ASKED),
    "runtime.tracking": ("tensorboard", ()),
    "runtime.checkpointing": ("true", ()),
    "runtime.attention": ("sdpa", ()),
    "runtime.shard": ("full", ()),
    "runtime.compile": ("true", ()),
    "runtime.ray.ranks": ("2", ()),
    "runtime.ray.samplers": ("2", ()),
    "runtime.ray.scorers": ("1", ()),
    "runtime.ray.placement": ("colocated", ("runtime.ray.scorers=1",)),
    "runtime.ray.cpus": ("2", ()),
    "runtime.ray.max_restarts": ("1", ()),
    "runtime.judge.key": ("KEY", ()),
    "runtime.judge.concurrency": ("2", ()),
    "runtime.judge.retries": ("1", ()),
    "runtime.judge.timeout": ("5", ()),
    "runtime.judge.cache": ("", ()),
    "runtime.judge.price_input": ("2", ()),
    "runtime.judge.price_output": ("2", ()),
    "runtime.judge.cap": ("9", ("runtime.judge.price_input=1",)),
}
ONE_VALUE = ("format",)
ALL = [
    *((name, c.value, c.also) for name, c in CHANGES.items() if name != "evaluation.control"),
    ("evaluation.control", "never", ()),  # which is what the table's runs start from
    *((name, c.value, c.also) for name, c in AGAIN),
    *((name, value, also) for name, (value, also) in OTHERS.items()),
]

# The first stages that depend on a setting or a section, by the longest name that fits; the report depends on all but
# [runtime]. The control is trained as the policy is.
PROXY, OPTIMISED = ("reward_model", "reward"), ("policy", "control")
FIRST: dict[str, tuple[str, ...]] = {
    "name": (),
    "description": (),
    "seed": ("sft",),
    "model": ("prepare",),
    "model.dtype": ("sft",),
    "data": ("prepare",),
    "sft": ("sft",),
    "comparisons": ("comparisons",),
    "reward": PROXY,
    "reward.clip": OPTIMISED,
    "reward.shaping": OPTIMISED,
    "reward.references": OPTIMISED,
    "reward.length_penalty": OPTIMISED,
    "policy": OPTIMISED,
    "lora": ("sft",),
    "lora.save": ("reward_model", *OPTIMISED),
    "sampler": ("sft",),
    "sampler.engine": OPTIMISED,
    "sampler.engine.max_num_seqs": ("sft",),
    "sampler.engine.address": (),
    "sampler.engine.directory": (),
    "sampler.engine.gpu_memory_utilization": (),
    "sampler.engine.timeout": (),
    "evaluation": OPTIMISED,
    "evaluation.final_prompts": ("evaluation",),
    "evaluation.final_pairs": (),
    "evaluation.proxy_is_truth": (),
    "evaluation.guard_minutes": (),
    "evaluation.control": (),
}


def is_fitted(recipe: Recipe) -> bool:
    return recipe.reward.kind == "reward_model" and not recipe.reward.model


def is_offline(recipe: Recipe) -> bool:
    return recipe.policy.kind == "dpo" and not recipe.policy.dpo.online


def rates(recipe: Recipe) -> bool:
    return recipe.reward.kind == "judge"


def is_guarded(recipe: Recipe) -> bool:
    return bool(recipe.evaluation.guards) and recipe.policy.kind != "best_of_n"


# What a section needs to play a part at all.
PLAYS: dict[str, Callable[[Recipe], bool]] = {
    "lora": lambda recipe: recipe.lora.rank > 0,
    "policy.critic": lambda recipe: recipe.policy.kind == "ppo",
    "policy.group": lambda recipe: recipe.policy.kind in ("grpo", "rloo"),
    "policy.dpo": lambda recipe: recipe.policy.kind == "dpo",
    "policy.best_of_n": lambda recipe: recipe.policy.kind in ("best_of_n", "sft_on_best"),
    "policy.relabel": lambda recipe: recipe.policy.relabel.every > 0,
    "comparisons": lambda recipe: is_fitted(recipe) or is_offline(recipe),
    "reward.judge_mode": rates,
    "reward.cross_check": lambda recipe: is_fitted(recipe) and not is_offline(recipe),
    **{f"evaluation.{name}": is_guarded for name in ("guards", "guard_every", "guard_items", "guard_stops")},
}


def longest(table: dict[str, Any], name: str) -> Any:
    """The entry of the name, or of the section that it is in."""
    while name and name not in table:
        name = name.rpartition(".")[0]
    return table.get(name)


def first(recipe: Recipe, name: str) -> set[str]:
    """The first stages that depend on a setting of this recipe."""
    plays = longest(PLAYS, name)
    found = set(longest(FIRST, name) or ()) if plays is None or plays(recipe) else set()
    if name.startswith("judge."):
        found = {"comparisons"} if recipe.comparisons.source == "judge" else set()
        found |= {"reward"} if rates(recipe) else set()
        found |= set(OPTIMISED) if "judge" in recipe.evaluation.truths else set()
    if name == "comparisons.annotator" and rates(recipe):
        found.add("reward")  # the judge is held against it
    return found


def inputs(recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """What each stage is made from."""
    lower = ("prepare", "sft")
    proxy = (*lower, "comparisons") if is_fitted(recipe) else lower
    compared = ("comparisons",) if recipe.policy.kind == "dpo" or recipe.policy.relabel.every else ()
    policy = (*lower, *PROXY, *compared)
    return {
        "prepare": (),
        "sft": ("prepare",),
        "comparisons": lower,
        "reward_model": proxy,
        "reward": lower,
        "policy": policy,
        "evaluation": (*lower, *PROXY, "policy"),
        "control": policy,
    }


def expected(before: Recipe, after: Recipe, name: str) -> set[str]:
    """The stages whose digests a change of this setting changes."""
    if name.startswith("runtime."):
        return set()
    found = first(before, name) | first(after, name)
    for stage, parents in inputs(after).items():
        found |= {stage} if found & set(parents) else set()
    return {*found, "report"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Files and models to point settings at. Nothing is trained."""
    folder = tmp_path_factory.mktemp("inputs")
    cpu = torch.device("cpu")
    for name, seed in (("base", 5), ("chatty", 6)):
        loading.save(loading.causal("trueward:tiny", seed, cpu), folder / name)
    reward = loading.reward_from_policy(folder / "base", cpu)
    for name in ("reward", "talking", "against"):
        loading.save(reward, folder / name)
    rows = [{"prompt": f"the {noun}", "chosen": " is warm .", "rejected": " is dull ."} for noun in ("film", "story")]
    for name, some in (("people", rows), ("others", rows[:1])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    shown = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in rows]
    (folder / "shown.jsonl").write_text("".join(json.dumps(row) + "\n" for row in shown))
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": row["prompt"]}) + "\n" for row in rows))
    (folder / "mine.py").write_text(MINE)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage would fail; and what [data] names is read once, however many recipes name it."""

    def fails(**_: Any) -> Any:
        raise AssertionError("a plan runs nothing")

    for name in STAGES:
        monkeypatch.setattr(graph, name, replace(vars(graph)[name], run=fails))
    read = sources.read

    def once(recipe: Recipe) -> sources.Source:
        key = recipe.data.model_dump_json() + recipe.comparisons.model_dump_json()
        if key not in READ:
            READ[key] = read(recipe)
        return READ[key]

    monkeypatch.setattr(sources, "read", once)


READ: dict[str, sources.Source] = {}


def recipe(folder: Path, *settings: str) -> Recipe:
    return config.read("tiny", [setting.format(folder=folder) for setting in settings])


def differing(before: Recipe, after: Recipe) -> set[str]:
    """The stages of the second recipe's plan that the first one's doesn't have so."""
    one, two = plan(before), plan(after)
    return {stage for stage in two if two[stage] != one.get(stage)}


def wrong(before: Recipe, after: Recipe, name: str) -> str:
    """What is not as it should be with a change, in one line, or nothing."""
    found, wanted = differing(before, after), expected(before, after, name) & set(plan(after))
    return "" if found == wanted else f"{name}: changed {sorted(found - wanted)} too, and not {sorted(wanted - found)}"


def test_a_plan_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = plan(config.read("tiny"))
    names = ["prepare", "sft", "comparisons", "reward_model", "policy", "evaluation", "control", "report"]
    assert list(found) == names
    assert len(set(found.values())) == len(names)
    assert all(len(digest) == 64 for digest in found.values())
    assert plan(config.read("tiny")) == found
    assert not list(tmp_path.iterdir())


def test_every_setting_is_changed() -> None:
    """Those that have one value alone can't be."""
    assert sorted({name for name, _, _ in ALL} | set(ONE_VALUE)) == sorted(name for name, _ in fields())
    assert set(OTHERS) | set(ONE_VALUE) == set(ELSEWHERE)
    annotations = dict(fields())
    assert all(len(get_args(annotations[name].annotation)) == 1 for name in ONE_VALUE)


def test_a_setting_changes_the_stages_that_depend_on_it_and_no_other(folder: Path) -> None:
    found = []
    for name, value, also in ALL:
        before, after = recipe(folder, *also), recipe(folder, *also, f"{name}={value}")
        found.append(wrong(before, after, name) if before != after else f"{name} is {value} already")
    assert [line for line in found if line] == []


VARIANTS: dict[str, tuple[str, ...]] = {
    "comparisons from a file": FROM_FILE,
    "comparisons from a file and no model to fit": (*FROM_FILE, *OWN),
    "a ready reward model and dpo": (*OWN, *DPO),
    "verifier": RLVR,
    "verifier, and the judge is a truth": (*RLVR, "evaluation.truths=['judge']", "judge.model=trueward:tiny"),
    "mixture": GATED,
    "the judge compares": JUDGED,
    "the judge rates": RATED,
    "grpo": GRPO,
    "rloo": RLOO,
    "dpo": DPO,
    "online dpo": ONLINE,
    "best_of_n": CHOSEN,
    "sft_on_best": DISTILLED,
    "lora": ADAPTED,
    "lora and a verifier": (*ADAPTED, *RLVR),
    "relabel": RELABELLED,
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_section_that_plays_no_part_changes_nothing(folder: Path, variant: str) -> None:
    """Every setting again, as far as it may stand beside the others, in recipes that have no use for many."""
    before, found, tried = recipe(folder, *VARIANTS[variant]), [], set()
    for name, value, _ in ALL:
        try:
            after = recipe(folder, *VARIANTS[variant], f"{name}={value}")
        except ValueError:  # these two can't be had together
            continue
        if after != before:
            tried.add(name)
            found.append(wrong(before, after, name))
    assert [line for line in found if line] == []
    sections = {name.partition(".")[0] for name in tried}
    assert sections >= {
        "seed",
        "data",
        "sft",
        "comparisons",
        "reward",
        "policy",
        "lora",
        "judge",
        "evaluation",
        "runtime",
    }
    assert len(tried) > 90


@pytest.mark.parametrize(
    ("settings", "file", "stages"),
    [
        (("model.base={folder}/base",), "base/model.safetensors", ("prepare",)),
        (("sft.model={folder}/base",), "base/config.json", ("sft",)),
        (("data.prompts={folder}/prompts.jsonl",), "prompts.jsonl", ("prepare",)),
        (FROM_FILE, "people.jsonl", ("comparisons",)),
        ((*FROM_FILE, "data.prompts=comparisons"), "people.jsonl", ("prepare",)),
        (OWN, "reward/model.safetensors", ("reward_model",)),
        (("evaluation.truths=['model:{folder}/against']",), "against/model.safetensors", OPTIMISED),
        (("reward.kind=verifier", "reward.verifier=mine:short"), "mine.py", ("reward",)),
        (("evaluation.truths=['mine:short']",), "mine.py", OPTIMISED),
        (("policy.loss=mine:plain",), "mine.py", ("policy", "control")),
        (("policy.kind=mine:SLOW",), "mine.py", ("policy", "control")),
        ((*JUDGED, "judge.model={folder}/chatty"), "chatty/model.safetensors", ("comparisons",)),
        ((*RATED, "judge.model={folder}/chatty"), "chatty/model.safetensors", ("reward",)),
        ((*RLVR, "evaluation.truths=['judge']", "judge.model={folder}/chatty"), "chatty/config.json", OPTIMISED),
        ((*RLVR, "comparisons.source=judge", "judge.model={folder}/chatty"), "chatty/config.json", ()),
    ],
)
def test_a_file_changes_the_stages_that_read_it_and_no_other(
    folder: Path, tmp_path: Path, settings: tuple[str, ...], file: str, stages: tuple[str, ...]
) -> None:
    """The same recipe, with another file of the same name; that a setting points to it is no reason by itself."""
    asked = recipe(folder, *settings)
    before = plan(asked)
    shutil.copy(folder / file, tmp_path / "kept")
    (folder / file).write_bytes((folder / file).read_bytes() + b"\n")
    READ.clear()
    try:
        after = plan(asked)
    finally:
        shutil.copy(tmp_path / "kept", folder / file)
        READ.clear()
    found = set(stages)
    for stage, parents in {**inputs(asked), "report": tuple(before)}.items():
        found |= {stage} if found & set(parents) else set()
    assert {stage for stage in after if after[stage] != before[stage]} == found & set(after)
